"""Quiet hours, the dates in reminders, and the page that each reminder links to (P3, P5)."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from audit.actor import acting
from audit.clock import now
from audit.operation import operation
from releases.gates.base import procedure_of
from releases.models import Milestone, Notification, NotificationDelivery, Release
from releases.operations.milestone.remind import remind_due
from releases.operations.notification.remind import remind_open, remind_or_escalate
from releases.operations.release.dates import lay
from releases.operations.release.reschedule import set_scheduled_start
from releases.queries.recipients import Recipient, not_before
from tests.releases.channel_types.receivers import MailHost
from tests.releases.gates.asking import alter
from tests.releases.operations.notifying import (
    WORKER,
    deliver,
    due_now,
    forget,
    join,
    make_notifications,
    only,
    outcomes,
)


@pytest.fixture
def draft(world: Any) -> Any:
    """A release in preparation with only one milestone still open; the outbox is empty."""
    row = world.planned()
    for milestone in row.milestones.exclude(key="scope_locked"):
        alter(milestone, done_at=now())
    forget()
    return row


def quiet_now(account: Any, zone: str, *, mail: str) -> datetime:
    """Set a person's quiet hours around now in a zone; return when they end."""
    local = now().astimezone(ZoneInfo(zone)).replace(minute=0, second=0, microsecond=0)
    alter(
        account,
        email=mail,
        quiet_from=(local - timedelta(hours=1)).time(),
        quiet_until=(local + timedelta(hours=2)).time(),
    )
    return local + timedelta(hours=2)


def awake(account: Any, *, mail: str) -> None:
    """Remove a person's quiet hours."""
    alter(account, email=mail, quiet_from=time(0), quiet_until=time(0))


def late(draft: Any) -> Milestone:
    """Make the milestone late, and remind of it."""
    milestone: Milestone = alter(
        draft.milestones.get(key="scope_locked"),
        due_immediately=False,
        reminded=[72, 24],
        due_at=now() - timedelta(hours=1),
    )
    assert remind() == [milestone.pk]
    return milestone


def remind() -> list[int]:
    with acting(WORKER):
        return remind_due()


def test_a_held_notification_leaves_at_the_end_of_quiet_hours(world: Any, draft: Any, host: MailHost) -> None:
    from releases.operations.release.prepare import cancel

    only(("release:cancel", "development_team", "mail"))
    member = join("development_team", world.people["developer"])
    alter(member.group, zone="America/New_York")
    ends = quiet_now(world.people["developer"], "America/New_York", mail="developer@datasets.example")
    with world.acting_as("manager"):
        cancel(draft.pk, reason="計画変更")
    make_notifications()
    assert deliver() == 0 and not host.mails
    row = NotificationDelivery.objects.get()
    assert (row.outcome, row.next_at) == ("pending", ends), "the hours are of the zone of the group"
    due_now(row)
    assert deliver() == 1 and len(host.mails) == 1 and world.fresh(row).outcome == "sent"


@pytest.mark.parametrize(
    ("at", "first"), [("2026-10-24T23:30", "2026-10-25T07:00"), ("2026-10-25T00:30", "2026-10-25T07:00")]
)
def test_quiet_hours_end_at_the_clock_hour_even_when_the_clock_changes(at: str, first: str) -> None:
    zone = ZoneInfo("Europe/Berlin")
    one = Recipient("x", "x", "ja", False, quiet=[(time(22), time(7), "Europe/Berlin")])
    moment = datetime.fromisoformat(at).replace(tzinfo=zone)
    assert not_before(one, moment.astimezone(UTC), urgent=False) == datetime.fromisoformat(first).replace(tzinfo=zone)


def test_quiet_hours_of_responsible_people_use_the_environments_zone(world: Any, draft: Any) -> None:
    only(("milestone:remind", None, "mail"))
    alter(world.environments["production"], zone="America/New_York")
    ends = quiet_now(world.people["manager"], "America/New_York", mail="manager@datasets.example")
    late(draft)
    make_notifications()
    assert NotificationDelivery.objects.get(inbox_item__account=world.people["manager"]).next_at == ends


