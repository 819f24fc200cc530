"""Recurring windows beside the procedure's: they count once approved, and can be replaced and cancelled."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from audit.clock import now
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted, NotPossible, SignatureRequired
from environments.calendar import windows
from environments.models import ChangeWindow, Environment
from environments.operations.holiday.add import add
from releases.gates import window as gate
from releases.gates.window import opening
from releases.models import ApprovalRequest, Procedure
from releases.operations.approval.decide import approve, reject
from releases.operations.procedure.put_into_effect import put_into_effect
from releases.operations.window.cancel import cancel
from releases.operations.window.set_rule import set_rule
from tests.releases.gates.asking import COMMAND

TOKYO = ZoneInfo("Asia/Tokyo")
GIVEN: dict[str, Any] = {
    "name": "週次",
    "name_en": "Weekly",
    "rrule": "FREQ=WEEKLY;BYDAY=MO",
    "start": time(2),
    "length_minutes": 60,
    "reason": "small changes",
}


def rule(world: Any, who: str = "manager", environment: str = "production", **fields: Any) -> ChangeWindow:
    """Set a weekly window."""
    with world.acting_as(who):
        return set_rule(world.environments[environment].pk, **GIVEN | fields)


def approve_window(world: Any, window: ChangeWindow) -> None:
    """Approve its request, by two of the committee."""
    approval_request = ApprovalRequest.objects.get(window=window)
    for name in ("committee_a", "committee_b"):
        with world.acting_as(name):
            approve(approval_request.pk, digest=approval_request.digest)


def names(world: Any, environment: str = "production") -> set[str]:
    """Return the names of the next windows."""
    rules, extras = gate._windows_of(world.application, world.environments[environment])
    return {rule.name for rule in rules if windows(rule, now(), 1)} | {
        extra.name for extra in extras if extra.end > now()
    }


def monday(weeks: int = 1) -> datetime:
    """Return 02:30 in Tokyo on a Monday ahead."""
    local = now().astimezone(TOKYO)
    day = local.date() + timedelta(days=(7 - local.weekday()) % 7 + 7 * weeks)
    return datetime.combine(day, time(2, 30), TOKYO)


def test_a_rule_for_a_protected_environment_counts_only_once_approved(world: Any) -> None:
    window = rule(world)
    approval_request = ApprovalRequest.objects.get(window=window)
    assert (
        approval_request.subject == "extra_window"
        and approval_request.rules
        and approval_request.document["reason"] == "small changes"
    )
    production = world.environments["production"]
    assert "Weekly" not in names(world) and not opening(world.application, production, monday()).open
    with world.acting_as("committee_a"):
        approve(approval_request.pk, digest=approval_request.digest)
    assert "Weekly" not in names(world), "one of two is not enough"
    with world.acting_as("committee_b"):
        approve(approval_request.pk, digest=approval_request.digest)
    assert "Weekly" in names(world) and opening(world.application, production, monday()).open


def test_a_rule_for_an_unprotected_environment_counts_at_once(world: Any) -> None:
    window = rule(world, environment="development")
    assert window.in_effect_at is not None and not ApprovalRequest.objects.filter(window=window).exists()
    assert names(world, "development") == {"Weekly"}


def test_a_rule_whose_last_day_has_passed_is_refused(world: Any) -> None:
    with pytest.raises(InvalidInput, match="UNTIL"):
        rule(world, rrule=GIVEN["rrule"] + f";UNTIL={now() - timedelta(days=3):%Y%m%d}")
    assert rule(world, rrule=GIVEN["rrule"] + f";UNTIL={now() + timedelta(days=30):%Y%m%d}").pk


def test_the_digest_holds_every_approved_field(world: Any) -> None:
    said = ApprovalRequest.objects.get(window=rule(world, on_holiday="later", country="US")).document["window"]
    for value in ("FREQ=WEEKLY;BYDAY=MO", "02:00", "Asia/Tokyo", "60", "US", "later"):
        assert value in said
    digests = {
        ApprovalRequest.objects.get(window=rule(world, **fields)).digest
        for fields in ({}, {"start": time(3)}, {"length_minutes": 61}, {"day_offset": 1}, {"on_holiday": "skip"})
    }
    assert len(digests) == 5


def test_rules_are_checked_and_set_by_permitted_people(world: Any) -> None:
    for name in ("operator", "developer", "committee_a", "auditor", "administrator", "outsider"):
        with pytest.raises(NotPermitted):
            rule(world, name)
    for fields in (
        {"rrule": "FREQ=HOURLY"},
        {"zone": "Mars/Olympus"},
        {"country": "ZZ"},
        {"length_minutes": 0},
        {"length_minutes": 7 * 24 * 60 + 1},
        {"on_holiday": "never"},
        {"day_offset": 8},
        {"reason": ""},
        {"name": " "},
        {"application_id": 9999},
    ):
        with pytest.raises(InvalidInput):
            rule(world, **fields)
    assert not ChangeWindow.objects.filter(name="週次").exists()


def test_a_replaced_rule_counts_until_the_new_one_is_approved(world: Any) -> None:
    first = rule(world)
    approve_window(world, first)
    second = rule(world, name_en="Second", rrule="FREQ=WEEKLY;BYDAY=TU", replaces_id=first.pk)
    assert "Weekly" in names(world) and "Second" not in names(world)
    with pytest.raises(NotPossible, match="waits"):
        rule(world, name_en="Third", replaces_id=first.pk)
    approve_window(world, second)
    assert "Second" in names(world) and "Weekly" not in names(world)
    with world.acting_as("manager"):
        cancel(second.pk, reason="no longer needed")
    assert not names(world) & {"Second", "Weekly"}


def test_a_rejected_replacement_leaves_the_old_rule(world: Any) -> None:
    first = rule(world)
    approve_window(world, first)
    second = rule(world, name_en="Second", replaces_id=first.pk)
    approval_request = ApprovalRequest.objects.get(window=second)
    with world.acting_as("committee_a"):
        reject(approval_request.pk, digest=approval_request.digest, comment="no")
    assert "Weekly" in names(world)
    rule(world, name_en="Third", replaces_id=first.pk)


def test_the_procedures_own_window_is_neither_replaced_nor_cancelled(world: Any) -> None:
    regular = ChangeWindow.objects.get(from_procedure=True, environment=world.environments["production"])
    with pytest.raises(GateNotPassed, match="procedure"):
        rule(world, replaces_id=regular.pk)
    with world.acting_as("manager"), pytest.raises(NotPossible, match="procedure"):
        cancel(regular.pk, reason="x")
    assert ChangeWindow.objects.in_effect().filter(pk=regular.pk).exists()


def test_a_new_procedure_keeps_rules_that_were_set_beside_it(world: Any) -> None:
    """Also a rule that happens to name the same days as the procedure's."""
    from audit.actor import acting
    from audit.operation import operation

    regular = ChangeWindow.objects.get(from_procedure=True, environment=world.environments["production"])
    same = rule(world, name_en="Same days", rrule=regular.rrule)
    approve_window(world, same)
    approve_window(world, rule(world))
    active = Procedure.objects.get(state="in_effect")
    with acting(COMMAND), operation("test:again", (Procedure, active.pk)) as op:
        # Put the version in effect into effect again: retired and activated within the operation.
        row = op.get(Procedure)
        row.retire()
        row.save()
        copy = Procedure.objects.create(version="9.9.9", content=row.content, digest="9" * 64, reason="again")
        copy.submit()
        copy.save()
        op.states[Procedure, active.pk] = "retired"
        op.original[Procedure, active.pk] = {f.attname: getattr(row, f.attname) for f in row._meta.concrete_fields}
        put_into_effect(copy)
    assert {"Same days", "Weekly", "Regular release", "extra"} <= names(world)
    assert (
        ChangeWindow.objects.filter(from_procedure=True).count() == Environment.objects.filter(protected=True).count()
    )


