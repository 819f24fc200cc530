"""Groups that SCIM keeps give and end roles by the same rules as those that a sign-in states, at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from audit.actor import acting
from audit.models import Event
from audit.refusals import NotPermitted
from environments import access
from environments.actors import person
from environments.models import AccessGrant, Account, GroupRole, ProvisionedGroup, Token
from environments.models.access_grant import of_one_person
from environments.operations.access.follow import follow_groups
from environments.operations.access.grant import confirm, request_role
from environments.operations.group_role.decide import confirm_group_role, request_group_role
from environments.operations.provisioned_group.put import edit_group
from tests.releases.api.scim.conftest import enrol, patch
from tests.releases.api.scim.test_users import count, group_of
from tests.releases.gates.asking import alter

TEAM = "datasets-testers"


@pytest.fixture
def rule(acting_as: Callable[..., Any]) -> GroupRole:
    """The testers of the directory are testers here."""
    return ruled(acting_as)


def ruled(acting_as: Callable[..., Any], role: str = "tester", group: str = TEAM) -> GroupRole:
    with acting_as("administrator"):
        row = request_group_role(group=group, role=role, reason="by the directory")
    with acting_as("second_administrator"):
        return confirm_group_role(row.pk)


def roles(user: Any) -> set[str]:
    return access.roles_anywhere(Account.objects.get(pk=int(user["id"])))


@pytest.mark.parametrize(
    "leaving",
    [
        lambda user: {"op": "Remove", "path": "members", "value": [{"value": user}]},
        lambda user: {"op": "remove", "path": f'members[value eq "{user}"]'},
        lambda user: {"op": "replace", "path": "members", "value": []},
        lambda user: {"op": "remove", "path": "members"},
        lambda user: {"op": "replace", "value": {"displayName": "others"}},
    ],
)
def test_a_member_has_the_role_until_the_group_is_left(
    scim: Callable[..., Any], joined: Callable[..., Any], rule: GroupRole, leaving: Callable[[str], Any]
) -> None:
    user, group = joined("hanako"), scim("POST", "/Groups", group_of(TEAM), status=201)
    member = patch({"op": "Add", "path": "members", "value": [{"value": user["id"], "display": "Hanako"}]})
    assert [one["value"] for one in scim("PATCH", f"/Groups/{group['id']}", member)["members"]] == [user["id"]]
    grant = AccessGrant.objects.get(group_role=rule)
    assert roles(user) == {"tester"} and grant.granted_by is None
    event = Event.objects.filter(operation="provisioned_group:edit", kind="operation").get()
    assert event.actor.endswith(":Directory") and event.contents["after"]["added"] == [int(user["id"])]
    before = count()
    scim("PATCH", f"/Groups/{group['id']}", member)
    assert count() == before, "the same again writes nothing"
    scim("PATCH", f"/Groups/{group['id']}", patch(leaving(user["id"])))
    assert not roles(user)
    scim(
        "PATCH",
        f"/Groups/{group['id']}",
        patch({"op": "replace", "value": {"displayName": TEAM}}, *member["Operations"]),
    )
    assert roles(user) == {"tester"}, "who joins again has it again"
    scim("DELETE", f"/Groups/{group['id']}", status=204)
    assert not roles(user) and not ProvisionedGroup.objects.exists()
    scim("GET", f"/Groups/{group['id']}", status=404)


def test_a_rule_counts_at_once_for_the_members(
    scim: Callable[..., Any], joined: Callable[..., Any], acting_as: Callable[..., Any]
) -> None:
    user = joined("hanako")
    scim("POST", "/Groups", group_of(TEAM, user["id"]), status=201)
    ruled(acting_as)
    assert roles(user) == {"tester"}


def test_a_deciding_role_waits_for_two_administrators(
    scim: Callable[..., Any], joined: Callable[..., Any], acting_as: Callable[..., Any]
) -> None:
    ruled(acting_as, "operator")
    user = joined("hanako")
    enrol(user)
    scim("POST", "/Groups", group_of(TEAM, user["id"]), status=201)
    assert not roles(user)
    grant = AccessGrant.objects.get(account=int(user["id"])).pk
    with acting_as("administrator"):
        confirm(grant)
        assert not roles(user), "an administrator who also makes the groups would decide alone"
        with pytest.raises(NotPermitted, match="second person"):
            confirm(grant)
    with acting_as("second_administrator"):
        confirm(grant)
    assert roles(user) == {"operator"}


def test_a_role_that_begins_to_decide_waits_for_people(
    scim: Callable[..., Any], joined: Callable[..., Any], rule: GroupRole
) -> None:
    """Nobody here has seen whom a group gave a role that did not decide."""
    user = joined("hanako")
    enrol(user)
    scim("POST", "/Groups", group_of(TEAM, user["id"]), status=201)
    given = AccessGrant.objects.filter(account=int(user["id"]))
    assert given.in_effect().exists() and given.filter(of_one_person()).exists()
    assert not given.in_effect(named=["tester"], deciding=["tester"]).exists()


def test_roles_that_people_have_given_stay(
    scim: Callable[..., Any], joined: Callable[..., Any], acting_as: Callable[..., Any], rule: GroupRole
) -> None:
    user = joined("hanako")
    with acting_as("administrator"):
        request_role(int(user["id"]), role="developer", reason="team")
    group = scim("POST", "/Groups", group_of(TEAM, user["id"]), status=201)
    assert roles(user) == {"tester", "developer"}
    scim("PUT", f"/Groups/{group['id']}", group_of(TEAM))
    assert roles(user) == {"developer"}


def test_a_deactivated_member_gets_nothing(
    scim: Callable[..., Any], joined: Callable[..., Any], rule: GroupRole
) -> None:
    user = joined("hanako", active=False)
    scim("POST", "/Groups", group_of(TEAM, user["id"]), status=201)
    assert not AccessGrant.objects.filter(account=int(user["id"])).exists()


def test_members_are_users_of_the_client(
    scim: Callable[..., Any], joined: Callable[..., Any], people: dict[str, Any], rule: GroupRole
) -> None:
    for wrong in (str(people["outsider"].pk), "987654", "x", "-1", "9" * 30, ""):
        answer = scim("POST", "/Groups", group_of(TEAM, wrong), status=400)
        assert answer["scimType"] == "invalidValue", wrong
    assert not ProvisionedGroup.objects.exists() and not AccessGrant.objects.filter(group_role=rule).exists()
    scim("POST", "/Groups", group_of(TEAM), status=201)
    assert scim("POST", "/Groups", group_of(TEAM.upper()), status=409)["scimType"] == "uniqueness"


def test_a_break_glass_account_stays_in_its_group(
    scim: Callable[..., Any], joined: Callable[..., Any], rule: GroupRole
) -> None:
    user = joined("hanako")
    group = scim("POST", "/Groups", group_of(TEAM, user["id"]), status=201)
    alter(Account.objects.get(pk=int(user["id"])), break_glass=True)
    assert "members" not in scim("GET", f"/Groups/{group['id']}")
    scim("PUT", f"/Groups/{group['id']}", group_of(TEAM))
    assert roles(user) == {"tester"}


def test_a_sign_in_states_other_groups_only(
    scim: Callable[..., Any], joined: Callable[..., Any], acting_as: Callable[..., Any], rule: GroupRole
) -> None:
    ruled(acting_as, "developer", "of-the-token")
    user = joined("hanako")
    group = scim("POST", "/Groups", group_of(TEAM, user["id"]), status=201)
    with acting_as("administrator"):
        follow_groups(int(user["id"]), ["of-the-token"])
        assert roles(user) == {"tester", "developer"}
        follow_groups(int(user["id"]), None)
        assert roles(user) == {"tester", "developer"}, "nothing was stated"
        follow_groups(int(user["id"]), [])
        assert roles(user) == {"tester"}
        scim("PUT", f"/Groups/{group['id']}", group_of(TEAM))
        follow_groups(int(user["id"]), [TEAM])
    assert not roles(user), "SCIM says who is in it"


def test_calls_at_the_same_time_lose_nothing(
    scim: Callable[..., Any], joined: Callable[..., Any], token: str, rule: GroupRole
) -> None:
    """Each call adds and removes those whom it names, whatever was there when it was read."""
    first, second, third = (joined(name) for name in ("one", "two", "three"))
    group = scim("POST", "/Groups", group_of(TEAM, first["id"], second["id"]), status=201)
    with acting(actor_of(token)):
        edit_group(int(group["id"]), name=TEAM, external_id="", add=[], remove=[int(first["id"])])
        edit_group(int(group["id"]), name=TEAM, external_id="", add=[int(third["id"])], remove=[])
    assert not roles(first) and roles(second) == roles(third) == {"tester"}


def actor_of(token: str) -> Any:
    """Return the actor of a call with a token."""
    return person(Token.objects.get(digest=Token.digest_of(token)).account, channel="api")