def test_urgent_and_emergency_notifications_are_not_held(world: Any, draft: Any, host: MailHost) -> None:
    only(("milestone:remind", None, "mail"))
    quiet_now(world.people["manager"], "Asia/Tokyo", mail="manager@datasets.example")
    alter(draft, kind="emergency")
    late(draft)
    (notification,) = make_notifications()
    assert notification.urgent
    deliver()
    assert outcomes(notification)[("Manager", "mail")] == "sent" and len(host.mails) == 1


def test_a_reminder_of_a_moved_date_is_dropped_and_sent_again(world: Any, draft: Any, host: MailHost) -> None:
    only(("milestone:remind", None, "mail"), ("notification:remind", None, "mail"))
    awake(world.people["manager"], mail="manager@datasets.example")
    milestone = late(draft)
    (old,) = make_notifications()
    alter(old, remind_at=now() - timedelta(seconds=1))
    with acting(WORKER):
        assert remind_open() == [old.pk]
    (again,) = make_notifications()
    with world.acting_as("manager"):
        set_scheduled_start(draft.pk, start=now() + timedelta(hours=1))
    assert deliver() > 0 and not host.mails, "what was queued for the old date"
    assert {outcomes(one)[("Manager", "mail")] for one in (old, again)} == {"cancelled"}
    assert (
        "The date changed"
        in NotificationDelivery.objects.filter(
            inbox_item__notification=old, inbox_item__account=world.people["manager"]
        )
        .get()
        .last_error
    )
    with acting(WORKER):
        assert remind_or_escalate(old.pk) == "notification:complete"
    assert remind() == [milestone.pk] and remind() == []
    (new,) = make_notifications()
    assert new.payload["due"] == world.fresh(milestone).due_at.isoformat() != old.payload["due"]
    deliver()
    assert len(host.mails) == 1 and host.mails[0]["Subject"] == new.texts["ja"]["subject"]


def test_a_reminder_still_in_the_outbox_is_not_sent_for_the_old_date(world: Any, draft: Any) -> None:
    only(("milestone:remind", None, "admin"))
    milestone = late(draft)
    alter(milestone, due_at=now() + timedelta(days=3))
    assert make_notifications() == []


def test_a_reopened_milestone_is_reminded_again(world: Any, draft: Any) -> None:
    content, production = procedure_of(draft), world.environments["production"]
    milestone = draft.milestones.get(key="scope_locked")
    start = now() + timedelta(days=60)
    for reopened in ((), (milestone.guards,)):
        milestone = alter(milestone, done_at=now(), reminded=[72, 24, 0])
        before = milestone.due_at
        with acting(WORKER), operation("test:alter", (Release, draft.pk)) as op:
            lay(op.get(Release), content, production, start, now(), reopened=reopened)
        milestone = world.fresh(milestone)
    assert milestone.due_at == before and milestone.done_at is None and milestone.reminded == []


def test_each_reminder_links_to_its_task(world: Any, draft: Any) -> None:
    only(*((event, None, "admin") for event in ("milestone:remind", "notification:remind", "notification:escalate")))
    late(draft)
    (root,) = make_notifications()
    page = f"/admin/release/{draft.pk}/#plan"
    assert root.path == page
    for _time in range(3):
        alter(root, remind_at=now() - timedelta(seconds=1))
        with acting(WORKER):
            remind_open()
    make_notifications()
    assert list(Notification.objects.values_list("path", flat=True)) == [page] * 4


def test_an_approval_notification_links_to_its_decision_page(world: Any) -> None:
    only(("release:submit", None, "admin"))
    forget()
    release, _request = world.submitted()
    notification = next(one for one in make_notifications() if one.event == "release:submit")
    assert notification.path == f"/admin/release/{release.pk}/#approvals"
