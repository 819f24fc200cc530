"""The states that the versions of a release procedure and of a deployment process share."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django_fsm import transition

from releases.state_machines.field import StateField


class VersionMachine(models.Model):
    """draft → in_review → in_effect → retired."""

    class State(models.TextChoices):
        DRAFT = "draft", _("Draft")
        IN_REVIEW = "in_review", _("In review")
        IN_EFFECT = "in_effect", _("In effect")
        RETIRED = "retired", _("Retired")
        DISCARDED = "discarded", _("Discarded")

    ENDS = frozenset({"retired", "discarded"})

    state = StateField(_("state"), choices=State.choices, default="draft")

    class Meta:
        abstract = True

    @transition("state", source="draft", target="in_review")
    def submit(self) -> None:
        """The version is submitted for approval."""

    @transition("state", source="in_review", target="in_effect")
    def put_into_effect(self) -> None:
        """From now on, new releases follow this version."""

    @transition("state", source="in_effect", target="retired")
    def retire(self) -> None:
        """A newer version is in effect."""

    @transition("state", source="in_review", target="draft")
    def send_back(self) -> None:
        """The version must be changed."""

    @transition("state", source=["draft", "in_review"], target="discarded")
    def discard(self) -> None:
        """The version is not wanted."""
