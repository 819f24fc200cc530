"""notification:create: an entry of the outbox becomes one message for each person, in the same transaction that takes it out."""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Case, Q, When
from django.utils.translation import gettext_noop

from audit.clock import now
from audit.isolated import isolated
from audit.models import Event, Outbox
from audit.operation import label, operation
from environments.models import Account
from releases import channel_types
from releases.models import (
    ApprovalRequest,
    InboxItem,
    Notification,
    NotificationChannel,
    NotificationDelivery,
    NotificationTemplate,
    Release,
    SuppressedAddress,
)
from releases.notifications.templates.events import ANNOUNCE, KEYS, PRE_RELEASED, NotificationEvent
from releases.notifications.templates.placeholders import KNOWN_BEFOREHAND, filled, used
from releases.operations.notification.assignees import (
    assignees,
    escalation_recipients,
    reminder_delay,
    reminder_recipients,
)
from releases.operations.notification.superseded import COURSE, supersede_waiting
from releases.operations.notification.values import path_of, values_of, zone_for
from releases.queries.notification_attachments import attachments
from releases.queries.notification_subject import AGAIN, Subject, asked_in, is_done, is_moved, subject_of, thing_of
from releases.queries.recipients import Recipient, not_before, recipients, rules_for

log = logging.getLogger(__name__)
LANGUAGES = ("ja", "en")
# What a run in an environment without protection tells, and only inside.
LOWER = ("deployment:await_decision", "deployment:fail", "poll:suspend")
SUBJECT = 200
# Kept as they stand here and put into the reader's language when they are shown.
NO_ADDRESS = gettext_noop("No mail address is entered.")
CHANNEL_OFF = gettext_noop("The channel is disabled.")
ADDRESS_OFF = gettext_noop("The address is suppressed.")


class _Taken(Exception):
    """Another process has taken this entry out meanwhile."""


@dataclass(frozen=True)
class Plan:
    """What would be told of an entry: the event, its subject, whom, in which words; who caused it and who wrote them."""

    told: NotificationEvent
    subject: Subject
    recipients: list[Recipient]
    texts: dict[str, dict[str, str]]
    acting: list[Account]
    cause: str
    writer: str


def process_outbox(most: int = 20) -> int:
    """Make messages of what waits in the outbox; return how many entries were taken out.

    Oldest first, what is urgent or tells the course of a release before the rest. What tells nobody is taken out without
    an operation. An entry that fails stays, and keeps no other from its turn.
    """
    waiting = Outbox.objects.filter(sent_at=None)
    taken = waiting.exclude(event__in=KEYS).update(sent_at=now())
    first = [key for key, told in KEYS.items() if told.urgent or key in COURSE]
    ordered = waiting.order_by(Case(When(event__in=first, then=0), default=1), "pk")
    made = 0
    for pk, event in ordered.values_list("pk", "event")[:1000]:
        if made == most:
            break
        with isolated(log, "outbox %s (%s): no message could be made of it", pk, event):
            made += create(pk)
    taken += made
    if taken:
        supersede_waiting()
    return taken


def create(outbox_id: int) -> bool:
    """Make the messages of one entry, if its event tells anybody; return whether it was taken out here."""
    entry = Outbox.objects.get(pk=outbox_id)
    plan = planned(entry)
    if plan is None or not plan.recipients:
        return _pass_over(outbox_id)
    try:
        with operation("notification:create") as op:
            held = Outbox.objects.select_for_update(skip_locked=True).filter(pk=outbox_id, sent_at=None).first()
            if held is None:
                raise _Taken
            moment = now()
            notification = _notification(entry, plan, moment)
            for recipient in plan.recipients:
                _message(notification, recipient, moment)
            held.sent_at = moment
            held.save(update_fields=["sent_at"])
            op.about(notification, event=notification.event, notifications=len(plan.recipients))
            if notification.waits:
                op.notify_as("notification:await_external_approval")
    except _Taken:
        return False
    return True


