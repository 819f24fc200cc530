"""delivery:record: each due delivery is claimed, sent outside any transaction, and its outcome kept. At least once.

A process that dies between sending and keeping leaves the claim behind; when it runs out the letter is sent again under
the same key, by which a receiver drops the second one.
"""

from __future__ import annotations

import logging

from django.conf import settings
from django.db import connection
from django.utils.translation import gettext_noop, override

from audit.change import change
from audit.clock import now
from audit.models import Outbox
from environments.reach.addresses import networks
from environments.secrets import open_sealed
from releases import channels
from releases.actions.delivery.disable import disable_address, disable_channel
from releases.actions.notice.make import ADDRESS_OFF, CHANNEL_OFF, page_address
from releases.actions.notice.subject import AGAIN as TOLD_AGAIN
from releases.actions.notice.subject import asked_in, is_done, is_moved, row_of
from releases.channels.base import Address, ChannelKind, Letter, NotSetUp, Undelivered
from releases.letters.events import KEYS
from releases.letters.page import html_of
from releases.models import DeadAddress, Delivery, MessageChannel

log = logging.getLogger(__name__)
# Seconds after which a failed try is made again; after the last one it is given up.
AGAIN = (15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600)
LEASE = 120
WITHDRAWN = gettext_noop("The message was withdrawn.")
LEFT = gettext_noop("This person is no longer to be told.")
DONE = gettext_noop("It is done meanwhile.")
MOVED = gettext_noop("It has another date meanwhile.")

CLAIM = """
    UPDATE releases_delivery SET tries = tries + 1, lease_until = clock_timestamp() + make_interval(secs => %s)
     WHERE id = (SELECT id FROM releases_delivery
                  WHERE outcome = 'waiting' AND next_at <= clock_timestamp()
                    AND (lease_until IS NULL OR lease_until < clock_timestamp())
                  ORDER BY next_at, id FOR UPDATE SKIP LOCKED LIMIT 1)
    RETURNING id, tries
"""
LATER = """
    UPDATE releases_delivery SET next_at = clock_timestamp() + make_interval(secs => %s), lease_until = NULL, last_error = %s
     WHERE id = %s AND outcome = 'waiting' AND tries = %s
"""


def claim() -> tuple[int, int] | None:
    """Take the next due delivery for LEASE seconds; return (delivery, number of this try), or None when none is due."""
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, [LEASE])
        row = cursor.fetchone()
    return (int(row[0]), int(row[1])) if row is not None else None


def send_due(most: int = 500) -> int:
    """Send what is due, one after the other; return how many were tried."""
    tried = 0
    while tried < most and (taken := claim()) is not None:
        send(*taken)
        tried += 1
    return tried


def send(delivery_id: int, tries: int) -> None:
    """Send one delivery that this process has claimed, and keep what became of it."""
    along = ("message__notice__parent", "message__account", "message__member", "channel")
    row = Delivery.objects.select_related(*along).get(pk=delivery_id)
    notice, channel = row.message.notice, row.channel
    if notice.withdrawn_at is not None and row.message.outside:
        return _record(row, Delivery.Outcome.DROPPED, error=WITHDRAWN)
    if _left(row):
        return _record(row, Delivery.Outcome.DROPPED, error=LEFT)
    if over := _over(row):
        return _record(row, Delivery.Outcome.DROPPED, error=over)
    if channel.disabled_at is not None:
        return _record(row, Delivery.Outcome.FAILED, error=CHANNEL_OFF)
    if row.address and DeadAddress.of(row.address) is not None:
        return _record(row, Delivery.Outcome.FAILED, error=ADDRESS_OFF)
    try:
        kind = channels.kind(channel.kind)
        # Kept in one language, and put into the reader's when it is shown.
        with override("en"):
            answer = kind.send(letter_of(row), address_of(channel, kind, row.address))
    except NotSetUp as missing:
        return _record(row, Delivery.Outcome.FAILED, error=str(missing))
    except Undelivered as fault:
        return _failed(row, tries, str(fault), lasting=fault.lasting, wait=fault.wait)
    except Exception as fault:  # a channel's own fault must not keep the others from their turn
        log.exception("delivery %s", delivery_id)
        return _failed(row, tries, type(fault).__name__, lasting=False, wait=None)
    return _record(row, Delivery.Outcome.SENT, answer=answer)


