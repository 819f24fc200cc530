"""The states of a release. Only deployments to production move it past confirmed."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django_fsm import transition

from releases.state_machines.field import StateField


class ReleaseMachine(models.Model):
    """draft → scope_locked → testing_completed → in_review → approved → final_check_completed → releasing → monitoring
    → completed.
    """

    class State(models.TextChoices):
        DRAFT = "draft", _("Draft")
        SCOPE_LOCKED = "scope_locked", _("Scope locked")
        TESTING_COMPLETED = "testing_completed", _("Testing completed")
        IN_REVIEW = "in_review", _("In review")
        APPROVED = "approved", _("Approved")
        FINAL_CHECK_COMPLETED = "final_check_completed", _("Final check completed")
        RELEASING = "releasing", _("Releasing")
        MONITORING = "monitoring", _("Monitoring")
        COMPLETED = "completed", _("Completed")
        CLOSED = "closed", _("Closed without production")
        IMPORTED = "imported", _("Imported")
        ROLLED_BACK = "rolled_back", _("Rolled back")
        FAILED = "failed", _("Failed")
        REJECTED = "rejected", _("Rejected")
        CANCELLED = "cancelled", _("Cancelled")

    ENDS = frozenset({"completed", "closed", "imported", "rolled_back", "failed", "rejected", "cancelled"})
    PREPARING = ("draft", "scope_locked", "testing_completed", "in_review", "approved", "final_check_completed")
    # Named, not "all but the ends": the database finds these few by their state among any number of ended ones.
    UNDER_WAY = (*PREPARING, "releasing", "monitoring")
    FIXED = ("scope_locked", "testing_completed", "in_review", "approved", "final_check_completed")
    MAY_RUN = {
        "development": frozenset(PREPARING),
        "staging": frozenset(FIXED),
        "production": frozenset({"final_check_completed", "releasing"}),
    }

    state = StateField(_("state"), choices=State.choices, default="draft")

    class Meta:
        abstract = True

    @transition("state", source="draft", target="scope_locked")
    def lock_scope(self) -> None:
        """T-14: the scope is locked."""

    @transition("state", source="scope_locked", target="testing_completed")
    def complete_testing(self) -> None:
        """T-7: the tests of all earlier environments are complete."""

    @transition("state", source="testing_completed", target="in_review")
    def submit(self) -> None:
        """The approval request is opened."""

    @transition("state", source="in_review", target="approved")
    def mark_approved(self) -> None:
        """T-3: every approval stage is met."""

    @transition("state", source="approved", target="final_check_completed")
    def complete_final_check(self) -> None:
        """T-1: the final check has its two signatures."""

    @transition("state", source="final_check_completed", target="releasing")
    def start(self) -> None:
        """T-0: the first step of the deployment to production is claimed."""

    @transition("state", source="releasing", target="monitoring")
    def start_monitoring(self) -> None:
        """Every deployment to production is verified."""

    @transition("state", source="monitoring", target="completed")
    def complete(self) -> None:
        """Monitoring has ended with the result passed."""

    @transition("state", source="in_review", target="draft")
    def send_back(self) -> None:
        """Sent back (差戻し): the committee wants a change."""

    @transition("state", source="in_review", target="rejected")
    def reject(self) -> None:
        """Rejected (却下): the committee says no, for good."""

    @transition("state", source="in_review", target="testing_completed")
    def withdraw_request(self) -> None:
        """Withdrawn (引戻し): the requester withdraws the request for now."""

    @transition(
        "state",
        source=["scope_locked", "testing_completed", "in_review", "approved", "final_check_completed"],
        target="draft",
    )
    def reopen_scope(self) -> None:
        """The scope is open again; this ends the approval request."""

    @transition("state", source=["approved", "final_check_completed"], target="testing_completed")
    def reschedule(self) -> None:
        """The release moves to another change window; this ends the approval request."""

    @transition("state", source=["in_review", "approved", "final_check_completed"], target="testing_completed")
    def end_approval(self) -> None:
        """The approval was invalidated or expired."""

    @transition("state", source=list(PREPARING), target="cancelled")
    def cancel(self) -> None:
        """The release is cancelled."""

    @transition("state", source="testing_completed", target="closed")
    def close(self) -> None:
        """A release that does not go to production is closed."""

    @transition("state", source="draft", target="imported")
    def mark_imported(self) -> None:
        """A release from before Ringi is imported; it is never deployed."""

    @transition("state", source="releasing", target="testing_completed")
    def abort(self) -> None:
        """The deployment was resolved as “previous”."""

    @transition("state", source=["releasing", "monitoring", "completed", "failed"], target="rolled_back")
    def mark_rolled_back(self) -> None:
        """It was rolled back wherever it had been deployed in production, and the earlier state is proved."""

    @transition("state", source=["releasing", "monitoring", "completed"], target="failed")
    def fail(self) -> None:
        """A deployment was resolved otherwise than as “previous”, superseded while an alarm was open, or the release
        has not reached, or does not stay in, all of its environments of production.
        """
