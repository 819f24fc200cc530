"""How much is clicked: the next release until its scope is locked, an approval on a phone, and a rollback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from audit.actor import acting
from releases.models import Release, Rollback
from releases.operations.rollback.decide import assess, pre_authorise, raise_
from tests.browser.person import Person
from tests.browser.test_story import hour
from tests.releases.gates.asking import COMMAND, communicated, walk

Persons = Callable[..., Person]
UNDER_WAY = ("enqueue", "start", "start_verification", "start_monitoring")


def test_the_next_release_is_prepared_in_four_forms(world: Any, person: Persons) -> None:
    """From the page of the last one to a locked scope: at most twelve clicks."""
    first, manager = world.planned(), person("manager")
    manager.go(f"/admin/release/{first.pk}/")
    manager.clicks = 0
    manager.do("release:copy", version="1.4.0", start=hour())
    made = Release.objects.get(version="1.4.0")
    manager.do("release:select_commit", branch="release/1.4")
    manager.do("release:add_change_entry", kind="feature", text="タグで絞り込める", ticket="DS-101")
    manager.do("release:lock_scope", reason="T-14")
    assert world.fresh(made).state == "scope_locked"
    print(f"{manager.clicks} clicks, 4 forms")
    assert manager.clicks <= 12


def test_an_approval_on_a_phone_takes_four_taps(world: Any, person: Persons) -> None:
    """From My tasks; who approves proves the identity once."""
    _release, request = world.submitted()
    member = person("committee_a", phone=True)
    member.go("/admin/")
    member.clicks = 0
    member.press(f'#waiting a[href*="/approval-request/{request.pk}/"]')
    member.press('.r-decide button[data-verb="approval:approve"]')
    member.confirm_if_asked()
    assert request.decisions.filter(account__username="committee_a").exists()
    print(f"{member.clicks} taps")
    assert member.clicks <= 4 and not member.wider_than_the_screen


def test_a_rollback_that_was_approved_beforehand_takes_five_clicks(world: Any, person: Persons) -> None:
    """From the page of the deployment to an authorised rollback, which a worker starts."""
    deployment = walk(world.scheduled(rollback_pre_authorised=True), *UNDER_WAY)
    operator = person("operator")
    operator.go(f"/admin/deployment/{deployment.pk}/")
    operator.clicks = 0
    operator.do("rollback:raise", note="500")
    rollback = Rollback.objects.get(deployment=deployment)
    with acting(COMMAND):
        assert pre_authorise(rollback.pk, rows={})
    print(f"{operator.clicks} clicks")
    assert operator.clicks <= 5 and world.fresh(rollback).state == "authorised"


def test_the_decision_maker_authorises_a_rollback_in_five_clicks(world: Any, person: Persons) -> None:
    """Without the approval in advance: from My tasks; the manager has assessed it, and the notifications are sent."""
    deployment = walk(world.scheduled(), *UNDER_WAY)
    with world.acting_as("operator"):
        rollback = raise_(deployment.pk, cause="data_inconsistent", note="two totals differ")
    with world.acting_as("manager"):
        assess(rollback.pk, impact="all users", method="the whole plan", timing="now")
    with acting(COMMAND):
        pre_authorise(rollback.pk, rows={})
    communicated(rollback)
    decider = person("second_operator")
    decider.go("/admin/")
    decider.clicks = 0
    decider.press(f'#waiting a[href^="/admin/rollback/{rollback.pk}/"]')
    decider.do("rollback:authorise", reason="いま戻す")
    print(f"{decider.clicks} clicks")
    assert decider.clicks <= 5 and world.fresh(rollback).state == "authorised"
