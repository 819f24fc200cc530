"""The emergency stop of production, for all applications or for one: one person activates it, the approval of two lifts
it.
"""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from audit.one_look import once_a_look
from environments.models import Account, Application


class EmergencyStop(models.Model):
    """One emergency stop, in effect from `activated_at` until `lifted_at`.

    application: none for all of them. pauses: running deployments wait before their next step, and go on once it is
    lifted; otherwise they are ended.
    """

    application = models.ForeignKey(
        Application, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("application")
    )
    pauses = models.BooleanField(_("pauses"), default=False)
    activated_by = models.ForeignKey(Account, models.PROTECT, related_name="+", verbose_name=_("activated by"))
    activated_at = models.DateTimeField(_("activated at"))
    reason = models.CharField(_("reason"), max_length=300)
    lifted_at = models.DateTimeField(_("lifted at"), null=True, blank=True)

    LOCK_ORDER = 52
    # What a signature about it is about: every environment of this tier (environments/signing.py).
    concerns_tier = "production"

    class Meta:
        verbose_name = _("emergency stop")
        verbose_name_plural = _("emergency stop")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["application", "pauses"],
                condition=Q(lifted_at__isnull=True),
                nulls_distinct=False,
                name="emergency_stop_active_once",
            )
        ]

    def __str__(self) -> str:
        return self.reason

    @staticmethod
    @once_a_look
    def on(application_id: int | None = None) -> "list[EmergencyStop]":
        """Return the stops in effect, those that end deployments first; of one application: all that reach it."""
        rows = EmergencyStop.objects.filter(lifted_at=None).select_related("application", "activated_by")
        if application_id is not None:
            rows = rows.filter(Q(application=None) | Q(application=application_id))
        return list(rows.order_by("pauses", "pk"))