def test_a_cancelled_window_stops_counting_at_once_and_its_request_ends(world: Any) -> None:
    changed = rule(world, name_en="Proposed")
    granted = rule(world, name_en="Granted")
    approve_window(world, granted)
    extra = ChangeWindow.objects.get(rrule="")
    assert opening(world.application, world.environments["production"], now()).open
    with world.acting_as("manager", proved=False), pytest.raises(SignatureRequired):
        cancel(extra.pk, reason="x")
    for name in ("operator", "committee_a", "auditor"):
        with world.acting_as(name), pytest.raises(NotPermitted):
            cancel(extra.pk, reason="x")
    with world.acting_as("manager"):
        for window in (changed, granted, extra):
            cancel(window.pk, reason="not needed")
        with pytest.raises(NotPossible):
            cancel(extra.pk, reason="again")
    states = {r.window_id: r.state for r in ApprovalRequest.objects.filter(window__isnull=False)}
    assert (states[changed.pk], states[granted.pk], states[extra.pk]) == ("withdrawn", "invalidated", "invalidated")
    assert not names(world) & {"Proposed", "Granted", "extra"}
    assert not opening(world.application, world.environments["production"], now()).open or now().weekday() == 2
    approval_request = ApprovalRequest.objects.get(window=changed)
    with world.acting_as("committee_a"), pytest.raises(NotPossible):
        approve(approval_request.pk, digest=approval_request.digest)


def test_a_holiday_moves_the_window_that_the_gate_checks(world: Any) -> None:
    window = rule(world, environment="development", on_holiday="later")
    start = monday(2)
    development = world.environments["development"]
    assert opening(world.application, development, start).open
    with world.acting_as("manager"):
        add(day=start.date(), name_ja="創立記念日", name_en="Founding day")
    answer = opening(world.application, development, start)
    assert not answer.open and answer.next_start is not None
    assert answer.next_start.astimezone(TOKYO).date() > start.date() and window.on_holiday == "later"
    assert opening(world.application, development, answer.next_start).open
