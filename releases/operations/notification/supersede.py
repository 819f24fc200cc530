"""notification:supersede: news about a release is not sent once the release has moved on."""

import logging
from datetime import timedelta

from django.db.models import Q
from django.utils.translation import gettext_noop

from audit.clock import now
from audit.isolated import isolated
from audit.models import Outbox
from audit.operation import label, operation
from releases.models import Deployment, InboxItem, Notification, NotificationDelivery, Release, Rollback
from releases.notifications.templates.events import ANNOUNCE

log = logging.getLogger(__name__)
# The events that describe the course of a release to people. Later ones in the list do not end earlier ones by
# themselves: any of them makes an earlier one outdated, and a plan ends also with the approval of it.
PLANS = (ANNOUNCE, "release:reschedule")
MOVES = (
    *PLANS,
    "release:cancel",
    "deployment:start",
    "deployment:succeed",
    "deployment:fail",
    "deployment:mark_missed",
    "rollback:authorise",
    "rollback:complete",
    "rollback:fail",
)
COURSE = (*MOVES, "deployment:cancel", "rollback:notify_stakeholders", "rollback:notify_users")
PLAN_ENDS = (*MOVES, "release:reopen_scope", "release:end_approval")
NEWER = gettext_noop("A newer notification about the same release replaces this one.")
# After this time only the newest one is sent inside as well.
LATE = timedelta(minutes=15)


def moved_since(notification: Notification) -> str:
    """Return the event by which a release has moved on since a notification was written; empty while it has not."""
    if notification.release is None or notification.event not in COURSE:
        return ""
    newer = PLAN_ENDS if notification.event in PLANS else MOVES
    found = Outbox.objects.filter(pk__gt=notification.outbox, event__in=newer, object__in=_labels(notification.release))
    return found.order_by("-pk").values_list("event", flat=True).first() or ""


def is_superseded(row: NotificationDelivery) -> bool:
    """Tell whether a delivery is not sent any more because a newer one says how the release went on."""
    notification = row.inbox_item.notification
    if row.inbox_item.external:
        return bool(moved_since(notification))
    if notification.release is None or notification.event not in COURSE or notification.made_at > now() - LATE:
        return False
    labels = _labels(notification.release)
    newer = Q(
        notification__outbox__gt=notification.outbox, notification__event__in=MOVES, notification__object__in=labels
    )
    return (
        notification.object in labels and InboxItem.objects.filter(newer, recipient=row.inbox_item.recipient).exists()
    )


def supersede_waiting() -> None:
    """End what waits for its second person and concerns a release that has moved on since."""
    waiting = Notification.objects.filter(external=True, external_approved_at=None, cancelled_at=None, event__in=COURSE)
    for notification in waiting.select_related("release"):
        if not moved_since(notification):
            continue
        with (
            isolated(log, "notification %s", notification.pk),
            operation("notification:supersede", (Notification, notification.pk)) as op,
        ):
            held = op.get(Notification)
            if held.waits:
                held.cancelled_at, held.cancelled_because = now(), NEWER
                end_waiting(held, NotificationDelivery.Outcome.SUPERSEDED, NEWER)


def end_waiting(notification: Notification, outcome: str, why: str = "") -> None:
    """End the deliveries of a notification that wait for its second person, inside an open operation."""
    waiting = NotificationDelivery.objects.select_for_update(of=("self",), no_key=True).filter(
        inbox_item__notification=notification, outcome=NotificationDelivery.Outcome.PENDING, next_at=None
    )
    for row in waiting:
        row.outcome, row.ended_at, row.last_error = outcome, notification.cancelled_at, why
        row.save()


def _labels(release: Release) -> list[str]:
    """Return how the ledger names a release, its deployments in protected environments, and their rollbacks."""
    deployments = Deployment.objects.filter(release=release, environment__protected=True)
    rows = [release, *deployments, *Rollback.objects.filter(deployment__in=deployments)]
    return [label(row) for row in rows]
