"""The states of an approval request."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django_fsm import transition

from releases.state_machines.field import StateField


class ApprovalRequestMachine(models.Model):
    """in_review → approved → used; every other transition ends the approval request."""

    class State(models.TextChoices):
        IN_REVIEW = "in_review", _("In review")
        APPROVED = "approved", _("Approved")
        USED = "used", _("Used")
        SENT_BACK = "sent_back", _("Sent back")
        REJECTED = "rejected", _("Rejected")
        WITHDRAWN = "withdrawn", _("Withdrawn")
        INVALIDATED = "invalidated", _("Invalidated")
        EXPIRED = "expired", _("Expired")

    LIVE = frozenset({"in_review", "approved"})
    ENDS = frozenset({"used", "sent_back", "rejected", "withdrawn", "invalidated", "expired"})

    state = StateField(_("state"), choices=State.choices, default="in_review")

    class Meta:
        abstract = True

    @transition("state", source="in_review", target="approved", custom={"operation": "approval:approve"})
    def mark_approved(self) -> None:
        """Every stage has its approvals."""

    @transition("state", source="approved", target="used")
    def use(self) -> None:
        """One deployment has used the approval."""

    @transition("state", source="in_review", target="sent_back")
    def send_back(self) -> None:
        """Sent back (差戻し)."""

    @transition("state", source="in_review", target="rejected")
    def reject(self) -> None:
        """Rejected (却下)."""

    @transition("state", source="in_review", target="withdrawn")
    def withdraw_request(self) -> None:
        """The requester withdraws the request (引戻し)."""

    @transition("state", source=["in_review", "approved"], target="invalidated")
    def invalidate(self) -> None:
        """The approved content has changed; `invalidated_by` names the field."""

    @transition("state", source=["in_review", "approved"], target="expired")
    def expire(self) -> None:
        """The change window of the request has passed."""
