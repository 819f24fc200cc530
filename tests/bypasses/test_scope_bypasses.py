"""Ways round approval by what reaches less or further than it says: conditions, groups, environments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from audit.actor import acting
from audit.clock import now
from audit.refusals import InvalidInput, NotPermitted
from environments import access
from environments.models import AccessGrant, Account, Environment
from environments.operations.access.follow import follow_groups
from environments.operations.access.grant import confirm, request_role
from environments.operations.group_role.decide import confirm_group_role, request_group_role
from releases.gates.evaluation import blockers
from releases.gates.staffing import shortfalls
from releases.models import DeployedVersion, EmergencyStop, FollowUp
from releases.operations.approval import decide
from releases.operations.emergency_stop.activate import activate
from releases.operations.emergency_stop.request_lift import request_lift
from releases.operations.evidence.upload import upload
from releases.operations.follow_up.complete import complete
from releases.operations.target.set_settings import set_settings
from releases.procedures.document import Procedure as Content
from releases.procedures.load import default
from tests.releases.gates.asking import COMMAND, alter, ask, make
from tests.releases.gates.test_staffing import active
from tests.releases.operations.test_own_roles import in_effect
from tests.releases.worker.test_two_places import two_sites


def changed(world: Any, **gates: Any) -> None:
    """Put the default procedure with other gates into effect."""
    raw = default().model_dump(mode="json")
    raw["version"], raw["history"][-1]["version"] = "9.0.0", "9.0.0"
    in_effect(world, Content.checked(raw | gates), office="")


def test_a_condition_holds_the_start_under_a_procedure_that_asks_for_no_follow_ups(world: Any) -> None:
    changed(world, gates=[row.model_dump(mode="json") for row in default().gates if row.type != "follow_up"])
    release, approval_request = world.submitted()
    with world.acting_as("committee_a"):
        decide.approve_with_condition(approval_request.pk, digest=approval_request.digest, condition="call the desk")
    with world.acting_as("committee_b"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    answer = ask(world, release, "approval")
    assert answer.result == "not_passed" and "call the desk" in answer.reason
    with world.acting_as("committee_a"):
        complete(FollowUp.objects.get(release=release).pk, note="called")
    assert ask(world, release, "approval").result == "passed"


def test_no_regular_release_follows_an_unknown_version_under_any_procedure(world: Any) -> None:
    changed(world, gates=[row.model_dump(mode="json") for row in default().gates if row.type != "follow_up"])
    release = world.tested()
    production, staging = (world.environments[name] for name in ("production", "staging"))
    assert "unknown_version" not in {answer.kind for answer in blockers(release, production)}
    for place in (production, staging):
        rows = DeployedVersion.objects.filter(application=release.application, environment=place)
        if (pointer := rows.first()) is None:
            pointer = make(DeployedVersion, application=release.application, environment=place, since=now())
        alter(pointer, unknown=True)
    assert "unknown_version" in {answer.kind for answer in blockers(release, production)}
    assert "unknown_version" not in {answer.kind for answer in blockers(release, staging)}
    urgent = alter(release, kind="emergency")
    assert "unknown_version" not in {answer.kind for answer in blockers(urgent, production)}


def test_a_role_counts_for_a_statement_only_where_it_is_granted_for_all_environments(world: Any) -> None:
    """The environment of a statement is chosen by the person who uploads it, and its gate may be in production."""
    gate = {"key": "training", "type": "attestation", "subject": "training", "roles": ["project_manager"]}
    gate |= {"tiers": ["production"], "en": "Trained"}
    changed(world, gates=[*(row.model_dump(mode="json") for row in default().gates), gate])

    def granted(where: str) -> None:
        place = world.environments[where].pk if where else None
        with world.acting_as("administrator"):
            grant = request_role(
                world.people["tester"].pk, role="project_manager", environment_id=place, reason="for a while"
            )
        if grant.confirmed_at is None:
            with world.acting_as("second_administrator"):
                confirm(grant.pk)

    granted("development")
    release = world.planned()

    def stated(where: str, result: str = "passed") -> Any:
        with world.acting_as("tester"):
            upload(
                world.application.pk,
                environment_id=world.environments[where].pk,
                kind="statement",
                commit=world.built.commits["v1.3.0"],
                files=[("", json.dumps({"subject": "training", "result": result}).encode())],
            )
        return ask(world, release, "training")

    answer = stated("development")
    assert answer.result == "not_passed" and "is not from one of these roles" in answer.reason
    with pytest.raises(NotPermitted, match="Only these roles"):
        stated("production")
    granted("production")
    assert stated("production").result == "passed"
    assert stated("development", "failed").result == "passed", "nor does it replace what production was told"
    granted("")
    assert stated("development").result == "passed"
    assert stated("staging", "failed").result == "not_passed", "a role for all environments counts in all"


@pytest.mark.parametrize("party", ["administrator", "second_administrator"])
def test_two_administrators_give_neither_of_them_a_deciding_role_through_a_group(world: Any, party: str) -> None:
    with world.acting_as("administrator"):
        rule = request_group_role(group="approvers", role="committee", reason="by the directory")
    with world.acting_as("second_administrator"):
        confirm_group_role(rule.pk)
    member = world.people[party]
    with acting(COMMAND):
        follow_groups(member.pk, ["approvers"])
    grant = AccessGrant.objects.get(account=member, group_role=rule)
    assert grant.confirmed_at is None and "committee" not in access.roles_anywhere(Account.objects.get(pk=member.pk))
    for name in ("administrator", "second_administrator"):
        with world.acting_as(name), pytest.raises(NotPermitted):
            confirm(grant.pk)


def test_the_programs_of_a_lower_environment_write_into_no_folder_of_production(world: Any, tmp_path: Path) -> None:
    """One person sets the options of a target that is not protected, and no approval is asked there."""
    ours, theirs = world.targets["development"], world.targets["production"]
    (tmp_path / "link").symlink_to(theirs.root)
    for path in (theirs.root, f"{theirs.root}/current", str(Path(theirs.root).parent), str(tmp_path / "link")):
        with world.acting_as("manager"), pytest.raises(InvalidInput, match="could write into the folder of another"):
            set_settings(ours.pk, root=ours.root, settings={"programs": {"write": [path]}}, reason="a shared folder")
    with world.acting_as("manager"):
        set_settings(ours.pk, root=ours.root, settings={"programs": {"write": [str(tmp_path)]}}, reason="a folder")
    with world.acting_as("manager"), pytest.raises(InvalidInput, match="could write into the folder of another"):
        set_settings(theirs.pk, root=str(tmp_path / "new"), settings={}, reason="moves into an opened folder")


def test_the_lift_of_an_emergency_stop_is_decided_for_each_environment_that_it_opens(world: Any) -> None:
    in_effect(world, two_sites(), office="")
    committee = AccessGrant.objects.filter(account=world.people["committee_a"], role="committee")
    with world.acting_as("operator"):
        activate(reason="smoke")
        approval_request = request_lift(EmergencyStop.objects.get().pk, reason="it was toast")
    for place in ("production", "site_b"):
        for grant in committee:
            alter(grant, environment=Environment.objects.get(slug=place))
        with world.acting_as("committee_a"), pytest.raises(NotPermitted):
            decide.approve(approval_request.pk, digest=approval_request.digest)
    for grant in committee:
        alter(grant, environment=None)
    with world.acting_as("committee_a"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    assert EmergencyStop.objects.get().lifted_at is not None


def test_people_who_each_have_one_environment_are_said_to_be_too_few_for_a_lift(world: Any) -> None:
    in_effect(world, two_sites(), office="")
    assert "emergency_stop_lift" not in {lack.subject for lack in shortfalls(active())}
    for number, grant in enumerate(AccessGrant.objects.filter(role="committee")):
        place = "site_b" if number % 2 else "production"
        alter(grant, environment=Environment.objects.get(slug=place))
    assert "emergency_stop_lift" in {lack.subject for lack in shortfalls(active())}
