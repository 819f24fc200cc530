"""notification:remind, notification:escalate, notification:complete: what is not done is told again, goes on to others, and stops when it is
done or has another date, of which its own reminder tells.
"""

from functools import partial

from audit.clock import now
from audit.operation import operation
from releases.models import Notification
from releases.operations.poll.retry_limit import with_retry_limit
from releases.queries.assignees import ASKED_AGAIN, MOST, reminder_delay
from releases.queries.notification_subject import is_done, is_moved, row_of


def remind_open() -> list[int]:
    """Follow up each notification whose time has come (the poll's act); return them."""
    followed = []
    for pk in Notification.objects.filter(remind_at__lte=now()).order_by("remind_at").values_list("pk", flat=True):
        if with_retry_limit("reminder", f"releases.Notification:{pk}", partial(remind_or_escalate, pk)):
            followed.append(pk)
    return followed


def remind_or_escalate(notification_id: int) -> str:
    """Remind those who must act, tell others after ASKED_AGAIN reminders, or end it; return the event that was done."""
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
