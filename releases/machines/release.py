"""The life of a release, from draft to its end. Only runs in production move it past confirmed."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django_fsm import FSMField, transition


class ReleaseMachine(models.Model):
    """draft → content_fixed → tested → in_review → approved → confirmed → releasing → monitoring → completed."""

    class State(models.TextChoices):
        DRAFT = "draft", _("Draft")
        CONTENT_FIXED = "content_fixed", _("Content fixed")
        TESTED = "tested", _("Tested")
        IN_REVIEW = "in_review", _("In review")
        APPROVED = "approved", _("Approved")
        CONFIRMED = "confirmed", _("Confirmed")
        RELEASING = "releasing", _("Releasing")
        MONITORING = "monitoring", _("Monitoring")
        COMPLETED = "completed", _("Completed")
        CONCLUDED = "concluded", _("Concluded")
        RECORDED = "recorded", _("Recorded")
        ROLLED_BACK = "rolled_back", _("Rolled back")
        FAILED = "failed", _("Failed")
        REJECTED = "rejected", _("Rejected")
        WITHDRAWN = "withdrawn", _("Withdrawn")

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
        """T-14: what will be released is fixed."""

    @transition("state", source="content_fixed", target="tested")
    def confirm_tests(self) -> None:
        """T-7: the tests of all earlier environments are done."""

    @transition("state", source="tested", target="in_review")
    def submit(self) -> None:
        """Open the round of consent."""

    @transition("state", source="in_review", target="approved")
    def approve(self) -> None:
        """T-3: every stage of the round is met."""

    @transition("state", source="approved", target="confirmed")
    def confirm(self) -> None:
        """T-1: the final check bears its two signatures."""

    @transition("state", source="confirmed", target="releasing")
    def start(self) -> None:
        """T-0: the first step of the run in production is claimed."""

    @transition("state", source="releasing", target="monitoring")
    def watch(self) -> None:
        """Every run in production is verified."""

    @transition("state", source="monitoring", target="completed")
    def complete(self) -> None:
        """The watch has ended well."""

    @transition("state", source="in_review", target="draft")
    def send_back(self) -> None:
        """差戻し: the committee wants it changed."""

    @transition("state", source="in_review", target="rejected")
    def reject(self) -> None:
        """却下: the committee says no, for good."""

    @transition("state", source="in_review", target="tested")
    def take_back(self) -> None:
        """引戻し: the applicant withdraws the application for now."""

    @transition("state", source=["content_fixed", "tested", "in_review", "approved", "confirmed"], target="draft")
    def amend(self) -> None:
        """Open the content again; ends the round."""

    @transition("state", source=["approved", "confirmed"], target="tested")
    def postpone(self) -> None:
        """Another window; ends the round."""

    @transition("state", source=["in_review", "approved", "confirmed"], target="tested")
    def lapse(self) -> None:
        """The consent is void or expired from outside."""

    @transition("state", source=list(PREPARING), target="withdrawn")
    def withdraw(self) -> None:
        """Give the release up."""

    @transition("state", source="tested", target="concluded")
    def conclude(self) -> None:
        """End a release that is not bound for production."""

    @transition("state", source="draft", target="recorded")
    def record(self) -> None:
        """Record what was released before, elsewhere; it never runs."""

    @transition("state", source="releasing", target="tested")
    def stand_down(self) -> None:
        """Its run was settled as before."""

    @transition("state", source=["releasing", "monitoring", "completed"], target="rolled_back")
    def roll_back(self) -> None:
        """Its run was taken back and the earlier state is proved."""

    @transition("state", source=["releasing", "monitoring"], target="failed")
    def abandon(self) -> None:
        """Its run was settled otherwise than as before, or replaced with an alarm open."""
