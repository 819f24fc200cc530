"""Decision requests to the team: each has a deadline, goes to more people meanwhile, and ends with the agreed
default.
"""

from datetime import datetime

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from environments.models import Account
from releases.models.deployment import Deployment
from releases.models.step import Step


class DecisionRequest(models.Model):
    """The decision request of a waiting deployment. `asked` counts how many team roles of ORDER have been asked so
    far.
    """

    # The team role that is asked first, and the next ones when no one responds.
    ORDER = ("verifier", "release_lead", "rollback_decision_maker")

    deployment = models.ForeignKey(
        Deployment, models.PROTECT, related_name="decision_requests", verbose_name=_("deployment")
    )
    step = models.ForeignKey(Step, models.PROTECT, related_name="decision_requests", verbose_name=_("step"))
    requested_at = models.DateTimeField(_("requested at"))
    due_at = models.DateTimeField(_("respond by"))
    roles_asked = models.PositiveSmallIntegerField(_("team roles asked"), default=1)
    on_timeout = models.CharField(
        _("if no one responds"), max_length=12, choices=[("roll_back", _("roll back")), ("keep", _("keep"))]
    )
    answer = models.CharField(_("answer"), max_length=40, blank=True)
    answered_by = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("answered by")
    )
    answered_at = models.DateTimeField(_("answered at"), null=True, blank=True)

    LOCK_ORDER = 40

    class Meta:
        verbose_name = _("decision request")
        verbose_name_plural = _("decision requests")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["deployment"], condition=Q(answered_at__isnull=True), name="decision_request_one_open"
            )
        ]

    def __str__(self) -> str:
        return f"{self.deployment} · {self.step}"

    def ended_to(self, default: str) -> bool:
        """Tell whether no one has responded and the deployment ended in this way instead."""
        return self.answered_at is not None and self.answered_by_id is None and self.answer == default

    @classmethod
    def close_open(cls, deployment: Deployment, answer: str, account: Account | None, moment: datetime) -> None:
        """Close a deployment's open one, inside an open operation; `answer` is the key of the operation that gave
        it.
        """
        for request in cls.objects.select_for_update(no_key=True).filter(deployment=deployment, answered_at=None):
            request.answer, request.answered_by, request.answered_at = answer, account, moment
            request.save()
