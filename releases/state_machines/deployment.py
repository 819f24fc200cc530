"""The states of a deployment: one attempt to bring a release to one environment."""

from django.db import models
from django.utils.translation import gettext_lazy as _, pgettext_lazy
from django_fsm import transition

from releases.state_machines.field import StateField


class DeploymentMachine(models.Model):
    """requested → scheduled → queued → running → verifying → monitoring → succeeded."""

    class State(models.TextChoices):
        REQUESTED = "requested", _("Requested")
        SCHEDULED = "scheduled", _("Scheduled")
        QUEUED = "queued", _("Queued")
        RUNNING = "running", pgettext_lazy("of a deployment", "Running")
        VERIFYING = "verifying", _("Verifying")
        MONITORING = "monitoring", _("Monitoring")
        SUCCEEDED = "succeeded", _("Succeeded")
        AWAITING_DECISION = "awaiting_decision", _("Awaiting decision")
        STOPPING = "stopping", _("Stopping")
        STOPPED = "stopped", _("Stopped")
        FAILED = "failed", _("Failed")
        ROLLING_BACK = "rolling_back", _("Rolling back")
        ROLLED_BACK = "rolled_back", _("Rolled back")
        ROLLBACK_FAILED = "rollback_failed", _("Rollback failed")
        RESOLVED = "resolved", _("Resolved")
        CANCELLED = "cancelled", _("Cancelled")
        MISSED = "missed", _("Missed window")

    ENDS = frozenset({"succeeded", "rolled_back", "resolved", "cancelled", "missed"})
    WAITING_TO_RUN = frozenset({"requested", "scheduled", "queued"})
    VERIFIED = frozenset({"monitoring", "succeeded"})
    OCCUPYING = (
        "queued",
        "running",
        "verifying",
        "awaiting_decision",
        "stopping",
        "failed",
        "stopped",
        "rolling_back",
        "rollback_failed",
    )

    state = StateField(_("state"), choices=State.choices, default="requested")

    class Meta:
        abstract = True

    @transition("state", source="requested", target="scheduled")
    def schedule(self) -> None:
        """The scheduled start is set and the gates are passed."""

    @transition("state", source="scheduled", target="queued")
    def enqueue(self) -> None:
        """The scheduled start is near and the gates are passed again."""

    @transition("state", source="queued", target="scheduled")
    def return_to_scheduled(self) -> None:
        """A gate no longer passed between queueing and claim."""

    @transition("state", source=["requested", "scheduled", "queued"], target="cancelled")
    def cancel(self) -> None:
        """The deployment will not start."""

    @transition("state", source=["scheduled", "queued"], target="missed")
    def mark_missed(self) -> None:
        """The change window passed without a start."""

    @transition("state", source="queued", target="running")
    def start(self) -> None:
        """The first step is claimed; this uses the approval."""

    @transition("state", source="running", target="verifying")
    def start_verification(self) -> None:
        """All steps are finished; the checks begin."""

    @transition("state", source="verifying", target="monitoring")
    def start_monitoring(self) -> None:
        """The checks passed and, in a protected environment, a second person confirmed this."""

    @transition("state", source="monitoring", target="succeeded")
    def succeed(self) -> None:
        """Monitoring has ended with the result passed."""

    @transition("state", source="monitoring", target="succeeded")
    def supersede(self) -> None:
        """A newer deployment has superseded this one; monitoring keeps its result so far."""

    @transition("state", source=["running", "verifying"], target="awaiting_decision")
    def await_decision(self) -> None:
        """A person must decide."""

    @transition("state", source="awaiting_decision", target="running")
    def resume(self) -> None:
        """The steps continue."""

    @transition("state", source="awaiting_decision", target="verifying")
    def resume_verification(self) -> None:
        """The checks continue."""

    @transition("state", source=["running", "awaiting_decision", "verifying"], target="stopping")
    def stop(self) -> None:
        """A person stops the deployment; the running step gets the signal to end."""

    @transition("state", source="stopping", target="stopped")
    def mark_stopped(self) -> None:
        """No step of the deployment runs any more."""

    @transition("state", source=["running", "awaiting_decision", "verifying"], target="failed")
    def fail(self) -> None:
        """The deployment will not continue."""

    @transition(
        "state",
        source=["awaiting_decision", "verifying", "monitoring", "succeeded", "failed", "stopped"],
        target="rolling_back",
    )
    def start_rollback(self) -> None:
        """The rollback begins."""

    @transition("state", source="rolling_back", target="rolled_back")
    def complete_rollback(self) -> None:
        """The earlier state is restored and proved by digest."""

    @transition("state", source="rolling_back", target="rollback_failed")
    def fail_rollback(self) -> None:
        """The rollback failed."""

    @transition("state", source="rollback_failed", target="rolling_back")
    def retry_rollback(self) -> None:
        """The rollback is tried again."""

    @transition("state", source=["failed", "stopped", "rollback_failed"], target="resolved")
    def resolve(self) -> None:
        """A person states the state in which the deployment left the target."""
