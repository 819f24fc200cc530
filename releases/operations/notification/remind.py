"""notification:remind, notification:escalate, notification:complete: a task that is not done is reminded of and
escalated.

Reminders end when it is done, or when it has another date, which has a reminder of its own.
"""

from functools import partial

from audit.clock import now
from audit.operation import operation
from releases.models import Notification
from releases.operations.poll.retry_limit import with_retry_limit
from releases.queries.assignees import ASKED_AGAIN, MOST, reminder_delay
from releases.queries.notification_subject import is_done, is_moved, row_of


def remind_open() -> list[int]:
    """Follow up each notification whose time has come; return them (the poll calls it)."""
    followed = []
    for pk in Notification.objects.filter(remind_at__lte=now()).order_by("remind_at").values_list("pk", flat=True):
        if with_retry_limit("reminder", f"releases.Notification:{pk}", partial(remind_or_escalate, pk)):
            followed.append(pk)
    return followed


def remind_or_escalate(notification_id: int) -> str:
    """Remind those who must act, notify others after ASKED_AGAIN reminders, or end it; return the event added."""
    seen = Notification.objects.get(pk=notification_id)
    thing = row_of(seen.required_action)
    if is_done(thing) or is_moved(thing, seen.payload):
        event = "notification:complete"
    elif seen.reminded < ASKED_AGAIN:
        event = "notification:remind"
    else:
        event = "notification:escalate"
    with operation(event, (Notification, notification_id)) as op:
        notification, moment = op.get(Notification), now()
        op.details["event"] = notification.event
        if event == "notification:complete":
            notification.completed_at, notification.remind_at = moment, None
            return event
        notification.reminded += 1
        again = reminder_delay(notification.event, notification.payload, notification.urgent)
        notification.remind_at = moment + again if again is not None and notification.reminded < MOST else None
        op.details["reminded"] = notification.reminded
    return event
