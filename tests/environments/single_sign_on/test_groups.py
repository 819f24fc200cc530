"""Roles by groups: two administrators decide, each sign-in follows, and what a person has revoked stays revoked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from audit.models import Event
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.models import AccessGrant, Environment, GroupRole
from environments.operations.access.grant import confirm, revoke
from environments.operations.account.connect import disconnect
from environments.operations.group_role.decide import confirm_group_role, end_group_role, request_group_role
from environments.single_sign_on.provider import groups_of
from tests.environments.single_sign_on.test_sign_in import connected, signed_in_as
from tests.releases.gates.asking import alter

GROUP = "datasets-testers"


@pytest.fixture
def member(people: dict[str, Any], provider: Any, browser: Callable[..., Any], settings: Any) -> Callable[..., Any]:
    """Return a function: sign the outsider in, as a member of these groups; return the account."""
    settings.OIDC_GROUPS_CLAIM = "groups"
    connected(people["outsider"], provider.issuer, "u-1")

    def enter(*groups: str, **claims: Any) -> Any:
        provider.person("u-1", groups=list(groups), **claims)
        visitor = browser()
        visitor.get("/account/single-sign-on/")
        assert signed_in_as(visitor) == str(people["outsider"].pk)
        return people["outsider"]

    return enter


def ruled(acting_as: Any, role: str = "tester", group: str = GROUP, **where: Any) -> GroupRole:
    with acting_as("administrator"):
        row = request_group_role(group=group, role=role, reason="by the directory", **where)
    with acting_as("second_administrator"):
        return confirm_group_role(row.pk)


def test_a_member_has_the_role_until_the_first_sign_in_outside_of_the_group(
    member: Callable[..., Any], acting_as: Any
) -> None:
    staging = Environment.objects.get(slug="staging")
    rule = ruled(acting_as, environment_id=staging.pk)
    account = member(GROUP, "others")
    grant = AccessGrant.objects.get(group_role=rule)
    assert (grant.account, grant.role_id, grant.environment, grant.granted_by) == (account, "tester", staging, None)
    event = Event.objects.get(operation="access:follow_groups", object=f"environments.AccessGrant:{grant.pk}")
    assert event.contents["after"]["group_role_id"] == rule.pk and event.actor == "system:single sign-on"
    member(GROUP)
    assert AccessGrant.objects.filter(group_role=rule).count() == 1, "a second sign-in writes nothing"
    member("others")
    assert not access.roles_anywhere(account)
    member(GROUP)
    assert access.roles_anywhere(account) == {"tester"}, "who joins again has it again"


def test_one_administrator_gives_a_group_nothing(member: Callable[..., Any], acting_as: Any) -> None:
    with acting_as("administrator"):
        row = request_group_role(group=GROUP, role="tester", reason="by the directory")
    assert not access.roles_anywhere(member(GROUP))
    with acting_as("administrator"), pytest.raises(NotPermitted):
        confirm_group_role(row.pk)
    with acting_as("developer"), pytest.raises(NotPermitted):
        confirm_group_role(row.pk)
    with acting_as("developer"), pytest.raises(NotPermitted):
        request_group_role(group=GROUP, role="tester", reason="mine")
    assert not access.roles_anywhere(member(GROUP))


def test_what_a_person_has_revoked_stays_revoked(member: Callable[..., Any], acting_as: Any) -> None:
    rule = ruled(acting_as)
    account = member(GROUP)
    with acting_as("administrator"):
        revoke(AccessGrant.objects.get(group_role=rule).pk, reason="left the team")
    member(GROUP)
    member()
    member(GROUP)
    assert not access.roles_anywhere(account)


def test_the_end_of_a_rule_ends_its_grants_at_once(member: Callable[..., Any], acting_as: Any) -> None:
    rule = ruled(acting_as)
    account = member(GROUP)
    with acting_as("administrator"):
        end_group_role(rule.pk, reason="another directory")
    assert not access.roles_anywhere(account)
    assert not access.roles_anywhere(member(GROUP))
    with acting_as("administrator"), pytest.raises(NotPossible):
        end_group_role(rule.pk, reason="again")


def test_a_deciding_role_still_takes_a_second_factor(member: Callable[..., Any], acting_as: Any) -> None:
    ruled(acting_as, role="committee")
    account = member(GROUP)
    assert AccessGrant.objects.filter(account=account, role="committee").exists()
    assert not access.roles_anywhere(account), "the outsider has no second factor"


def test_groups_that_are_not_stated_change_nothing(settings: Any) -> None:
    """A provider with too many groups for a statement names another place for them."""
    settings.OIDC_GROUPS_CLAIM = "groups"
    assert groups_of({"_claim_names": {"groups": "src1"}}) is None
    assert groups_of({"sub": "u-1"}) == () and groups_of({"groups": [GROUP]}) == (GROUP,)
    for wrong in (GROUP, [7], {"of": GROUP}):
        with pytest.raises(ValueError, match="no list"):
            groups_of({"groups": wrong})


def test_where_groups_give_no_roles_none_are_given(member: Callable[..., Any], acting_as: Any, settings: Any) -> None:
    ruled(acting_as)
    settings.OIDC_GROUPS_CLAIM = ""
    assert not access.roles_anywhere(member(GROUP))


@pytest.mark.parametrize("wrong", [{"group": " "}, {"role": "ci"}, {"role": "nobody"}, {"environment_id": 99999}])
def test_a_rule_that_could_not_count_is_refused(people: Any, acting_as: Any, wrong: dict[str, Any]) -> None:
    with acting_as("administrator"), pytest.raises(InvalidInput):
        request_group_role(**{"group": GROUP, "role": "tester", "reason": "by the directory"} | wrong)


def test_the_pages_lead_through_it(people: Any, browsers: Any, settings: Any, acting_as: Any) -> None:
    settings.OIDC_GROUPS_CLAIM = "groups"
    first = browsers("administrator")
    assert "/admin/environments/grouprole/" in first.get("/admin/").content.decode()
    page = first.get("/admin/environments/grouprole/").content.decode()
    assert "/admin/operation/group_role/request/" in page
    form = {"group": GROUP, "role": "tester", "reason": "by the directory"}
    done = first.post("/admin/operation/group_role/request/", form)
    row = GroupRole.objects.get()
    assert done.status_code == 302 and done.headers["location"] == f"/admin/environments/grouprole/{row.pk}/change/"
    assert f"/admin/operation/group_role/confirm/{row.pk}/" not in first.get(done.headers["location"]).content.decode()
    second = browsers("second_administrator")
    assert f"/admin/environments/grouprole/{row.pk}/change/" in second.get("/admin/").content.decode(), "a task"
    page = second.get(done.headers["location"]).content.decode()
    assert f"/admin/operation/group_role/confirm/{row.pk}/" in page
    second.post(f"/admin/operation/group_role/confirm/{row.pk}/", {})
    row.refresh_from_db()
    assert row.confirmed_at is not None


def test_a_disconnected_person_keeps_nothing_of_a_group(member: Callable[..., Any], acting_as: Any) -> None:
    ruled(acting_as)
    account = member(GROUP)
    with acting_as("outsider"):
        disconnect(account.pk)
    assert not access.roles_anywhere(account)


def test_a_deciding_role_of_an_invited_person_waits_for_another_administrator(
    member: Callable[..., Any], acting_as: Any, people: dict[str, Any]
) -> None:
    ruled(acting_as, role="committee")
    alter(people["outsider"], invited_by=people["administrator"])
    account = member(GROUP)
    grant = AccessGrant.objects.get(account=account, role="committee")
    assert (grant.confirmed_at, grant.granted_by) == (None, people["administrator"])
    member(GROUP)
    assert AccessGrant.objects.filter(account=account, role="committee").count() == 1
    with acting_as("administrator"), pytest.raises(NotPermitted):
        confirm(grant.pk)
    with acting_as("second_administrator"):
        confirm(grant.pk)
