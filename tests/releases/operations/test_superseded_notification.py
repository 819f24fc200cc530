"""Pending notifications follow the release: dropped when it moves on, refused when outdated (P5)."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from audit.actor import acting
from audit.clock import now
from audit.models import Event
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from releases.models import Notification, NotificationChannel, NotificationDelivery, NotificationRule, RecipientGroup
from releases.notifications.templates.events import KEYS
from releases.operations.notification.approve_external import approve_external, digest_of
from releases.operations.notification_rule.change import add, remove
from releases.operations.release.prepare import cancel as cancel_release
from releases.procedures.document import Procedure, ProcedureFaults
from releases.procedures.load import default_text
from releases.procedures.unnotified_ends import ENDS, PLAN
from tests.releases.channel_types.receivers import MailHost
from tests.releases.gates.asking import alter
from tests.releases.operations.notifying import WORKER, deliver, make_notifications, only, outcomes, outsider
from tests.releases.operations.test_lanes import draft, happens

__all__ = ["draft"]


@pytest.fixture
def waiting(world: Any, draft: Any) -> Notification:
    """The announcement of a release awaits its second person."""
    only(
        *((event, "users", "mail") for event in (PLAN, *ENDS)), ("notification:await_external_approval", None, "admin")
    )
    outsider("users", "kita@users.example")
    happens(draft, PLAN)
    notification = Notification.objects.get(event=PLAN)
    assert notification.waits
    return notification


def test_a_pending_notification_is_dropped_on_cancellation_without_an_end_notification(
    world: Any, draft: Any, waiting: Notification, host: MailHost
) -> None:
    with world.acting_as("manager"):
        cancel_release(draft.pk, reason="計画変更")
    make_notifications()
    waiting = world.fresh(waiting)
    assert not waiting.waits and "newer" in waiting.cancelled_because
    assert outcomes(waiting) == {("kita@users.example", "mail"): "superseded"}
    assert not Notification.objects.filter(event="release:cancel").exists(), (
        "no one hears of the end of an unannounced release"
    )
    assert Event.objects.filter(operation="notification:supersede", kind="operation").count() == 1
    assert deliver() == 0 and not host.mails


def test_a_pending_notification_is_refused_once_the_release_has_moved_on(
    world: Any, draft: Any, waiting: Notification
) -> None:
    with world.acting_as("manager"):
        cancel_release(draft.pk, reason="計画変更")
    with world.acting_as("project_manager"), pytest.raises(NotPossible, match="cancelled"):
        approve_external(waiting.pk, digest=digest_of(waiting))


@pytest.mark.parametrize(
    "event", ["release:reschedule", "release:reopen_scope", "release:end_approval", "deployment:start"]
)
def test_every_state_change_of_the_release_ends_its_announcement(
    world: Any, draft: Any, waiting: Notification, event: str
) -> None:
    happens(draft, event)
    assert not world.fresh(waiting).waits


def test_a_cancelled_deployment_alone_keeps_the_announcement(world: Any, draft: Any, waiting: Notification) -> None:
    happens(draft, "deployment:cancel", "milestone:remind")
    assert world.fresh(waiting).waits


def test_an_approved_notification_held_until_morning_is_not_sent_after_cancellation(
    world: Any, draft: Any, waiting: Notification, host: MailHost
) -> None:
    with world.acting_as("project_manager"):
        approve_external(waiting.pk, digest=digest_of(waiting))
    with world.acting_as("manager"):
        cancel_release(draft.pk, reason="計画変更")
    make_notifications()
    deliver()
    assert outcomes(waiting) == {("kita@users.example", "mail"): "superseded"} and not host.mails
    assert not Notification.objects.filter(event="release:cancel").exists()


def test_the_planner_of_a_release_does_not_approve_its_announcement(
    world: Any, draft: Any, waiting: Notification
) -> None:
    planner = draft.author.username
    asked = Notification.objects.get(event="notification:await_external_approval")
    assert planner not in {message.account.username for message in asked.inbox_items.all()}
    with world.acting_as(planner), pytest.raises(NotPermitted, match="planned"):
        approve_external(waiting.pk, digest=digest_of(waiting))
    with world.acting_as("project_manager"):
        approve_external(waiting.pk, digest=digest_of(waiting))


@pytest.mark.parametrize("end", [event for event in ENDS if event.startswith("release:")])
def test_recipients_of_the_plan_learn_its_end_by_the_default_rules(
    world: Any, draft: Any, host: MailHost, end: str
) -> None:
    for group in ("users", "partners", "vendors"):
        outsider(group, f"{group}@outside.example")
    happens(draft, PLAN)
    notification = Notification.objects.get(event=PLAN)
    with world.acting_as("project_manager"):
        approve_external(notification.pk, digest=digest_of(notification))
    deliver()
    happens(draft, end)
    ending = Notification.objects.get(event=end)
    assert {message.name for message in ending.inbox_items.filter(external=True)} == {
        f"{group}@outside.example" for group in ("users", "partners", "vendors")
    }


def test_default_rules_notify_every_external_group_of_every_end(people: dict[str, Any]) -> None:
    mail = NotificationRule.objects.filter(removed_at=None, channel__key="mail")
    for group in RecipientGroup.objects.filter(side="external"):
        heard = set(mail.filter(group=group).values_list("event", flat=True))
        assert {PLAN, "rollback:authorise", *ENDS} <= heard, group
    assert all(KEYS[end].follows for end in ENDS)


def test_a_procedure_that_announces_without_the_end_is_refused_with_its_place() -> None:
    text = default_text()
    (line,) = re.findall(r'"deployment:fail"\nrecipient_groups = .*', text)
    with pytest.raises(ProcedureFaults) as faults:
        Procedure.from_toml(text.replace(line, line.replace('"partners", ', "")))
    (fault,) = faults.value.faults
    assert (
        fault.place.startswith("notification_rules")
        and "'partners'" in str(fault)
        and "deployment:fail" in str(fault)
        and "line" in fault.place
    )


def test_a_rule_needed_for_the_end_stays_and_one_without_an_end_is_refused(world: Any, draft: Any) -> None:
    only(*((event, "users", "mail") for event in (PLAN, *ENDS)))
    mail, vendors = NotificationChannel.objects.get(key="mail"), RecipientGroup.objects.get(key="vendors")
    with world.acting_as("manager"):
        with pytest.raises(InvalidInput, match="so it must also be notified of the outcome"):
            remove(NotificationRule.objects.get(event="deployment:fail", removed_at=None).pk, reason="x")
        with pytest.raises(InvalidInput, match="deployment has failed"):
            add(event=PLAN, group_id=vendors.pk, channel_id=mail.pk)
        for end in ENDS:
            add(event=end, group_id=vendors.pk, channel_id=mail.pk)
        add(event=PLAN, group_id=vendors.pk, channel_id=mail.pk)


def test_a_late_internal_notification_is_overtaken_by_the_next_one_to_the_same_reader(
    world: Any, draft: Any, host: MailHost
) -> None:
    from tests.releases.operations.notifying import join

    only(*((event, "development_team", "mail") for event in ("release:reschedule", "release:cancel")))
    join("development_team", world.people["developer"], "developer@datasets.example")
    happens(draft, "release:reschedule", "release:cancel")
    first = Notification.objects.get(event="release:reschedule")
    with acting(WORKER):
        alter(first, made_at=now() - timedelta(hours=1))
    deliver()
    assert outcomes(first) == {("Developer", "mail"): "superseded"} and len(host.mails) == 1
    assert "newer" in NotificationDelivery.objects.get(inbox_item__notification=first).last_error
