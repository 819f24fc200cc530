"""The life of a rollback: from the alarm to the report (chapter 7 of the procedure)."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django_fsm import FSMField, transition


class RollbackMachine(models.Model):
    """raised → assessed → authorised → running → verifying → monitoring → reporting → closed."""

    class State(models.TextChoices):
        RAISED = "raised", _("Raised")
        ASSESSED = "assessed", _("Assessed")
        AUTHORISED = "authorised", _("Authorised")
        RUNNING = "running", _("Running")
        VERIFYING = "verifying", _("Verifying")
        MONITORING = "monitoring", _("Monitoring")
        REPORTING = "reporting", _("Reporting")
        CLOSED = "closed", _("Closed")
        DISMISSED = "dismissed", _("Dismissed")
        FALTERED = "faltered", _("Faltered")

    ENDS = frozenset({"closed", "dismissed"})

    state = FSMField(_("state"), choices=State.choices, default="raised", protected=True)

    class Meta:
        abstract = True

    @transition("state", source="raised", target="assessed")
    def assess(self) -> None:
        """Impact, method and timing are written down."""

    @transition("state", source=["raised", "assessed"], target="authorised")
    def pre_authorise(self) -> None:
        """The consent allowed it beforehand; the assessment is owed afterwards."""

    @transition("state", source="assessed", target="authorised")
    def authorise(self) -> None:
        """切戻し判断者 says go."""

    @transition("state", source=["raised", "assessed", "authorised"], target="dismissed")
    def dismiss(self) -> None:
        """It was no reason to go back."""

    @transition("state", source="authorised", target="running")
    def run(self) -> None:
        """The way back begins."""

    @transition("state", source="running", target="verifying")
    def verify(self) -> None:
        """The earlier state is back; the checks begin."""

    @transition("state", source=["running", "verifying"], target="faltered")
    def falter(self) -> None:
        """A step or check of the way back failed."""

    @transition("state", source="faltered", target="running")
    def retry(self) -> None:
        """Try again."""

    @transition("state", source="faltered", target="reporting")
    def take_over(self) -> None:
        """It was done by hand; two names stand for it."""

    @transition("state", source="verifying", target="monitoring")
    def watch(self) -> None:
        """The checks hold; the watch begins."""

    @transition("state", source=["monitoring", "verifying"], target="reporting")
    def report(self) -> None:
        """The watch has ended, or there was nothing in force to watch."""

    @transition("state", source="reporting", target="closed")
    def close(self) -> None:
        """Report, cause and prevention are approved."""
