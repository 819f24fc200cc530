"""Emergencies, milestones and their reminders, bookings, copies: the planning of a release (P2, P3)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.urls import reverse

from audit.actor import acting
from audit.models import Outbox
from audit.refusals import GateNotPassed, InvalidInput
from environments import access
from releases.gates.content import document
from releases.models import Release
from releases.operations.follow_up.create import due
from releases.operations.milestone.remind import remind_due
from releases.operations.release.copy import copy
from releases.operations.release.plan import active_procedure, add_change, edit, plan, set_configuration
from releases.queries.assignees import assignees
from releases.queries.milestone_dates import due_dates, working_day_before
from releases.queries.notification_subject import Subject
from tests.releases.gates.asking import COMMAND, alter, make, walk

TOKYO = ZoneInfo("Asia/Tokyo")


def test_an_emergency_names_one_of_the_procedures_criteria(world: Any) -> None:
    with world.acting_as("manager"):
        for wrong in ("", "cause"):
            with pytest.raises(InvalidInput, match="security_vulnerability"):
                plan(application_id=world.application.pk, version="1.2.1", title="x", kind="emergency", criterion=wrong)
        made = plan(
            application_id=world.application.pk,
            version="1.2.1",
            title="x",
            kind="emergency",
            criterion="regulatory_requirement",
        )
    assert made.criterion == "regulatory_requirement"


def test_an_emergencys_approval_is_valid_for_hours_after_it(world: Any) -> None:
    release = alter(world.planned(), kind="emergency", procedure=active_procedure())
    window = document(release, world.environments["production"])["window"]
    assert window["validity_hours"] == 24 and "end" not in window


def test_the_reviews_of_an_emergency_are_due_from_its_start(world: Any) -> None:
    from audit.operation import operation
    from releases.operations.follow_up.create import create_at_start

    release = alter(world.planned(), kind="emergency", procedure=active_procedure())
    moment = datetime.now(UTC)
    with world.acting_as("operator"), operation("test:start", (Release, release.pk)) as op:
        follow_ups = create_at_start(op.get(Release), world.environments["production"], moment)
    assert {(o.key, o.blocks) for o in follow_ups} == {("retrospective_review", "next"), ("full_review", "next")}
    assert next(o for o in follow_ups if o.key == "retrospective_review").due_at == moment + timedelta(hours=24)


def test_working_days_end_at_six_in_the_evening_of_the_zone(world: Any) -> None:
    from releases.procedures.parts import FollowUpRule

    rule = FollowUpRule(key="x", ja="x", en="x", within=5, unit="working_days", origin="default")
    since = datetime(2026, 12, 28, 15, tzinfo=UTC)  # the 29th in Tokyo; new year's day is a holiday
    assert due(rule, since, "Asia/Tokyo", "JP") == datetime(2027, 1, 6, 18, tzinfo=TOKYO)
    adults_day = datetime(2027, 1, 5, tzinfo=TOKYO)  # 成人の日 is the 11th, and no holiday elsewhere
    ends = [due(rule, adults_day, "Asia/Tokyo", country) for country in ("JP", "DE")]
    assert ends == [datetime(2027, 1, 13, 18, tzinfo=TOKYO), datetime(2027, 1, 12, 18, tzinfo=TOKYO)]


def test_milestones_keep_their_local_hour_over_a_change_of_clocks(world: Any) -> None:
    place = alter(world.environments["production"], zone="America/New_York")
    start = datetime(2026, 3, 18, 5, tzinfo=UTC)
    due = due_dates(active_procedure().document, start, place, emergency=False)
    assert due["scope_locked"] == datetime(2026, 3, 4, 23, tzinfo=UTC)


def test_milestones_count_working_days_where_the_procedure_says_so(world: Any) -> None:
    content = active_procedure().document
    rows = tuple(m.model_copy(update={"unit": "working_days"}) for m in content.milestones)
    start = datetime(2026, 5, 20, 1, tzinfo=TOKYO)
    counted = due_dates(
        content.model_copy(update={"milestones": rows}), start, world.environments["production"], emergency=False
    )
    # Golden week (29 April, 3–6 May) lies in the fourteen working days before 20 May 2026.
    assert counted["scope_locked"] == datetime(2026, 4, 24, 18, tzinfo=TOKYO)
    plainly = due_dates(content, start, world.environments["production"], emergency=False)
    assert plainly["scope_locked"] == datetime(2026, 5, 6, 18, tzinfo=TOKYO)
    assert plainly["released"] == start


def test_a_holiday_is_no_working_day() -> None:
    assert working_day_before(date(2026, 11, 25), 1, "JP", {}) == date(2026, 11, 24)
    assert working_day_before(date(2026, 11, 25), 1, "JP", {date(2026, 11, 24): "創立記念日"}) == date(2026, 11, 20)


def test_owners_are_reminded_once_at_each_lead_time_and_once_when_late(world: Any) -> None:
    release = world.planned()
    for row in release.milestones.all():
        alter(row, due_immediately=False, reminded=[], due_at=datetime.now(UTC) + timedelta(days=30))
    milestone = release.milestones.get(key="scope_locked")
    seen = []
    for ahead in (timedelta(hours=80), timedelta(hours=71), timedelta(hours=23), timedelta(seconds=-1)):
        alter(milestone, due_at=datetime.now(UTC) + ahead)
        for _again in range(2):
            with acting(COMMAND):
                seen += [(ahead, pk) for pk in remind_due()]
    assert [pk for _ahead, pk in seen] == [milestone.pk] * 3
    reminders = Outbox.objects.filter(event="milestone:remind").order_by("pk")
    assert [row.payload["lead_hours"] for row in reminders] == [72, 24, 0]
    people = [assignees("milestone:remind", Subject(milestone, release), row.payload) for row in reminders]
    assert people == [access.holders_with("prepare")] * 3


def test_a_copy_takes_the_texts_and_no_decision(world: Any) -> None:
    release = world.tested()
    with world.acting_as("manager"):
        made = copy(release.pk, version="1.3.1")
    assert (made.state, made.reason, made.copied_from) == ("draft", release.reason, release)
    assert not (
        made.commit or made.number or made.configurations or made.scheduled_start_at or made.rollback_pre_authorised
    )
    assert not made.changes.exists() and not made.checklist.exists() and not made.team_members.exists()
    with world.acting_as("manager"), pytest.raises(InvalidInput, match="already"):
        copy(release.pk, version="1.3.1")


def test_an_edit_unsigns_only_the_items_that_it_affects(world: Any) -> None:
    from releases.operations.release.prepare import reopen_scope

    release = world.tested()
    with world.acting_as("manager"):
        reopen_scope(release.pk, reason="a word is missing")
        edit(release.pk, fields={"ticket": "T-9", "rollback_pre_authorised": True})
    assert release.checklist.filter(signed_at=None).count() == 0
    assert {d.state for d in release.documents.all()} == {"ready_to_publish"}
    other = make_configuration(world)
    with world.acting_as("manager"):
        set_configuration(release.pk, configuration_id=other.pk)
    assert set(release.checklist.filter(signed_at=None).values_list("group", flat=True)) == {"technical"}
    assert {d.state for d in release.documents.all()} == {"ready_to_publish"}
    with world.acting_as("developer"):
        add_change(release.pk, kind="fix", text="one more")
    assert release.checklist.exclude(signed_at=None).count() == 0
    assert {d.state for d in release.documents.all()} == {"draft"}


def make_configuration(world: Any) -> Any:
    from environments.operations.configuration.create import create

    with world.acting_as("manager"):
        return create(
            application_id=world.application.pk,
            environment_id=world.environments["staging"].pk,
            values={"PORT": "8081"},
            secrets={"PASSWORD": "another"},
            reason="second",
        )


def booked(world: Any, release: Any, hour: datetime) -> Any:
    from releases.models import Deployment

    deployment = make(
        Deployment,
        release=release,
        application=release.application,
        environment=world.environments["production"],
        requested_by=world.people["operator"],
    )
    from audit.operation import operation

    with world.acting_as("operator"), operation("test:schedule", (Deployment, deployment.pk)) as op:
        op.get(Deployment).schedule()
        op.get(Deployment).scheduled_start_at = hour
    return world.fresh(deployment)


def test_two_deployments_are_not_booked_for_one_time_and_an_emergency_takes_it(world: Any) -> None:
    from releases.operations.deployment.request import request
    from releases.operations.deployment.schedule import schedule

    hour = datetime.now(UTC) + timedelta(minutes=30)
    other = world.planned("1.4.0")
    first = booked(world, other, hour)
    release, _request = world.final_checked()
    with world.acting_as("operator"):
        deployment = request(release.pk, environment_id=world.environments["production"].pk)
        with pytest.raises(GateNotPassed, match="Another deployment is scheduled for that time: "):
            schedule(deployment.pk, at=hour + timedelta(minutes=5))
        assert world.fresh(deployment).state == "requested" and world.fresh(first).state == "scheduled"
        schedule(deployment.pk, at=hour + timedelta(hours=2))
    assert world.fresh(deployment).state == "scheduled"


def test_an_emergency_cancels_the_regular_booking_in_the_same_operation(world: Any) -> None:
    from audit.operation import operation
    from releases.models import Deployment
    from releases.operations.deployment.schedule import _book

    hour = datetime.now(UTC) + timedelta(minutes=30)
    first = booked(world, world.planned("1.4.0"), hour)
    urgent = alter(world.planned("1.3.0"), kind="emergency")
    deployment = booked(world, urgent, hour + timedelta(days=3))
    with world.acting_as("operator"), operation("test:book", (Deployment, deployment.pk)) as op:
        assert _book(op.get(Deployment), hour) == [first]
    assert world.fresh(first).state == "cancelled" and "emergency" in world.fresh(first).blockers[0]


def test_a_new_procedure_takes_over_the_named_releases_and_keeps_the_rest(world: Any, browsers: Any) -> None:
    from releases.operations.approval.decide import approve
    from releases.operations.procedure.put_into_effect import load, submit
    from releases.procedures.document import Procedure as Content

    moved, approval_request = world.approved()
    kept = alter(walk(world.planned("1.4.0"), "lock_scope"), procedure=active_procedure())
    raw = active_procedure().document.model_dump(mode="json")
    raw["version"] = "1.1.0"
    entry = {"date": "2026-11-25", "version": "1.1.0", "ja": "項目の追加", "en": "One point more", "origin": "default"}
    raw["history"] = [*raw["history"], entry]
    more = {"key": "licences", "group": "technical", "ja": "ライセンスの確認", "en": "Licences", "origin": "default"}
    raw["checklist"] = [*raw["checklist"], more]
    with world.acting_as("manager"):
        draft = load(Content.checked(raw), reason="licences")
        asked = submit(draft.pk, reason="1.4.0 is nearly out", moved=(moved.pk,))
    assert asked.document["kept"] == [[kept.pk, str(kept)]]
    page = browsers("committee_a").get(reverse("approval-request", args=[asked.pk])).content.decode()
    effects, difference = page.index("effects on releases under way"), page.index("difference from version")
    assert effects < difference, "what happens to people's releases comes first"
    assert "approval that ends" in page[effects:difference] and str(moved) in page[effects:difference]
    for name in ("committee_a", "committee_b"):
        with world.acting_as(name):
            approve(asked.pk, digest=asked.digest)
    assert active_procedure() == world.fresh(draft)
    moved = world.fresh(moved)
    assert (moved.state, moved.procedure_id) == ("testing_completed", draft.pk)
    assert (world.fresh(approval_request).state, world.fresh(approval_request).invalidated_by) == (
        "invalidated",
        "procedure",
    )
    assert moved.checklist.filter(key="licences", signed_at=None).exists()
    assert world.fresh(kept).procedure.version == "1.0.1"


def test_only_active_releases_are_moved(world: Any) -> None:
    from releases.operations.procedure.put_into_effect import load, submit
    from releases.procedures.document import Procedure as Content

    raw = active_procedure().document.model_dump(mode="json")
    raw["version"] = "1.1.0"
    entry = {"date": "2026-11-25", "version": "1.1.0", "ja": "改訂", "en": "Revised", "origin": "default"}
    raw["history"] = [*raw["history"], entry]
    with world.acting_as("manager"):
        draft = load(Content.checked(raw), reason="x")
        with pytest.raises(InvalidInput, match="under way"):
            submit(draft.pk, reason="x", moved=(world.planned().pk,))


def test_a_rule_for_an_unknown_event_is_refused(world: Any) -> None:
    """The rule would never notify anyone, and the document would look as if it did."""
    from releases.operations.procedure.put_into_effect import load
    from releases.procedures.document import Procedure as Content

    raw = active_procedure().document.model_dump(mode="json")
    raw["version"] = "1.1.0"
    entry = {"date": "2026-11-25", "version": "1.1.0", "ja": "改訂", "en": "Revised", "origin": "default"}
    raw["history"] = [*raw["history"], entry]
    rule = next(row for row in raw["notification_rules"] if row["event"] == "rollback:close")
    rule["event"] = "rollback:clsoe"
    with world.acting_as("manager"), pytest.raises(InvalidInput, match="does not know: rollback:clsoe"):
        load(Content.checked(raw), reason="a slip of the finger")


def test_a_milestone_is_not_late_before_its_turn_and_my_tasks_shows_its_own_date(world: Any, browsers: Any) -> None:
    release = world.planned()
    late, due = datetime.now(UTC) - timedelta(hours=2), datetime.now(UTC) + timedelta(days=3)
    for row in release.milestones.all():
        alter(row, due_immediately=False, reminded=[72, 24], due_at=late)
    first, second = (release.milestones.get(key=key) for key in ("scope_locked", "testing_completed"))
    with acting(COMMAND):
        assert remind_due() == [first.pk], "the rest waits for it"

    def tasks_of(what: str) -> list[Any]:
        return [w for w in browsers("manager").get(reverse("admin:index")).context["tasks"] if what in w.what]

    assert [w.what for w in tasks_of("Overdue:")] == ["Overdue: Scope locked"]
    alter(first, due_at=due)
    assert tasks_of("Overdue:") == [] and [w.due for w in tasks_of("Complete the draft")] == [due]
    alter(first, done_at=late)
    walk(release, "lock_scope")
    with acting(COMMAND):
        assert remind_due() == [second.pk], "now it is its turn"
    assert [w.due for w in tasks_of("Complete testing")] == [late]
