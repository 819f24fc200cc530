"""The states of a step: the effects of a claim, a lease and an outcome."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django_fsm import FSMField, transition


class StepMachine(models.Model):
    """pending → ready → running → done; an unknown outcome and a failure wait for a person."""

    class State(models.TextChoices):
        PENDING = "pending", _("Pending")
        READY = "ready", _("Ready")
        HELD = "held", _("On hold")
        RUNNING = "running", _("Running")
        DONE = "done", _("Succeeded")
        SKIPPED = "skipped", _("Skipped")
        FAILED = "failed", _("Failed")
        NEEDS_DECISION = "needs_decision", _("Outcome unknown")
        STOPPED = "stopped", _("Stopped")
        NOT_RUN = "not_run", _("Cancelled")

    FINISHED = frozenset({"done", "skipped"})
    ENDS = frozenset({"done", "skipped", "stopped", "failed", "not_run"})

    state = FSMField(_("state"), choices=State.choices, default="pending", protected=True)

    class Meta:
        abstract = True

    @transition("state", source="pending", target="ready")
    def offer(self) -> None:
        """All earlier steps are finished."""

    @transition("state", source="ready", target="running")
    def claim(self) -> None:
        """A worker claims the step under a new fencing token."""

    @transition("state", source="pending", target="running")
    def follow(self) -> None:
        """The worker of the previous step claims this step in the same commit."""

    @transition("state", source="running", target="running")
    def take_over(self) -> None:
        """The lease ended; another worker reclaims the step under a higher fencing token."""

    @transition("state", source="running", target="done")
    def finish(self) -> None:
        """The effect of the step was made."""

    @transition("state", source="running", target="failed")
    def fail(self) -> None:
        """The effect of the step was not made."""

    @transition("state", source="running", target="needs_decision")
    def doubt(self) -> None:
        """Ringi cannot determine whether the effect of the step was made."""

    @transition("state", source="running", target="stopped")
    def stop(self) -> None:
        """The step was ended on purpose."""

    @transition("state", source=["pending", "ready"], target="held")
    def hold_back(self) -> None:
        """The step waits for a person, because the rollback would no longer fit after it."""

    @transition("state", source="held", target="ready")
    def go_on(self) -> None:
        """A person starts the step anyway."""

    @transition("state", source=["failed", "needs_decision"], target="ready")
    def retry(self) -> None:
        """A person retries the step."""

    @transition("state", source=["failed", "needs_decision"], target="skipped")
    def skip(self) -> None:
        """A person skips the step; a required step cannot be skipped."""

    @transition("state", source="needs_decision", target="done")
    def confirm_done(self) -> None:
        """A person has seen the effect of the step."""

    @transition("state", source="needs_decision", target="failed")
    def give_up(self) -> None:
        """A person marks the step as failed, and the deployment continues in another way."""

    @transition("state", source=["pending", "ready", "held"], target="not_run")
    def drop(self) -> None:
        """The deployment ended before the turn of this step."""
