"""notification:create: an entry of the outbox becomes a notification, with one delivery for each recipient and channel.

The transaction that takes the entry out creates the notification.
"""

import logging
from datetime import datetime

from django.db.models import Case, When

from audit.clock import now
from audit.isolated import isolated
from audit.models import Outbox
from audit.operation import NothingToDo, label, operation
from releases import channel_types
from releases.models import (
    ApprovalRequest,
    InboxItem,
    Notification,
    NotificationChannel,
    NotificationDelivery,
    NotificationTemplate,
    Release,
)
from releases.notifications.templates.events import ANNOUNCE, KEYS, PRE_RELEASED, NotificationEvent
from releases.notifications.templates.placeholders import KNOWN_BEFOREHAND, used
from releases.operations.notification.supersede import COURSE, supersede_waiting
from releases.queries.assignees import reminder_delay
from releases.queries.notification_plan import NO_ADDRESS, Plan, planned, unusable
from releases.queries.notification_subject import Subject, thing_of
from releases.queries.notification_values import path_of
from releases.queries.recipients import Recipient, not_before

log = logging.getLogger(__name__)


def process_outbox(most: int = 20) -> int:
    """Create notifications from the outbox; return how many entries were taken out.

    Oldest first, with urgent ones and the course of a release before the rest. An entry without recipients is taken out
    without an operation. An entry that fails stays, and does not delay the others.
    """
    # An entry of an earlier version can be of an event that no longer becomes a message.
    waiting = Outbox.objects.filter(sent_at=None)
    taken = waiting.exclude(event__in=KEYS).update(sent_at=now())
    first = [key for key, event_type in KEYS.items() if event_type.urgent or key in COURSE]
    ordered = waiting.filter(event__in=KEYS).order_by(Case(When(event__in=first, then=0), default=1), "pk")
    made = 0
    for pk, event in ordered.values_list("pk", "event")[:1000]:
        if made == most:
            break
        with isolated(log, "outbox entry %s (%s): no notification could be created", pk, event):
            made += create(pk)
    taken += made
    if taken:
        supersede_waiting()
    return taken


def create(outbox_id: int) -> bool:
    """Create the notification of one entry, if its event notifies anyone; return whether it was taken out here."""
    entry = Outbox.objects.get(pk=outbox_id)
    plan = planned(entry)
    if plan is None or not plan.recipients:
        return _pass_over(outbox_id)
    with operation("notification:create") as op:
        held = Outbox.objects.select_for_update(skip_locked=True).filter(pk=outbox_id, sent_at=None).first()
        if held is None:
            raise NothingToDo
        moment = now()
        notification = _notification(entry, plan, moment)
        for recipient in plan.recipients:
            _message(notification, recipient, moment)
        held.sent_at = moment
        held.save(update_fields=["sent_at"])
        op.about(notification, event=notification.event, notifications=len(plan.recipients))
        if notification.waits:
            op.notify_as("notification:await_external_approval")
    return not op.dropped


def _notification(entry: Outbox, plan: Plan, moment: datetime) -> Notification:
    event_type, subject = plan.event_type, plan.subject
    thing = thing_of(event_type.key, subject, entry.payload)
    parent = subject.row if isinstance(subject.row, Notification) else None
    # The milestones of an emergency release are hours apart.
    emergency = subject.release is not None and subject.release.kind == Release.Kind.EMERGENCY
    haste = emergency and (event_type.required_action or event_type.key == ANNOUNCE)
    urgent = event_type.urgent or (parent is not None and parent.urgent) or haste
    outside = any(one.outside for one in plan.recipients)
    again = reminder_delay(event_type.key, entry.payload, urgent) if plan.acting and thing else None
    approval = _released_beforehand(event_type, subject) if outside else None
    return Notification.objects.create(
        event=event_type.key,
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
        external_approved_at=moment if approval is not None else None,
        approved_with_request=approval,
        remind_at=moment + again if again is not None else None,
    )


def _released_beforehand(event_type: NotificationEvent, subject: Subject) -> ApprovalRequest | None:
    """Return the approval in which exactly these texts were approved, if there is one."""
    if event_type.key not in PRE_RELEASED or subject.deployment is None:
        return None
    approval_request = subject.deployment.approval_request
    if approval_request is None or approval_request.state not in ("approved", "used"):
        return None
    words = NotificationTemplate.words(event_type.key)
    if used("".join(part for text in words.values() for part in text.values())) - KNOWN_BEFOREHAND:
        return None
    return (
        approval_request
        if approval_request.document.get("notification_templates", {}).get(event_type.key) == words
        else None
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
            # A person who reads it in the inbox needs no second channel; for one without any, this must show.
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


def _pass_over(outbox_id: int) -> bool:
    """Take out an entry without recipients; it changes no audited table, so it needs no operation."""
    row = Outbox.objects.filter(pk=outbox_id, sent_at=None).first()
    if row is None:
        return False
    row.sent_at = now()
    row.save(update_fields=["sent_at"])
    return True
