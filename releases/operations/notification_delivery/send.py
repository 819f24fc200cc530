"""notification_delivery:record: a claimed delivery is sent outside any transaction, and its outcome kept. At least
once.

A process that dies between sending and recording leaves the lane claimed; when that expires the delivery is sent again
with the same key, by which a receiver drops the second one.
"""

import logging
import re
from datetime import timedelta

from django.conf import settings
from django.db import connection
from django.utils.translation import gettext_noop, override

from audit.clock import now
from audit.operation import operation
from environments.connectivity.addresses import networks
from environments.secrets import decrypt
from releases import channel_types
from releases.channel_types.base import Address, ChannelType, NotDelivered, NotSetUp, OutgoingMessage
from releases.models import (
    GroupRecipient,
    InboxItem,
    Notification,
    NotificationChannel,
    NotificationDelivery,
    NotificationRule,
    SuppressedAddress,
)
from releases.notifications.templates.events import KEYS
from releases.notifications.templates.html import html_of
from releases.operations.notification.supersede import NEWER, is_superseded
from releases.operations.notification_delivery import lane
from releases.operations.notification_delivery.disable import disable_address, disable_channel
from releases.queries.notification_plan import acting_now, page_address, unusable
from releases.queries.notification_subject import AGAIN as TOLD_AGAIN, asked_in, is_done, is_moved, row_of

log = logging.getLogger(__name__)
# Seconds after which a delivery that one recipient refused is tried again; after a day it has failed.
AGAIN = (15, 60, 300, 900, 3600, 4 * 3600)
GIVEN_UP = timedelta(days=1)
# So many addresses that are refused finally with the same answer within this time show a fault of the channel.
SEVERAL, AT_ONCE = 3, timedelta(minutes=10)
WITHDRAWN = gettext_noop("The notification was cancelled.")
LEFT = gettext_noop("This person is no longer a recipient of this notification.")
DONE = gettext_noop("The task was completed before this notification was sent.")
MOVED = gettext_noop("The date changed before this notification was sent.")

LATER = """
    UPDATE releases_notificationdelivery SET next_at = coalesce(clock_timestamp() + make_interval(secs => %s), next_at),
      last_error = %s
     WHERE id = %s AND outcome = 'pending' AND tries = %s
"""


def send(delivery_id: int, tries: int) -> None:
    """Send one delivery that this process has claimed, record its outcome, and free its lane."""
    along = (
        "inbox_item__notification__parent",
        "inbox_item__notification__release",
        "inbox_item__account",
        "inbox_item__group_recipient",
        "channel",
    )
    row = NotificationDelivery.objects.select_related(*along).get(pk=delivery_id)
    channel, row.address = row.channel, _address_now(row)
    if (end := _end_of(row)) is not None:
        _record(row, *end)
        lane.free(channel, took=False)
        return
    try:
        kind = channel_types.by_name(channel.channel_type)
        # Kept in one language, and translated into the reader's when it is shown.
        with override("en"):
            answer = kind.send(message_of(row), address_of(channel, kind, row.address))
    except NotSetUp as missing:
        _record(row, NotificationDelivery.Outcome.FAILED, str(missing))
        lane.free(channel, took=False)
    except NotDelivered as fault:
        _undelivered(row, tries, fault)
    except Exception as fault:  # a fault of one channel must not delay the others
        log.exception("delivery %s", delivery_id)
        _undelivered(row, tries, NotDelivered(type(fault).__name__, whose="either"))
    else:
        _record(row, NotificationDelivery.Outcome.SENT, answer=answer)
        lane.free(channel, took=True)


def _address_now(row: NotificationDelivery) -> str:
    """Return where a delivery goes: to the present address of an account, for it may have changed since."""
    account = row.inbox_item.account
    return account.email if row.address and account is not None else row.address


def _end_of(row: NotificationDelivery) -> tuple[NotificationDelivery.Outcome, str] | None:
    """Return the outcome of a delivery that is not to be sent any more, and why; None for one that is."""
    if row.inbox_item.notification.cancelled_at is not None and row.inbox_item.external:
        return NotificationDelivery.Outcome.CANCELLED, WITHDRAWN
    if over := _over(row):
        return NotificationDelivery.Outcome.CANCELLED, over
    if _left(row):
        return NotificationDelivery.Outcome.CANCELLED, LEFT
    if is_superseded(row):
        return NotificationDelivery.Outcome.SUPERSEDED, NEWER
    return (NotificationDelivery.Outcome.FAILED, why) if (why := unusable(row.channel, row.address)) else None


def message_of(row: NotificationDelivery) -> OutgoingMessage:
    """Return what is sent for a delivery; the same key at each try."""
    message, notification = row.inbox_item, row.inbox_item.notification
    # External recipients can open no page of Ringi.
    words, url = message.words, "" if message.external else page_address(notification)
    return OutgoingMessage(
        key=f"msg_{message.key.hex}",
        event=notification.event,
        language=message.language,
        subject=words["subject"],
        text=words["body"],
        html=html_of(words["subject"], words["body"], url, message.language),
        url=url,
        at=notification.made_at,
        urgent=notification.urgent,
    )