def planned(entry: Outbox, *, though_done: bool = False) -> Plan | None:
    """Return what an entry would tell as things stand now; None when its row is gone, or its duty done or moved already.

    though_done: what it would tell were the duty still open and the release announced, for a preview.
    """
    told, subject = KEYS[entry.event], subject_of(entry.object)
    if subject is None or (_unheard(told, subject) and not though_done):
        return None
    thing = thing_of(told.key, subject, entry.payload)
    asked = asked_in(subject.row) if told.key in AGAIN and isinstance(subject.row, Notification) else entry.payload
    if (told.duty or told.key in AGAIN) and not though_done and (is_done(thing) or is_moved(thing, asked)):
        return None
    acting = _acting(told, subject, entry.payload)
    rules = rules_for(told.key, entry.payload.get("lead_hours") if told.leads else None)
    found = recipients(rules, acting, zone_for(subject))
    if isinstance(subject.row, NotificationChannel):  # it is told of by every other way
        for one in found:
            one.channels.pop(subject.row.pk, None)
        found = [one for one in found if one.channels]
    if not _protected(subject):
        found = [one for one in found if not one.outside]
    elif told.follows and not though_done:
        heard = _heard_of(subject.release)
        found = [one for one in found if not one.outside or one.key in heard]
    event = Event.objects.filter(operation_id=entry.operation_id, kind=Event.Kind.OPERATION).first()
    doer, name = _doer(event.actor if event is not None else "")
    reason = event.reason if event is not None else ""
    given = {"at": entry.created_at, "actor": name, "reason": reason, "payload": entry.payload}
    words, writer = NotificationTemplate.written(told.key)
    texts = {}
    for language in LANGUAGES:
        values = values_of(subject, language=language, thing=thing, **given)
        texts[language] = {
            "subject": " ".join(filled(words[language]["subject"], values).split())[:SUBJECT],
            "body": filled(words[language]["body"], values) + attachments(told.key, subject.release, language),
        }
    return Plan(told, subject, found, texts, acting, doer, writer)


def _acting(told: NotificationEvent, subject: Subject, payload: dict[str, Any]) -> list[Account]:
    if isinstance(subject.row, Notification) and told.key == "notification:remind":
        return reminder_recipients(subject.row)
    if isinstance(subject.row, Notification) and told.key == "notification:escalate":
        return escalation_recipients(subject.row)
    return assignees(told.key, subject, payload)


def _heard_of(release: Release | None) -> set[str]:
    """Return the recipients whom the announcement of a release has reached, or may have: one that is being tried."""
    announced = InboxItem.objects.filter(notification__event=ANNOUNCE, notification__release=release)
    sent = Q(deliveries__outcome=NotificationDelivery.Outcome.SENT)
    tried = Q(deliveries__outcome=NotificationDelivery.Outcome.PENDING, deliveries__tries__gt=0)
    return set(announced.filter(sent | tried).values_list("recipient", flat=True))


def _protected(subject: Subject) -> bool:
    return subject.deployment is None or subject.deployment.environment.protected


def _unheard(told: NotificationEvent, subject: Subject) -> bool:
    """Tell whether a run is of an environment in which people try things out, or an approval is about no release."""
    about_no_release = told.key.startswith("approval:") and told.key != "approval:request" and subject.release is None
    return about_no_release or (not _protected(subject) and told.key not in LOWER)


def _doer(actor: str) -> tuple[str, str]:
    """Return (person_key, printed name) of the actor of an event; a process has no key."""
    kind, _colon, rest = actor.partition(":")
    pk, _second, name = rest.partition(":")
    account = Account.objects.filter(pk=pk).first() if kind in ("person", "service") and pk.isdecimal() else None
    return (account.person_key, str(account)) if account is not None else ("", name or rest)


