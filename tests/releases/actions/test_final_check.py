"""The final check at T-1: two roles, two people, facts as measured."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from audit.refusals import GateClosed, NotYou, SignatureNeeded, WrongState
from releases.actions.release.confirm import confirm, facts_now
from releases.models import FinalCheck, Release
from tests.releases.gates.asking import COMMAND, alter


def test_two_roles_sign_and_the_tag_is_recorded(world: Any) -> None:
    release, _round = world.granted()
    with world.acting_as("manager"):
        confirm(release.pk)
    assert world.fresh(release).state == "approved", "one signature is not enough"
    with world.acting_as("operator"):
        confirm(release.pk)
    release = world.fresh(release)
    assert release.state == "confirmed" and len(release.tag_object) == 40
    rows = list(FinalCheck.objects.filter(release=release))
    assert {(row.role, row.account.username) for row in rows} == {
        ("release_manager", "manager"),
        ("operator", "operator"),
    }
    assert rows[0].signature["meaning"] == "final_check"
    assert rows[0].facts["way_back_rehearsed"] == "not_measured", "nobody measured it and it says so"
    assert rows[0].facts["digest_unchanged"] is True
    with world.acting_as("second_operator"), pytest.raises(WrongState):
        confirm(release.pk)


def test_one_person_or_one_role_never_signs_twice(world: Any, people: dict[str, Any]) -> None:
    from audit.actor import acting
    from environments.actions.access.grant import propose

    release, _round = world.granted()
    with acting(COMMAND):
        propose(people["operator"].pk, role="release_manager", reason="both roles")
    with world.acting_as("operator"):
        confirm(release.pk)
        with pytest.raises(NotYou, match="already signed"):
            confirm(release.pk)
    first = FinalCheck.objects.get(release=release)
    other = {"release_manager": "manager", "operator": "second_operator"}[first.role]
    with world.acting_as(other), pytest.raises(NotYou, match="does not wait"):
        confirm(release.pk)
    assert world.fresh(release).state == "approved"


@pytest.mark.parametrize("name", ["committee_a", "developer", "tester", "auditor", "project_manager"])
def test_others_do_not_sign(world: Any, name: str) -> None:
    release, _round = world.granted()
    with world.acting_as(name), pytest.raises(NotYou):
        confirm(release.pk)
    with world.acting_as("manager", proved=False), pytest.raises(SignatureNeeded):
        confirm(release.pk)


def test_what_is_measured_as_not_so_is_not_signed(world: Any) -> None:
    release, _round = world.granted()
    alter(release, unanswered="stay")
    root = world.targets["production"].root
    shutil.rmtree(root)
    facts = facts_now(Release.objects.get(pk=release.pk))
    assert facts["digest_unchanged"] is False and facts["target_reachable"] is False
    assert facts["tag_unchanged"] is True and facts["roster_complete"] is True
    with world.acting_as("manager"), pytest.raises(GateClosed, match="reachable"):
        confirm(release.pk)
    assert not FinalCheck.objects.exists()


def test_before_the_consent_there_is_nothing_to_check(world: Any) -> None:
    release, _round = world.submitted()
    with world.acting_as("manager"), pytest.raises(WrongState):
        confirm(release.pk)
