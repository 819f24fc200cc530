"""Failures that the scheduler or a worker retries by itself: how often, why, and whether people are asked."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from environments.language import labelled
from releases.models.deployment import Deployment


class PollFailure(models.Model):
    """One failing part that is retried, from its first failure until it succeeds or a person has it tried again.

    part: what is tried, a key of PARTS. object: the row that it is about, `app.Model:pk`. tries: in a row, without
    success. suspended_at: from then on it is not retried by itself.
    """

    PARTS = {
        "enqueue": _("Enqueue deployment"),
        "mark_missed": _("End a deployment whose window has passed"),
        "mark_stopped": _("End a deployment that was stopped"),
        "succeed": _("End a verified deployment"),
        "claim": _("Start a step"),
        "decision_request": _("Follow up a decision request"),
        "rollback": _("Prepare the rollback"),
        "end_monitoring": _("End the monitoring"),
        "monitoring_no_data": _("Notify that the monitoring has no data"),
        "baseline": _("Start the baseline measurement"),
        "approval": _("End an approval that no longer holds"),
        "stage": _("Pass a stage for which nothing is asked"),
        "milestone": _("Send milestone reminder"),
        "reminder": _("Send a reminder"),
    }

    part = models.CharField(_("task"), max_length=20, choices=list(PARTS.items()))
    object = models.CharField(_("affected item"), max_length=80)
    deployment = models.ForeignKey(
        Deployment, models.PROTECT, null=True, blank=True, related_name="poll_failures", verbose_name=_("deployment")
    )
    tries = models.PositiveSmallIntegerField(_("failed attempts"), default=0)
    error = models.TextField(_("error"), blank=True)
    failed_at = models.DateTimeField(_("last attempt"))
    suspended_at = models.DateTimeField(_("retries suspended since"), null=True, blank=True)

    HIDDEN_ALONE = True
    LOCK_ORDER = 60

    class Meta:
        verbose_name = _("failure of a periodic check")
        verbose_name_plural = _("failures of periodic checks")
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["part", "object"], name="poll_failure_once")]

    def __str__(self) -> str:
        return labelled(self.get_part_display(), self.deployment or self.object)
