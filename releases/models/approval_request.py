"""Approval requests: each about exactly one content, with its approval decisions (design: the heart of Ringi)."""

from typing import Any

from django.db import models
from django.db.models import Q
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from audit.fields import WrittenAtField
from environments.language import labelled
from environments.models import Account, ChangeWindow, Environment
from releases.models.deployment_process import DeploymentProcess
from releases.models.emergency_stop import EmergencyStop
from releases.models.procedure import Procedure
from releases.models.release import Release
from releases.state_machines.approval_request import ApprovalRequestMachine


class ApprovalRequest(ApprovalRequestMachine):
    """One approval request: subject, the canonical document of what is approved, and its SHA-256."""

    class Subject(models.TextChoices):
        REGULAR = "regular", _("Regular release")
        STANDARD = "standard", _("Standard change")
        EMERGENCY = "emergency", _("Emergency release")
        EXTRA_WINDOW = "extra_window", _("Extra window")
        PROCESS = "process", _("Deployment process")
        PROCEDURE = "procedure", _("Release procedure")
        PROCEDURE_RESTORE = "procedure_restore", _("Return to an earlier release procedure")
        EMERGENCY_STOP_LIFT = "emergency_stop_lift", _("Lifting of the emergency stop")

    subject = models.CharField(_("subject"), max_length=20, choices=Subject)
    release = models.ForeignKey(
        Release, models.PROTECT, null=True, blank=True, related_name="approval_requests", verbose_name=_("release")
    )
    window = models.ForeignKey(
        ChangeWindow,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="approval_requests",
        verbose_name=_("change window"),
    )
    procedure = models.ForeignKey(
        Procedure,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="approval_requests",
        verbose_name=_("release procedure"),
    )
    process = models.ForeignKey(
        DeploymentProcess,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="approval_requests",
        verbose_name=_("deployment process"),
    )
    emergency_stop = models.ForeignKey(
        EmergencyStop,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="approval_requests",
        verbose_name=_("emergency stop"),
    )
    environment = models.ForeignKey(
        Environment, models.PROTECT, null=True, related_name="+", verbose_name=_("environment")
    )
    document = models.JSONField(_("content"))
    digest = models.CharField(_("digest"), max_length=64)
    rules = models.JSONField(_("rules"))
    requested_by = models.ForeignKey(Account, models.PROTECT, related_name="+", verbose_name=_("requester"))
    valid_from = models.DateTimeField(_("valid from"), null=True, blank=True)
    valid_until = models.DateTimeField(_("valid until"), null=True, blank=True)
    invalidated_by = models.CharField(_("changed field"), max_length=100, blank=True)
    opened_at = WrittenAtField(_("opened"), auto_now_add=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    LOCK_ORDER = 25

    class Meta:
        verbose_name = _("approval request")
        verbose_name_plural = _("approval requests")
        ordering = ["-opened_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["release", "environment"],
                condition=Q(state__in=["in_review", "approved"]),
                name="approval_request_one_live",
            ),
            models.UniqueConstraint(
                fields=["emergency_stop"],
                condition=Q(state="in_review"),
                name="approval_request_one_per_emergency_stop",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_subject_display()} {self.digest[:12]}"

    @property
    def asks_no_approver(self) -> bool:
        """Whether the procedure asks no approver, so that a standard change is approved with its submission."""
        return self.subject == self.Subject.STANDARD and all(rule["role"] == "none" for rule in self.rules)

    @property
    def about(self) -> models.Model | None:
        """The row that is decided about."""
        return self.release or self.window or self.procedure or self.process or self.emergency_stop

    def content_for(self, environment: Environment) -> dict[str, Any]:
        """Return the part of the content about one of its environments: base, configuration, target and window."""
        later: list[dict[str, Any]] = self.document.get("later_environments", [])
        return next((row for row in later if row["environment"] == environment.slug), self.document)

    @cached_property
    def place_ids(self) -> list[int | None]:
        """The keys of the environments that are decided about, in order; None stands for all of them."""
        further = [row["environment"] for row in self.document.get("later_environments", ())]
        further += self.document.get("stopped_environments", ())
        found = Environment.objects.filter(slug__in=further).values_list("pk", flat=True) if further else ()
        return [self.environment_id, *(pk for pk in found if pk != self.environment_id)]


class ApprovalDecision(models.Model):
    """One person's decision in an approval request: never edited, bound to the digest that was shown."""

    COUNTING = ("approve", "approve_with_condition")

    class Decision(models.TextChoices):
        APPROVE = "approve", _("Approved")
        APPROVE_WITH_CONDITION = "approve_with_condition", _("Approved with a condition")
        SEND_BACK = "send_back", _("Sent back")
        REJECT = "reject", _("Rejected")

    approval_request = models.ForeignKey(
        ApprovalRequest, models.PROTECT, related_name="decisions", verbose_name=_("approval request")
    )
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", verbose_name=_("person"))
    on_behalf = models.ForeignKey(
        Account, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("on behalf of")
    )
    meeting = models.ForeignKey(
        "releases.CommitteeMeeting",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="approval_decisions",
        verbose_name=_("meeting"),
    )
    decision = models.CharField(_("decision"), max_length=24, choices=Decision)
    roles = models.JSONField(_("roles at the time"))
    digest = models.CharField(_("digest"), max_length=64)
    comment = models.CharField(_("comment"), max_length=300, blank=True)
    condition = models.CharField(_("condition"), max_length=200, blank=True)
    signature = models.JSONField(_("signature"))
    at = models.DateTimeField(_("time"))

    class Meta:
        verbose_name = _("approval decision")
        verbose_name_plural = _("approval decisions")
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["approval_request", "account"], name="approval_decision_once_per_person")
        ]

    def __str__(self) -> str:
        return labelled(self.account, self.get_decision_display())
