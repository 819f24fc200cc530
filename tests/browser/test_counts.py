"""How much is clicked: the next release until its scope is locked, an approval on a phone, and a rollback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from releases.models import Release, Rollback
from tests.browser.person import Person
from tests.browser.test_story import hour

Persons = Callable[..., Person]


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
    """From the page of the deployment; without the approval in advance the decision maker authorises it."""
    release = world.planned(rollback_pre_authorised=True)
    deployment = world.verified_deployment(release, "production")
    operator = person("operator")
    operator.go(f"/admin/deployment/{deployment.pk}/")
    operator.clicks = 0
    operator.do("rollback:raise", cause="critical_incident", note="500")
    rollback = Rollback.objects.get(deployment=deployment)
    print(f"{operator.clicks} clicks", rollback.state)
    assert operator.clicks <= 5
