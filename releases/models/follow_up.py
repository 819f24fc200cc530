"""Follow-up actions of an emergency, a condition, a waiver, a pre-authorised rollback (P2, B3, J1)."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from environments.language import labelled
from environments.models import Account, Application
from releases.models.preparation import Labelled
from releases.models.release import Release


class FollowUp(Labelled):
    """A follow-up action with a clock. One of a condition blocks the start of its own release until it is completed."""

    class Blocks(models.TextChoices):
        NEXT = "next", _("the next regular release, when overdue")
        START = "start", _("the start of the same release")

    application = models.ForeignKey(
        Application, models.PROTECT, related_name="follow_ups", verbose_name=_("application")
    )
    release = models.ForeignKey(Release, models.PROTECT, related_name="follow_ups", verbose_name=_("release"))
    key = models.CharField(_("type"), max_length=60)
    about = models.CharField(_("detail"), max_length=200, blank=True)
    blocks = models.CharField(_("blocks"), max_length=8, choices=Blocks, default=Blocks.NEXT)
    due_at = models.DateTimeField(_("due"))
    completed_at = models.DateTimeField(_("completed at"), null=True, blank=True)
    completed_by = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("completed by")
    )
    note = models.CharField(_("note"), max_length=300, blank=True)

    LOCK_ORDER = 58

    class Meta:
        verbose_name = _("follow-up action")
        verbose_name_plural = _("follow-up actions")
        ordering = ["due_at"]
        indexes = [models.Index(fields=["due_at", "-id"], name="follow_up_by_due")]

    def __str__(self) -> str:
        return labelled(super().__str__(), self.about) if self.about else super().__str__()
