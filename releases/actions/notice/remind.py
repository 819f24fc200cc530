"""notification:remind, notification:escalate, notification:complete: what is not done is told again, goes on to others, and stops when it is
done or has another date, of which its own reminder tells.
"""

from functools import partial

from audit.change import change
from audit.clock import now
from releases.actions.notice.addressees import ASKED_AGAIN, MOST, reminded_after
from releases.actions.notice.subject import is_done, is_moved, row_of
from releases.actions.poll.limited import limited
from releases.models import Notification


def remind_open() -> list[int]:
    """Follow up each notice whose time has come (the sweeper's act); return them."""
    followed = []
    for pk in Notification.objects.filter(remind_at__lte=now()).order_by("remind_at").values_list("pk", flat=True):
        if limited("reminder", f"releases.Notification:{pk}", partial(follow_up, pk)):
            followed.append(pk)
    return followed


def follow_up(notice_id: int) -> str:
    """Remind those who must act, tell others after ASKED_AGAIN reminders, or end it; return the event that was done."""
    seen = Notification.objects.get(pk=notice_id)
    thing = row_of(seen.required_action)
    if is_done(thing) or is_moved(thing, seen.payload):
        event = "notification:complete"
    elif seen.reminded < ASKED_AGAIN:
        event = "notification:remind"
    else:
        event = "notification:escalate"
    with change(event, (Notification, notice_id)) as act:
        notice, moment = act.get(Notification), now()
        act.details["event"] = notice.event
        if event == "notification:complete":
            notice.completed_at, notice.remind_at = moment, None
            return event
        notice.reminded += 1
        again = reminded_after(notice.event, notice.payload, notice.urgent)
        notice.remind_at = moment + again if again is not None and notice.reminded < MOST else None
        act.details["reminded"] = notice.reminded
    return event
