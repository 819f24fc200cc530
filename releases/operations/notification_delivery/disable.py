"""Disabled addresses and channels: notification_delivery:bounce, suppressed_address:enable, and what was missed."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils.translation import gettext as _, gettext_noop

from audit.clock import now
from audit.operation import Operation, operation
from audit.refusals import NotPossible
from environments import access
from environments.models import Account
from releases.models import NotificationChannel, NotificationDelivery, SuppressedAddress
from releases.operations.notification.supersede import NEWER, is_superseded

# A missed delivery is not sent after this time.
OUT_OF_DATE = timedelta(days=1)
OLD = gettext_noop("The notification was more than a day old, so it was not sent any more.")


def disable_address(op: Operation, address: str, because: str, since: datetime) -> None:
    """Suppress an address, inside an open operation."""
    row, made = SuppressedAddress.objects.get_or_create(
        address__iexact=address, lifted_at=None, defaults={"address": address, "reason": because[:300], "since": since}
    )
    if made:
        op.details["suppressed"] = row.pk


def disable_channel(channel: NotificationChannel, because: str) -> None:
    """Disable a channel, inside an open operation."""
    if channel.disabled_at is None:
        channel.disabled_at, channel.disabled_because = now(), because[:300]


def bounce(delivery_id: int, *, reason: str) -> NotificationDelivery:
    """Record that a mail bounced, which only a person sees: its address is suppressed. Raises NotPossible,
    InvalidInput.
    """
    with operation("notification_delivery:bounce", (NotificationDelivery, delivery_id), reason=reason) as op:
        # An address is suppressed for the mails of all applications.
        access.require("configure_notifications", application=None)
        row = op.get(NotificationDelivery)
        if not row.address or row.outcome != NotificationDelivery.Outcome.SENT:
            raise NotPossible(_("Only a mail that was sent can be marked as bounced."))
        op.require_reason()
        row.outcome, row.ended_at, row.last_error = NotificationDelivery.Outcome.FAILED, now(), reason.strip()[:300]
        disable_address(op, row.address, reason.strip(), row.ended_at)
    return row


def enable_address(address_id: int, *, reason: str) -> SuppressedAddress:
    """Send to an address again, also what it missed since. Raises NotPossible, InvalidInput."""
    with operation("suppressed_address:enable", (SuppressedAddress, address_id), reason=reason) as op:
        account = access.require("configure_notifications")
        row = op.get(SuppressedAddress)
        if row.lifted_at is not None:
            raise NotPossible(_("This address is already enabled."))
        op.require_reason()
        enable_addresses(op, [row], account)
    return row


def enable_addresses(op: Operation, rows: Iterable[SuppressedAddress], account: Account) -> None:
    """Send to addresses again, also what they missed, inside an open operation."""
    for row in rows:
        row.lifted_at, row.lifted_by = now(), account
        row.save()
        send_missed(op, Q(address__iexact=row.address), row.since)


def send_missed(op: Operation, which: Q, since: datetime) -> None:
    """Send what failed since then, inside an open operation. What a newer notification replaces is superseded, and what
    is older than a day cancelled: its recipient never had it.
    """
    moment = now()
    failed = NotificationDelivery.objects.select_for_update(of=("self",), no_key=True).filter(
        which, outcome=NotificationDelivery.Outcome.FAILED, ended_at__gte=since
    )
    failed = failed.exclude(channel__channel_type=NotificationChannel.Kind.MAIL, address="")  # without an address there
    for row in failed.select_related("inbox_item__notification__release").order_by("pk"):
        if is_superseded(row):
            row.outcome, row.ended_at, row.last_error = NotificationDelivery.Outcome.SUPERSEDED, moment, NEWER
        elif row.inbox_item.notification.made_at < moment - OUT_OF_DATE:
            row.outcome, row.ended_at, row.last_error = NotificationDelivery.Outcome.CANCELLED, moment, OLD
        else:
            row.outcome, row.ended_at, row.due_at, row.next_at = (
                NotificationDelivery.Outcome.PENDING,
                None,
                moment,
                moment,
            )
        op.details[row.outcome] = op.details.get(row.outcome, 0) + 1
        row.save()
