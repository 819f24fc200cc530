"""What is no longer sent to: a bounced address, a dead webhook; and delivery:bounce, address:use_again."""

from __future__ import annotations

from django.utils.translation import gettext as _

from audit.change import Act, change
from audit.clock import now
from audit.refusals import Invalid, WrongState
from environments import access
from releases.models import DeadAddress, Delivery, MessageChannel


def disable_address(act: Act, address: str, because: str) -> None:
    """Send nothing to an address any more, inside an open door."""
    row, made = DeadAddress.objects.get_or_create(
        address__iexact=address,
        lifted_at=None,
        defaults={"address": address, "because": because[:300], "since": now()},
    )
    if made:
        act.details["disabled"] = row.address


def disable_channel(channel: MessageChannel, because: str) -> None:
    """Send nothing through a channel any more, inside an open door."""
    if channel.disabled_at is None:
        channel.disabled_at, channel.disabled_because = now(), because[:300]


def bounce(delivery_id: int, *, reason: str) -> Delivery:
    """Say that a mail came back, which only a person sees: its address is disabled. Raises WrongState, Invalid."""
    with change("delivery:bounce", (Delivery, delivery_id), reason=reason) as act:
        access.require("tell")
        row = act.get(Delivery)
        if not row.address or row.outcome != Delivery.Outcome.SENT:
            raise WrongState(_("Only a mail that was sent can come back."))
        if not reason.strip():
            raise Invalid(_("Say why."))
        row.outcome, row.last_error = Delivery.Outcome.FAILED, reason.strip()[:300]
        disable_address(act, row.address, reason.strip())
    return row


def use_again(address_id: int, *, reason: str) -> DeadAddress:
    """Send to an address again; what was not sent stays unsent. Raises WrongState, Invalid."""
    with change("address:use_again", (DeadAddress, address_id), reason=reason) as act:
        account = access.require("tell")
        row = act.get(DeadAddress)
        if row.lifted_at is not None:
            raise WrongState(_("It is used already."))
        if not reason.strip():
            raise Invalid(_("Say why."))
        row.lifted_at, row.lifted_by = now(), account
    return row
