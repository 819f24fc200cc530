"""Quiet hours, the dates that reminders tell of, and the page that each of them leads to (P3, P5)."""

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
from releases.operations.release.reschedule import lay, set_scheduled_start
from releases.queries.recipients import Recipient, not_before
from tests.releases.channel_types.receivers import MailHost
from tests.releases.gates.asking import alter
from tests.releases.operations.notifying import WORKER, deliver, due_now, forget, join, only, outcomes, tell


@pytest.fixture
def draft(world: Any) -> Any:
    """A release in preparation of which only one milestone is not done; nothing has been told so far."""
    row = world.planned()
    for milestone in row.milestones.exclude(key="scope_locked"):
        alter(milestone, done_at=now())
    forget()
    return row


def quiet_now(account: Any, zone: str, *, mail: str) -> datetime:
    """Let a person's quiet hours be those around now in a zone; return when they end."""
    local = now().astimezone(ZoneInfo(zone)).replace(minute=0, second=0, microsecond=0)
    alter(account, email=mail, quiet_from=(local - timedelta(hours=1)).time(),
          quiet_until=(local + timedelta(hours=2)).time())  # fmt: skip
    return local + timedelta(hours=2)


def awake(account: Any, *, mail: str) -> None:
    """Let a person have no quiet hours."""
    alter(account, email=mail, quiet_from=time(0), quiet_until=time(0))


def late(draft: Any) -> Milestone:
    """Let the milestone be late, and remind of it."""
    milestone: Milestone = alter(draft.milestones.get(key="scope_locked"), due_immediately=False, reminded=[72, 24],
                                 due_at=now() - timedelta(hours=1))  # fmt: skip
    assert remind() == [milestone.pk]
    return milestone


def remind() -> list[int]:
    with acting(WORKER):
        return remind_due()


def test_what_is_held_in_quiet_hours_leaves_at_their_end(world: Any, draft: Any, host: MailHost) -> None:
    from releases.operations.release.prepare import cancel

    only(("release:cancel", "development_team", "mail"))
    member = join("development_team", world.people["developer"])
    alter(member.group, zone="America/New_York")
    ends = quiet_now(world.people["developer"], "America/New_York", mail="developer@datasets.example")
    with world.acting_as("manager"):
        cancel(draft.pk, reason="計画変更")
    tell()
    assert deliver() == 0 and not host.mails
    row = NotificationDelivery.objects.get()
    assert (row.outcome, row.next_at) == ("pending", ends), "the hours are of the zone of the group"
    due_now(row)
    assert deliver() == 1 and len(host.mails) == 1 and world.fresh(row).outcome == "sent"


@pytest.mark.parametrize(
    ("at", "first"), [("2026-10-24T23:30", "2026-10-25T07:00"), ("2026-10-25T00:30", "2026-10-25T07:00")]
)
def test_quiet_hours_end_at_the_hour_of_the_clock_also_in_the_night_in_which_it_is_set(at: str, first: str) -> None:
    zone = ZoneInfo("Europe/Berlin")
    one = Recipient("x", "x", "ja", False, quiet=[(time(22), time(7), "Europe/Berlin")])
    moment = datetime.fromisoformat(at).replace(tzinfo=zone)
    assert not_before(one, moment.astimezone(UTC), urgent=False) == datetime.fromisoformat(first).replace(tzinfo=zone)


def test_who_must_act_is_quiet_in_the_zone_of_the_environment(world: Any, draft: Any) -> None:
    only(("milestone:remind", None, "mail"))
    alter(world.environments["production"], zone="America/New_York")
    ends = quiet_now(world.people["manager"], "America/New_York", mail="manager@datasets.example")
    late(draft)
    tell()
    assert NotificationDelivery.objects.get(inbox_item__account=world.people["manager"]).next_at == ends


def test_what_must_wake_somebody_is_not_held_nor_what_an_emergency_asks_for(
    world: Any, draft: Any, host: MailHost
) -> None:
    only(("milestone:remind", None, "mail"))
    quiet_now(world.people["manager"], "Asia/Tokyo", mail="manager@datasets.example")
    alter(draft, kind="emergency")
    late(draft)
    (notification,) = tell()
    assert notification.urgent
    deliver()
    assert outcomes(notification)[("Manager", "mail")] == "sent" and len(host.mails) == 1


def test_a_reminder_of_a_date_that_was_moved_is_dropped_and_told_anew(world: Any, draft: Any, host: MailHost) -> None:
    only(("milestone:remind", None, "mail"), ("notification:remind", None, "mail"))
    awake(world.people["manager"], mail="manager@datasets.example")
    milestone = late(draft)
    (old,) = tell()
    alter(old, remind_at=now() - timedelta(seconds=1))
    with acting(WORKER):
        assert remind_open() == [old.pk]
    (again,) = tell()
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
    (new,) = tell()
    assert new.payload["due"] == world.fresh(milestone).due_at.isoformat() != old.payload["due"]
    deliver()
    assert len(host.mails) == 1 and host.mails[0]["Subject"] == new.texts["ja"]["subject"]


def test_a_reminder_that_no_message_was_made_of_yet_is_not_told_of_the_old_date(world: Any, draft: Any) -> None:
    only(("milestone:remind", None, "admin"))
    milestone = late(draft)
    alter(milestone, due_at=now() + timedelta(days=3))
    assert tell() == []


def test_a_milestone_that_is_to_be_done_once_more_is_reminded_of_once_more(world: Any, draft: Any) -> None:
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


def test_each_reminder_leads_to_where_the_thing_is_done(world: Any, draft: Any) -> None:
    only(*((event, None, "admin") for event in ("milestone:remind", "notification:remind", "notification:escalate")))
    late(draft)
    (root,) = tell()
    page = f"/admin/release/{draft.pk}/#plan"
    assert root.path == page
    for _round in range(3):
        alter(root, remind_at=now() - timedelta(seconds=1))
        with acting(WORKER):
            remind_open()
    tell()
    assert list(Notification.objects.values_list("path", flat=True)) == [page] * 4


def test_who_is_asked_for_approval_is_led_to_where_it_is_given(world: Any) -> None:
    only(("release:submit", None, "admin"))
    forget()
    release, _round = world.submitted()
    notification = next(one for one in tell() if one.event == "release:submit")
    assert notification.path == f"/admin/release/{release.pk}/#approvals"
