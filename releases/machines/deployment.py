"""The life of a deployment: one attempt to bring a release to one environment."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django_fsm import FSMField, transition


class DeploymentMachine(models.Model):
    """requested → scheduled → queued → running → verifying → monitoring → succeeded."""

    class State(models.TextChoices):
        REQUESTED = "requested", _("Requested")
        SCHEDULED = "scheduled", _("Scheduled")
        QUEUED = "queued", _("Queued")
        RUNNING = "running", _("Running")
        VERIFYING = "verifying", _("Verifying")
        MONITORING = "monitoring", _("Monitoring")
        SUCCEEDED = "succeeded", _("Succeeded")
        WAITING = "waiting", _("Waiting for a decision")
        STOPPING = "stopping", _("Stopping")
        STOPPED = "stopped", _("Stopped")
        FAILED = "failed", _("Failed")
        ROLLING_BACK = "rolling_back", _("Rolling back")
        ROLLED_BACK = "rolled_back", _("Rolled back")
        ROLLBACK_FAILED = "rollback_failed", _("Rollback failed")
        SETTLED = "settled", _("Settled")
        CANCELLED = "cancelled", _("Cancelled")
        MISSED = "missed", _("Missed")

    ENDS = frozenset({"succeeded", "rolled_back", "settled", "cancelled", "missed"})
    WAITING_TO_RUN = frozenset({"requested", "scheduled", "queued"})
    VERIFIED = frozenset({"monitoring", "succeeded"})
    OCCUPYING = (
        "queued",
        "running",
        "verifying",
        "waiting",
        "stopping",
        "failed",
        "stopped",
        "rolling_back",
        "rollback_failed",
    )

    state = FSMField(_("state"), choices=State.choices, default="requested", protected=True)

    class Meta:
        abstract = True

    @transition("state", source="requested", target="scheduled")
    def schedule(self) -> None:
        """An hour is set and the gates are passed."""

    @transition("state", source="scheduled", target="queued")
    def queue(self) -> None:
        """It is all but due and the gates are passed again."""

    @transition("state", source="queued", target="scheduled")
    def put_back(self) -> None:
        """A gate closed between queueing and the claim."""

    @transition("state", source=["requested", "scheduled", "queued"], target="cancelled")
    def cancel(self) -> None:
        """It will not run."""

    @transition("state", source=["scheduled", "queued"], target="missed")
    def miss(self) -> None:
        """Its window passed without a start."""

    @transition("state", source="queued", target="running")
    def start(self) -> None:
        """The first step is claimed; consumes the consent."""

    @transition("state", source="running", target="verifying")
    def verify(self) -> None:
        """All steps are finished; the checks begin."""

    @transition("state", source="verifying", target="monitoring")
    def watch(self) -> None:
        """The checks hold and, where protected, a second person says so."""

    @transition("state", source="monitoring", target="succeeded")
    def succeed(self) -> None:
        """The watch has ended well."""

    @transition("state", source="monitoring", target="succeeded")
    def cut_short(self) -> None:
        """A newer run has taken its place; the watch keeps its verdict so far."""

    @transition("state", source=["running", "verifying"], target="waiting")
    def hold(self) -> None:
        """A person must decide."""

    @transition("state", source="waiting", target="running")
    def resume(self) -> None:
        """Go on with the steps."""

    @transition("state", source="waiting", target="verifying")
    def recheck(self) -> None:
        """Go on with the checks."""

    @transition("state", source=["running", "waiting", "verifying"], target="stopping")
    def stop(self) -> None:
        """A person stops it; the running step is told to end."""

    @transition("state", source="stopping", target="stopped")
    def stopped(self) -> None:
        """Nothing of it runs any more."""

    @transition("state", source=["running", "waiting", "verifying"], target="failed")
    def fail(self) -> None:
        """It will not go on forward."""

    @transition(
        "state", source=["waiting", "verifying", "monitoring", "succeeded", "failed", "stopped"], target="rolling_back"
    )
    def roll_back(self) -> None:
        """The way back begins."""

    @transition("state", source="rolling_back", target="rolled_back")
    def restored(self) -> None:
        """The earlier state is back and proved by digest."""

    @transition("state", source="rolling_back", target="rollback_failed")
    def falter(self) -> None:
        """The way back did not end well."""

    @transition("state", source="rollback_failed", target="rolling_back")
    def retry(self) -> None:
        """Try the way back again."""

    @transition("state", source=["failed", "stopped", "rollback_failed"], target="settled")
    def settle(self) -> None:
        """A person says in what state the target was left."""
