"""The states of a rollback, from the alarm to the report (chapter 7 of the procedure)."""

from django.db import models
from django.utils.translation import gettext_lazy as _, pgettext_lazy
from django_fsm import transition

from releases.state_machines.field import StateField


class RollbackMachine(models.Model):
    """raised → assessed → authorised → running → verifying → monitoring → reporting → closed."""

    class State(models.TextChoices):
        RAISED = "raised", _("Raised")
        ASSESSED = "assessed", _("Assessed")
        AUTHORISED = "authorised", _("Authorised")
        RUNNING = "running", pgettext_lazy("of a rollback", "Running")
        VERIFYING = "verifying", _("Verifying")
        MONITORING = "monitoring", _("Monitoring")
        REPORTING = "reporting", _("Reporting")
        CLOSED = "closed", _("Closed")
        DISMISSED = "dismissed", _("Dismissed")
        FAILED = "failed", _("Failed")

    ENDS = frozenset({"closed", "dismissed"})

    state = StateField(_("state"), choices=State.choices, default="raised")

    class Meta:
        abstract = True

    @transition("state", source="raised", target="assessed")
    def assess(self) -> None:
        """Impact, method and timing are written down."""

    @transition("state", source=["raised", "assessed"], target="authorised")
    def apply_pre_authorisation(self) -> None:
        """The approval authorised the rollback in advance; the assessment is a follow-up action."""

    @transition("state", source="assessed", target="authorised")
    def authorise(self) -> None:
        """The rollback decision maker authorises the rollback."""

    @transition("state", source=["raised", "assessed", "authorised"], target="dismissed")
    def dismiss(self) -> None:
        """The alarm was no reason for a rollback."""

    @transition("state", source="authorised", target="running")
    def start(self) -> None:
        """The rollback begins."""

    @transition("state", source="running", target="verifying")
    def start_verification(self) -> None:
        """The earlier state is restored; the checks begin."""

    @transition("state", source=["running", "verifying"], target="failed")
    def fail(self) -> None:
        """A step or check of the rollback failed."""

    @transition("state", source="failed", target="running")
    def retry(self) -> None:
        """The rollback is tried again."""

    @transition("state", source="failed", target="reporting")
    def complete_manually(self) -> None:
        """The rollback was completed manually; two people confirm it."""

    @transition("state", source="verifying", target="monitoring")
    def start_monitoring(self) -> None:
        """The checks passed; monitoring begins."""

    @transition("state", source=["monitoring", "verifying"], target="reporting")
    def start_reporting(self) -> None:
        """Monitoring has ended, or there was no deployed version to monitor."""

    @transition("state", source="reporting", target="closed")
    def close(self) -> None:
        """Report, cause and prevention are approved."""