def letter_of(row: Delivery) -> Letter:
    """Return what is sent for a delivery; the same key at each try."""
    message, notice = row.message, row.message.notice
    # People outside can open no page of ours.
    words, url = message.words, "" if message.outside else page_address(notice)
    return Letter(
        key=f"msg_{message.key.hex}",
        event=notice.event,
        language=message.language,
        subject=words["subject"],
        text=words["body"],
        html=html_of(words["subject"], words["body"], url, message.language),
        url=url,
        at=notice.made_at,
        urgent=notice.urgent,
    )


def address_of(channel: MessageChannel, kind: ChannelKind, to: str) -> Address:
    """Return where a channel's letter goes, with what the settings allow."""
    if kind.personal:
        return Address(to, hosts=tuple(settings.MAIL_DOMAINS))
    opened = {name: open_sealed(text, channel.bound_to(name)) for name, text in channel.sealed.items()}
    return Address(
        opened.get("url", ""),
        secret=opened.get("secret", ""),
        networks=networks(settings.MESSAGE_NETWORKS),
        hosts=tuple(settings.MESSAGE_HOSTS),
    )


def _left(row: Delivery) -> bool:
    """Tell whether an account was closed, or somebody outside taken out of the group, since the message was made."""
    message = row.message
    if message.account is not None:
        return not message.account.is_active
    return message.member is not None and message.member.removed_at is not None


def _over(row: Delivery) -> str:
    """Return why nobody needs to be asked any more for what a message asks for; empty while somebody does."""
    notice = row.message.notice
    if not notice.thing or not (KEYS[notice.event].duty or notice.event in TOLD_AGAIN):
        return ""
    thing = row_of(notice.thing)
    return DONE if is_done(thing) else MOVED if is_moved(thing, asked_in(notice)) else ""


def _failed(row: Delivery, tries: int, why: str, *, lasting: bool, wait: float | None) -> None:
    if lasting or tries > len(AGAIN):
        _record(row, Delivery.Outcome.FAILED, error=why, disables=lasting or not row.address)
        return
    seconds = max(float(AGAIN[tries - 1]), wait or 0.0)
    with connection.cursor() as cursor:
        cursor.execute(LATER, [seconds, why[:300], row.pk, tries])


def _record(row: Delivery, outcome: str, *, answer: str = "", error: str = "", disables: bool = False) -> None:
    """Keep the end of a delivery; one that shows its address to be dead disables it in the same act."""
    targets = [(Delivery, row.pk)]
    with change("delivery:record", *targets, *([(MessageChannel, row.channel_id)] if disables else [])) as act:
        held = act.get(Delivery)
        if held.outcome != Delivery.Outcome.WAITING:
            return
        held.outcome, held.ended_at, held.lease_until = outcome, now(), None
        held.answer, held.last_error = answer[:300], error[:300] or held.last_error
        act.details.update(outcome=outcome, tries=held.tries, answer=held.answer or held.last_error)
        if disables and held.address:
            disable_address(act, held.address, error)
        elif disables:
            disable_channel(act.get(MessageChannel), error)


def waits() -> bool:
    """Tell whether something is to be made of the outbox, or a delivery is due that nobody is sending."""
    moment = now()
    due = Delivery.objects.filter(outcome=Delivery.Outcome.WAITING, next_at__lte=moment).exclude(lease_until__gt=moment)
    return Outbox.objects.filter(sent_at=None).exists() or due.exists()
