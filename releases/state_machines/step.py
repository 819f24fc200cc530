"""The states of a step: the effects of a claim, a lease and an outcome."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django_fsm import transition

from releases.state_machines.field import StateField


class StepMachine(models.Model):
    """pending → ready → running → succeeded; an unknown outcome and a failure wait for a person."""

    class State(models.TextChoices):
        PENDING = "pending", _("Pending")
        READY = "ready", _("Ready")
        ON_HOLD = "on_hold", _("On hold")
        RUNNING = "running", _("Running")
        SUCCEEDED = "succeeded", _("Succeeded")
        SKIPPED = "skipped", _("Skipped")
        FAILED = "failed", _("Failed")
        OUTCOME_UNKNOWN = "outcome_unknown", _("Outcome unknown")
        STOPPED = "stopped", _("Stopped")
        CANCELLED = "cancelled", _("Cancelled")

    FINISHED = frozenset({"succeeded", "skipped"})
    ENDS = frozenset({"succeeded", "skipped", "stopped", "failed", "cancelled"})

    state = StateField(_("state"), choices=State.choices, default="pending")

    class Meta:
        abstract = True

    @transition("state", source="pending", target="ready")
    def mark_ready(self) -> None:
        """All earlier steps are finished."""

    @transition("state", source="ready", target="running")
    def claim(self) -> None:
        """A worker claims the step under a new fencing token."""

    @transition("state", source="pending", target="running")
    def claim_next(self) -> None:
        """The worker of the previous step claims this step in the same commit."""

    @transition("state", source="running", target="running")
    def reclaim(self) -> None:
        """The lease ended; another worker reclaims the step under a higher fencing token."""

    @transition("state", source="running", target="succeeded")
    def succeed(self) -> None:
        """The effect of the step was made."""

    @transition("state", source="running", target="failed")
    def fail(self) -> None:
        """The effect of the step was not made."""

    @transition("state", source="running", target="outcome_unknown")
    def mark_unknown(self) -> None:
        """Ringi cannot determine whether the effect of the step was made."""

    @transition("state", source="running", target="stopped")
    def stop(self) -> None:
        """The step was ended on purpose."""

    @transition("state", source=["pending", "ready"], target="on_hold")
    def hold(self) -> None:
        """The step waits for a person, because the rollback would no longer fit after it."""

    @transition("state", source="on_hold", target="ready")
    def start_anyway(self) -> None:
        """A person starts the step anyway."""

    @transition("state", source=["failed", "outcome_unknown"], target="ready")
    def retry(self) -> None:
        """A person retries the step."""

    @transition("state", source=["failed", "outcome_unknown"], target="skipped")
    def skip(self) -> None:
        """A person skips the step; a required step cannot be skipped."""

    @transition("state", source="outcome_unknown", target="succeeded")
    def mark_succeeded(self) -> None:
        """A person has seen the effect of the step."""

    @transition("state", source="outcome_unknown", target="failed")
    def mark_failed(self) -> None:
        """A person marks the step as failed, and the deployment continues in another way."""

    @transition("state", source=["pending", "ready", "on_hold"], target="cancelled")
    def cancel(self) -> None:
        """The deployment ended before the turn of this step."""
