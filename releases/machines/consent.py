"""The states of an approval request."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django_fsm import FSMField, transition


class ConsentMachine(models.Model):
    """open → granted → consumed; every other transition ends the approval request."""

    class State(models.TextChoices):
        OPEN = "open", _("In review")
        GRANTED = "granted", _("Approved")
        CONSUMED = "consumed", _("Used")
        SENT_BACK = "sent_back", _("Sent back")
        REJECTED = "rejected", _("Rejected")
        TAKEN_BACK = "taken_back", _("Withdrawn")
        VOID = "void", _("Invalidated")
        EXPIRED = "expired", _("Expired")

    LIVE = frozenset({"open", "granted"})
    ENDS = frozenset({"consumed", "sent_back", "rejected", "taken_back", "void", "expired"})

    state = FSMField(_("state"), choices=State.choices, default="open", protected=True)

    class Meta:
        abstract = True

    @transition("state", source="open", target="granted", custom={"operation": "consent:approve"})
    def grant(self) -> None:
        """Every stage has its approvals."""

    @transition("state", source="granted", target="consumed")
    def consume(self) -> None:
        """One deployment has used the approval."""

    @transition("state", source="open", target="sent_back")
    def send_back(self) -> None:
        """Sent back (差戻し)."""

    @transition("state", source="open", target="rejected")
    def reject(self) -> None:
        """Rejected (却下)."""

    @transition("state", source="open", target="taken_back")
    def take_back(self) -> None:
        """The requester withdraws the request (引戻し)."""

    @transition("state", source=["open", "granted"], target="void")
    def void(self) -> None:
        """The approved content has changed; `void_key` names the field."""

    @transition("state", source=["open", "granted"], target="expired")
    def expire(self) -> None:
        """The change window of the request has passed."""
