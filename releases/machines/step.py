"""The life of a step: what one claim, one lease and one outcome may do to it."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django_fsm import FSMField, transition


class StepMachine(models.Model):
    """pending → ready → running → done; doubt and failure wait for a person."""

    class State(models.TextChoices):
        PENDING = "pending", _("Pending")
        READY = "ready", _("Ready")
        HELD = "held", _("Held")
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        SKIPPED = "skipped", _("Skipped")
        FAILED = "failed", _("Failed")
        NEEDS_DECISION = "needs_decision", _("Needs a decision")
        STOPPED = "stopped", _("Stopped")
        NOT_RUN = "not_run", _("Not run")

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
        """A worker takes it under a new epoch."""

    @transition("state", source="pending", target="running")
    def follow(self) -> None:
        """The worker of the step before takes it in the same commit."""

    @transition("state", source="running", target="running")
    def take_over(self) -> None:
        """The lease ended; another worker takes it under a higher epoch."""

    @transition("state", source="running", target="done")
    def finish(self) -> None:
        """Its effect was made."""

    @transition("state", source="running", target="failed")
    def fail(self) -> None:
        """Its effect was not made."""

    @transition("state", source="running", target="needs_decision")
    def doubt(self) -> None:
        """Nobody can tell whether its effect was made."""

    @transition("state", source="running", target="stopped")
    def stop(self) -> None:
        """It was ended on purpose."""

    @transition("state", source=["pending", "ready"], target="held")
    def hold_back(self) -> None:
        """Nobody begins it without a person's word: afterwards the way back would no longer fit."""

    @transition("state", source="held", target="ready")
    def go_on(self) -> None:
        """A person lets it begin all the same."""

    @transition("state", source=["failed", "needs_decision"], target="ready")
    def retry(self) -> None:
        """A person lets it run again."""

    @transition("state", source=["failed", "needs_decision"], target="skipped")
    def skip(self) -> None:
        """A person goes on without it; never for a required step."""

    @transition("state", source="needs_decision", target="done")
    def confirm_done(self) -> None:
        """A person has seen its effect."""

    @transition("state", source="needs_decision", target="failed")
    def give_up(self) -> None:
        """The run goes another way."""

    @transition("state", source=["pending", "ready", "held"], target="not_run")
    def drop(self) -> None:
        """The run ended before its turn."""
