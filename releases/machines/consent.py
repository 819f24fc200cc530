"""The life of a round of consent."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django_fsm import FSMField, transition


class ConsentMachine(models.Model):
    """open → granted → consumed; every other way out ends the round."""

    class State(models.TextChoices):
        OPEN = "open", _("Open")
        GRANTED = "granted", _("Granted")
        CONSUMED = "consumed", _("Consumed")
        SENT_BACK = "sent_back", _("Sent back")
        REJECTED = "rejected", _("Rejected")
        TAKEN_BACK = "taken_back", _("Taken back")
        VOID = "void", _("Void")
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
        """One attempt has used it."""

    @transition("state", source="open", target="sent_back")
    def send_back(self) -> None:
        """差戻し."""

    @transition("state", source="open", target="rejected")
    def reject(self) -> None:
        """却下."""

    @transition("state", source="open", target="taken_back")
    def take_back(self) -> None:
        """引戻し."""

    @transition("state", source=["open", "granted"], target="void")
    def void(self) -> None:
        """What was consented to has changed; `void_key` names it."""

    @transition("state", source=["open", "granted"], target="expired")
    def expire(self) -> None:
        """Its window has passed."""