def _notification(entry: Outbox, plan: Plan, moment: datetime) -> Notification:
    told, subject = plan.told, plan.subject
    thing = thing_of(told.key, subject, entry.payload)
    parent = subject.row if isinstance(subject.row, Notification) else None
    # The milestones of an emergency release are hours apart.
    emergency = subject.release is not None and subject.release.kind == Release.Kind.EMERGENCY
    haste = emergency and (told.duty or told.key == ANNOUNCE)
    urgent = told.urgent or (parent is not None and parent.urgent) or haste
    outside = any(one.outside for one in plan.recipients)
    again = reminder_delay(told.key, entry.payload, urgent) if plan.acting and thing else None
    consent = _released_beforehand(told, subject) if outside else None
    return Notification.objects.create(
        event=told.key,
        outbox=entry.pk,
        operation_id=entry.operation_id,
        object=entry.object,
        required_action=label(thing) if thing is not None else "",
        release=subject.release,
        parent=parent,
        texts=plan.texts,
        payload=entry.payload,
        path=path_of(subject, thing),
        cause=plan.cause,
        writer=plan.writer,
        urgent=urgent,
        external=outside,
        made_at=moment,
        external_approved_at=moment if consent is not None else None,
        approved_with_request=consent,
        remind_at=moment + again if again is not None else None,
    )


def _released_beforehand(told: NotificationEvent, subject: Subject) -> ApprovalRequest | None:
    """Return the approval in which exactly these words were released, if there is one."""
    if told.key not in PRE_RELEASED or subject.deployment is None:
        return None
    approval_request = subject.deployment.approval_request
    if approval_request is None or approval_request.state not in ("approved", "used"):
        return None
    words = NotificationTemplate.words(told.key)
    if used("".join(part for text in words.values() for part in text.values())) - KNOWN_BEFOREHAND:
        return None
    return (
        approval_request if approval_request.document.get("notification_templates", {}).get(told.key) == words else None
    )


def _message(notification: Notification, recipient: Recipient, moment: datetime) -> None:
    message = InboxItem.objects.create(
        notification=notification,
        recipient=recipient.key,
        account=recipient.account,
        group_recipient=recipient.member,
        name=recipient.name,
        language=recipient.language,
        external=recipient.outside,
    )
    held = recipient.outside and notification.waits
    earliest = not_before(recipient, moment, notification.urgent)
    for channel in recipient.channels.values():
        kind = channel_types.by_name(channel.channel_type)
        if kind.within:
            _delivery(message, channel, "", moment, held=held, there=True)
            continue
        if kind.personal and not recipient.address:
            # Whoever reads it in the inbox needs no second way; who has none should be seen to have none.
            if not any(channel_types.by_name(c.channel_type).within for c in recipient.channels.values()):
                _delivery(message, channel, "", moment, held=held, fault=NO_ADDRESS)
            continue
        _delivery(message, channel, recipient.address, earliest, held=held, fault=unusable(channel, recipient.address))


def _delivery(
    message: InboxItem,
    channel: NotificationChannel,
    address: str,
    at: datetime,
    *,
    held: bool,
    there: bool = False,
    fault: str = "",
) -> None:
    row = NotificationDelivery(inbox_item=message, channel=channel, address=address)
    if fault:
        row.outcome, row.ended_at, row.last_error = NotificationDelivery.Outcome.FAILED, at, fault
    elif not held and there:
        row.outcome, row.ended_at = NotificationDelivery.Outcome.SENT, at
    elif not held:
        row.due_at = row.next_at = at
    row.save()


def unusable(channel: NotificationChannel, address: str) -> str:
    """Return why nothing is sent there at all; empty when it is tried."""
    kind = channel_types.by_name(channel.channel_type)
    if kind.personal and not kind.within and not address:
        return NO_ADDRESS
    if channel.disabled_at is not None:
        return CHANNEL_OFF
    if not kind.within and address and SuppressedAddress.of(address) is not None:
        return ADDRESS_OFF
    return ""


def _pass_over(outbox_id: int) -> bool:
    """Take an entry out that tells nobody; it is no fact, so it needs no operation."""
    row = Outbox.objects.filter(pk=outbox_id, sent_at=None).first()
    if row is None:
        return False
    row.sent_at = now()
    row.save(update_fields=["sent_at"])
    return True


def page_address(notification: Notification) -> str:
    """Return the whole address of the page that a notification leads to."""
    return settings.BASE_URL.rstrip("/") + notification.path
