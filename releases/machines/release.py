"""The states of a release. Only deployments to production move it past confirmed."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django_fsm import FSMField, transition


class ReleaseMachine(models.Model):
    """draft → content_fixed → tested → in_review → approved → confirmed → releasing → monitoring → completed."""

    class State(models.TextChoices):
        DRAFT = "draft", _("Draft")
        CONTENT_FIXED = "content_fixed", _("Scope locked")
        TESTED = "tested", _("Testing completed")
        IN_REVIEW = "in_review", _("In review")
        APPROVED = "approved", _("Approved")
        CONFIRMED = "confirmed", _("Final check completed")
        RELEASING = "releasing", _("Releasing")
        MONITORING = "monitoring", _("Monitoring")
        COMPLETED = "completed", _("Completed")
        CONCLUDED = "concluded", _("Closed without production")
        RECORDED = "recorded", _("Imported")
        ROLLED_BACK = "rolled_back", _("Rolled back")
        FAILED = "failed", _("Failed")
        REJECTED = "rejected", _("Rejected")
        WITHDRAWN = "withdrawn", _("Cancelled")

    ENDS = frozenset({"completed", "concluded", "recorded", "rolled_back", "failed", "rejected", "withdrawn"})
    PREPARING = ("draft", "content_fixed", "tested", "in_review", "approved", "confirmed")
    # Named, not "all but the ends": the database finds these few by their state among any number of ended ones.
    UNDER_WAY = (*PREPARING, "releasing", "monitoring")
    FIXED = ("content_fixed", "tested", "in_review", "approved", "confirmed")
    MAY_RUN = {
        "development": frozenset(PREPARING),
        "staging": frozenset(FIXED),
        "production": frozenset({"confirmed", "releasing"}),
    }

    state = FSMField(_("state"), choices=State.choices, default="draft", protected=True)

    class Meta:
        abstract = True

    @transition("state", source="draft", target="content_fixed")
    def fix_content(self) -> None:
        """T-14: the scope is locked."""

    @transition("state", source="content_fixed", target="tested")
    def confirm_tests(self) -> None:
        """T-7: the tests of all earlier environments are complete."""

    @transition("state", source="tested", target="in_review")
    def submit(self) -> None:
        """The approval request is opened."""

    @transition("state", source="in_review", target="approved")
    def approve(self) -> None:
        """T-3: every approval stage is met."""

    @transition("state", source="approved", target="confirmed")
    def confirm(self) -> None:
        """T-1: the final check has its two signatures."""

    @transition("state", source="confirmed", target="releasing")
    def start(self) -> None:
        """T-0: the first step of the deployment to production is claimed."""

    @transition("state", source="releasing", target="monitoring")
    def watch(self) -> None:
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

    @transition("state", source="in_review", target="tested")
    def take_back(self) -> None:
        """Withdrawn (引戻し): the requester withdraws the request for now."""

    @transition("state", source=["content_fixed", "tested", "in_review", "approved", "confirmed"], target="draft")
    def amend(self) -> None:
        """The scope is open again; this ends the approval request."""

    @transition("state", source=["approved", "confirmed"], target="tested")
    def postpone(self) -> None:
        """The release moves to another change window; this ends the approval request."""

    @transition("state", source=["in_review", "approved", "confirmed"], target="tested")
    def lapse(self) -> None:
        """The approval was invalidated or expired."""

    @transition("state", source=list(PREPARING), target="withdrawn")
    def withdraw(self) -> None:
        """The release is cancelled."""

    @transition("state", source="tested", target="concluded")
    def conclude(self) -> None:
        """A release that does not go to production is closed."""

    @transition("state", source="draft", target="recorded")
    def record(self) -> None:
        """A release from before Ringi is imported; it is never deployed."""

    @transition("state", source="releasing", target="tested")
    def stand_down(self) -> None:
        """The deployment was resolved as “previous”."""

    @transition("state", source=["releasing", "monitoring", "completed"], target="rolled_back")
    def roll_back(self) -> None:
        """The deployment was rolled back and the earlier state is proved."""

    @transition("state", source=["releasing", "monitoring"], target="failed")
    def abandon(self) -> None:
        """The deployment was resolved otherwise than as “previous”, or superseded while an alarm was open."""