def address_of(channel: NotificationChannel, kind: ChannelType, to: str) -> Address:
    """Return the address of a channel's delivery, with what the settings allow."""
    if kind.personal:
        return Address(to, hosts=tuple(settings.MAIL_DOMAINS))
    opened = {name: decrypt(text, channel.bound_to(name)) for name, text in channel.encrypted.items()}
    return Address(
        opened.get("url", ""),
        secret=opened.get("secret", ""),
        networks=networks(settings.NOTIFICATION_NETWORKS),
        hosts=tuple(settings.NOTIFICATION_HOSTS),
    )


def _left(row: NotificationDelivery) -> bool:
    """Tell whether a person is no recipient any more: their account was deactivated, they were removed from the group,
    or somebody else must act by now.
    """
    message, member = row.inbox_item, row.inbox_item.group_recipient
    if message.account is None:
        return member is not None and member.removed_at is not None
    if not message.account.is_active:
        return True
    if _asks(message.notification) if member is None else member.removed_at is not None and not _in_a_group(message):
        return message.recipient not in {f"person:{one.person_key}" for one in acting_now(message.notification)}
    return False


def _in_a_group(message: InboxItem) -> bool:
    """Tell whether a person is in any group that is notified of the event."""
    rules = NotificationRule.objects.filter(event=message.notification.event, removed_at=None, group__closed_at=None)
    present = GroupRecipient.objects.filter(group__in=rules.values("group"), removed_at=None)
    return message.account is not None and present.filter(account__in=message.account.accounts).exists()


def _asks(notification: Notification) -> bool:
    """Tell whether a notification asks for something to be done."""
    again = notification.event in TOLD_AGAIN
    return bool(notification.required_action) and (KEYS[notification.event].required_action or again)


def _over(row: NotificationDelivery) -> str:
    """Return why the request in a message needs no answer any more; empty while it does."""
    notification = row.inbox_item.notification
    if not _asks(notification):
        return ""
    thing = row_of(notification.required_action)
    return DONE if is_done(thing) else MOVED if is_moved(thing, asked_in(notification)) else ""


def _undelivered(row: NotificationDelivery, tries: int, fault: NotDelivered) -> None:
    """Record a failed try, and hold the lane if it is the channel's fault; an address is suppressed for its own fault
    only.
    """
    why, whose = str(fault), fault.whose
    dead = fault.lasting and whose == "recipient"
    alike = SuppressedAddress.objects.filter(reason__startswith=_said(why), since__gt=now() - AT_ONCE, lifted_at=None)
    if dead and alike.exclude(address__iexact=row.address).count() + 1 >= SEVERAL:
        lane.found_faulty(row.channel, why, alike)
        dead, whose = False, "channel"
    if dead or (fault.lasting and not row.address):
        _record(row, NotificationDelivery.Outcome.FAILED, why, disables=True)
        lane.free(row.channel, took=False)
        return
    if whose == "either" and _another_met(row, why):
        whose = "channel"
    if row.due_at is not None and row.due_at < now() - GIVEN_UP:
        _record(row, NotificationDelivery.Outcome.FAILED, why)
    else:
        # A delivery that the channel refuses stays the next in its lane; one that its recipient refuses lets the others
        # pass.
        own = AGAIN[min(tries, len(AGAIN)) - 1] if fault.whose != "channel" else None
        with connection.cursor() as cursor:
            cursor.execute(LATER, [own, why[:300], row.pk, tries])
    if whose == "channel":
        lane.fault(row.channel, why, fault.wait or 0.0)
    else:
        lane.free(row.channel, took=False)


def _said(why: str) -> str:
    """Return what two answers with one meaning have in common: their codes, or how they begin."""
    code = re.match(r"\d{3}(?:[ -]\d\.\d{1,3}\.\d{1,3})?", why)
    return code[0] if code is not None else why[:30]


def _another_met(row: NotificationDelivery, why: str) -> bool:
    """Tell whether another recipient, or another delivery to the same address, met the same fault and still waits."""
    others = NotificationDelivery.objects.filter(channel=row.channel, outcome="pending", tries__gt=0).exclude(pk=row.pk)
    if row.address:
        others = others.exclude(address__iexact=row.address)
    return others.filter(last_error__startswith=_said(why)).exists()


def _record(
    row: NotificationDelivery, outcome: str, error: str = "", *, answer: str = "", disables: bool = False
) -> None:
    """Record the end of a delivery; one that shows its address to be dead suppresses it in the same operation."""
    targets = [(NotificationDelivery, row.pk)]
    with operation(
        "notification_delivery:record", *targets, *([(NotificationChannel, row.channel_id)] if disables else [])
    ) as op:
        held = op.get(NotificationDelivery)
        if held.outcome != NotificationDelivery.Outcome.PENDING:
            return
        held.address, held.outcome, held.ended_at = row.address, outcome, now()
        held.response, held.last_error = answer[:300], error[:300] or held.last_error
        op.details.update(outcome=outcome, tries=held.tries)
        if not held.address:  # the answer of a mail server names the person, so the event has a commitment of it alone
            op.details["answer"] = held.response or held.last_error
        if disables and held.address:
            disable_address(op, held.address, error, held.ended_at)
        elif disables:
            channel = op.get(NotificationChannel)
            disable_channel(channel, error)
            op.add_event("notification_channel:mark_unavailable", channel, cause=error[:300])
