"""Waivers: two people let one named gate pass for a time, with a follow-up action (P2, P3)."""

from datetime import datetime

from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.fields import WrittenAtField
from environments.language import noted
from environments.models import Account, Environment
from releases.models.follow_up import FollowUp
from releases.models.release import Release

# The item of the final check that may be waived, and the name of its waiver in place of a gate's.
NOTIFICATIONS_SENT = "notifications_sent"
NOTIFICATIONS_SENT_WAIVER = f"final_check:{NOTIFICATIONS_SENT}"


class Waiver(models.Model):
    """One gate of one release in one environment, a milestone (`milestone:<key>`) or an item of the final check
    (`final_check:<key>`); counts only when approved.
    """

    release = models.ForeignKey(Release, models.PROTECT, related_name="waivers", verbose_name=_("release"))
    environment = models.ForeignKey(Environment, models.PROTECT, related_name="+", verbose_name=_("environment"))
    gate = models.CharField(_("gate"), max_length=80)
    reason = models.CharField(_("reason"), max_length=300)
    until = models.DateTimeField(_("until"))
    requested_by = models.ForeignKey(Account, models.PROTECT, related_name="+", verbose_name=_("requested by"))
    requested_at = WrittenAtField(_("requested"), auto_now_add=True)
    decided_by = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("decided by")
    )
    approved_at = models.DateTimeField(_("approved"), null=True, blank=True)
    rejected_at = models.DateTimeField(_("rejected"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    follow_up = models.OneToOneField(
        FollowUp, models.PROTECT, null=True, blank=True, related_name="waiver", verbose_name=_("follow-up action")
    )

    LOCK_ORDER = 57

    class Meta:
        verbose_name = _("waiver")
        verbose_name_plural = _("waivers")
        ordering = ["pk"]

    def __str__(self) -> str:
        return noted(f"{self.release} · {self.gate}", self.environment)

    def counts(self, at: datetime) -> bool:
        """Tell whether the waiver applies at a time."""
        return self.approved_at is not None and self.revoked_at is None and at < self.until
