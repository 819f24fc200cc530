"""The life of a version of the procedure: it governs itself."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django_fsm import FSMField, transition


class ProcedureMachine(models.Model):
    """draft → in_review → active → retired."""

    class State(models.TextChoices):
        DRAFT = "draft", _("Draft")
        IN_REVIEW = "in_review", _("In review")
        ACTIVE = "active", _("Active")
        RETIRED = "retired", _("Retired")
        DISCARDED = "discarded", _("Discarded")

    ENDS = frozenset({"retired", "discarded"})

    state = FSMField(_("state"), choices=State.choices, default="draft", protected=True)

    class Meta:
        abstract = True

    @transition("state", source="draft", target="in_review")
    def submit(self) -> None:
        """Ask for consent."""

    @transition("state", source="in_review", target="active")
    def activate(self) -> None:
        """From now on new releases follow it."""

    @transition("state", source="active", target="retired")
    def retire(self) -> None:
        """A newer version is active."""

    @transition("state", source="in_review", target="draft")
    def send_back(self) -> None:
        """It must be changed."""

    @transition("state", source=["draft", "in_review"], target="discarded")
    def discard(self) -> None:
        """Nobody wants it."""
