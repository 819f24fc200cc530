"""Permission checks: levels and permissions as the design writes them; scope is a pair; nothing outlives its grant."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from audit.actor import Actor, acting
from audit.clock import now
from audit.operation import operation
from audit.refusals import NotPermitted
from environments import access
from environments.admin.rights import read_rights
from environments.models import AccessGrant, AccessRule, Account, Environment
from environments.roles import ENVIRONMENT_PERMISSIONS, LEVELS, PERMISSION_LABELS, ROLE_CHOICES, ROLE_PERMISSIONS
from releases.procedures.values import NAMED_PERMISSIONS

COMMAND = Actor(account_id=None, name="tests", kind="command", channel="command")
# Access levels: first as the design writes them, then what a working system adds, each with its reason.
WRITTEN = {
    "full": "view read_logs request schedule start stop decide verify edit_configuration",
    "limited": "view read_logs request",
    "read_only": "view",
    "audit_log_only": "",
    "operate": "view read_logs schedule start stop decide verify roll_back",
    "ci_automatic": "request start",
    "ci_after_approval": "start",
    "none": "",
}
ADDED = {
    "full": "resolve",  # in lower tiers no other role could end a failed deployment
    # a deployment is requested before it is scheduled; registering a version measures the target
    "operate": "request resolve register_version",
    "ci_automatic": "schedule",  # for now only, which is what a start is
}
MAY_READ_ONLY = {"auditor": {"read", "audit"}}


def environments() -> dict[str, Environment]:
    return {row.slug: row for row in Environment.objects.all()}


def test_each_level_holds_the_permissions_that_the_design_names() -> None:
    assert set(LEVELS) == set(WRITTEN)
    for level, verbs in WRITTEN.items():
        assert LEVELS[level] == set(verbs.split()) | set(ADDED.get(level, "").split()), level


def test_only_people_of_the_committee_approve() -> None:
    for verb in ("approve", "send_back", "reject", "approve_change"):
        assert {role for role, verbs in ROLE_PERMISSIONS.items() if verb in verbs} == {"committee"}, verb
    assert {role for role, verbs in ROLE_PERMISSIONS.items() if "manage_access" in verbs} == {"administrator"}
    assert ROLE_PERMISSIONS["administrator"] == {"manage_access", "manage_accounts", "read", "restore_procedure"}, (
        "the first administrator may only grant"
    )
    # An auditor is the witness when an earlier procedure takes effect again, and decides nothing else.
    assert ROLE_PERMISSIONS["auditor"] == MAY_READ_ONLY["auditor"] | {"restore_procedure"}
    assert set(ROLE_PERMISSIONS) == {role for role, _label in ROLE_CHOICES}


def test_the_matrix_of_the_procedure_is_what_people_may(people: dict[str, Any]) -> None:
    """E3: role × environment, asked of real accounts."""
    where = environments()
    matrix = {
        "developer": ("full", "limited", "audit_log_only"),
        "tester": ("read_only", "full", "none"),
        "operator": ("operate", "operate", "operate"),
        "ci": ("ci_automatic", "ci_automatic", "ci_after_approval"),
        "manager": ("none", "none", "none"),
        "committee_a": ("none", "none", "none"),
        "auditor": ("none", "none", "none"),
        "outsider": ("none", "none", "none"),
        "administrator": ("none", "none", "none"),
    }
    for name, levels in matrix.items():
        for slug, level in zip(("development", "staging", "production"), levels, strict=True):
            allowed = {v for v in ENVIRONMENT_PERMISSIONS if access.may(people[name], v, where[slug])}
            assert allowed == LEVELS[level], (name, slug)


def test_looking_is_never_deciding(people: dict[str, Any]) -> None:
    """Case 8: who may only read cannot do anything anywhere."""
    verbs = ENVIRONMENT_PERMISSIONS.union(*ROLE_PERMISSIONS.values()) - {"read", "audit", "restore_procedure"}
    for environment in (None, *environments().values()):
        for verb in verbs:
            assert not access.may(people["auditor"], verb, environment), verb
            assert not access.may(people["outsider"], verb, environment), verb


def test_unknown_permissions_roles_and_visitors_are_denied(people: dict[str, Any]) -> None:
    assert not access.may(people["operator"], "start"), "a verb of environments needs its environment"
    assert not access.may(None, "read")
    assert not access.may(Account(username="unsaved"), "read")


def test_no_row_in_the_matrix_means_no(people: dict[str, Any]) -> None:
    production = environments()["production"]
    with acting(COMMAND), operation("test:remove", (Environment, production.pk)):
        AccessRule.objects.filter(role="operator", environment=production).delete()
    assert not access.may(people["operator"], "view", production)
    assert access.may(people["operator"], "view", environments()["staging"])


def test_scope_never_unites_across_environments(newcomer: Callable[..., Account]) -> None:
    """Case 10: operator of staging and tester of production is not operator of production."""
    where = environments()
    someone = newcomer("someone", ("operator", where["staging"]), ("tester", where["production"]))
    assert access.may(someone, "start", where["staging"])
    for slug in ("development", "production"):
        assert not any(access.may(someone, verb, where[slug]) for verb in ENVIRONMENT_PERMISSIONS), slug
    assert access.roles_of(someone, where["production"]) == {"tester"}
    assert access.roles_of(someone) == {"operator", "tester"}


def test_a_committee_member_of_one_environment_is_none_in_another(newcomer: Callable[..., Account]) -> None:
    where = environments()
    member = newcomer("member", ("committee", where["staging"]))
    assert access.may(member, "approve", where["staging"])
    assert not access.may(member, "approve", where["production"])
    assert member not in access.holders("committee", where["production"])
    assert member in access.holders("committee", where["staging"])


def test_a_grant_ends_at_its_hour(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    from environments.operations.access.grant import request_role

    with acting(COMMAND):
        grant = request_role(people["outsider"].pk, role="tester", reason="a week", until=now() + timedelta(days=7))
    assert access.may(people["outsider"], "upload_evidence")
    for field, value in (("until", now()), ("starts_at", now() + timedelta(hours=1)), ("revoked_at", now())):
        kept = {name: getattr(grant, name) for name in ("until", "starts_at", "revoked_at")}
        with acting(COMMAND), operation("test:age", (AccessGrant, grant.pk)) as op:
            setattr(op.get(AccessGrant), field, value)
        assert not access.may(people["outsider"], "upload_evidence"), field
        with acting(COMMAND), operation("test:age", (AccessGrant, grant.pk)) as op:
            for name, old in kept.items():
                setattr(op.get(AccessGrant), name, old)
        assert access.may(people["outsider"], "upload_evidence")


def test_a_grant_that_waits_for_the_second_person_counts_for_nothing(
    people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    from environments.operations.access.grant import request_role

    with acting_as("administrator"):
        request_role(people["outsider"].pk, role="committee", reason="new member")
    assert not access.may(people["outsider"], "approve")
    assert people["outsider"] not in access.holders("committee")


def test_a_deactivated_account_may_nothing(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    with acting(COMMAND), operation("test:close", (Account, people["operator"].pk)) as op:
        op.get(Account).is_active = False
    closed = Account.objects.get(pk=people["operator"].pk)
    production = environments()["production"]
    assert not access.may(closed, "start", production)
    assert closed not in access.holders("operator")
    with acting_as("operator"), pytest.raises(NotPermitted, match="deactivated"):
        access.require("start", production)


def test_a_process_is_nobody(database: str) -> None:
    with acting(COMMAND), pytest.raises(NotPermitted):
        access.require("read")


def test_service_accounts_never_hold_a_role_of_people(people: dict[str, Any]) -> None:
    for role, _label in ROLE_CHOICES:
        assert people["ci"] not in access.holders(role)


def test_has_perm_agrees(people: dict[str, Any]) -> None:
    for name, account in people.items():
        looks = access.may(account, "read")
        assert account.has_perm("releases.view_release") == looks, name
        for verb, model in itertools.product(("add", "change", "delete"), ("release", "deployment", "procedure")):
            assert not account.has_perm(f"releases.{verb}_{model}"), name
        assert not account.is_superuser


def test_no_account_becomes_a_superuser(people: dict[str, Any]) -> None:
    from django.db import IntegrityError

    with acting(COMMAND), pytest.raises(IntegrityError, match="account_no_superuser"):
        with operation("test:promote", (Account, people["manager"].pk)) as op:
            op.get(Account).is_superuser = True


def test_a_key_of_no_permission_is_a_mistake_and_no_denial(people: dict[str, Account]) -> None:
    """A misspelt key would otherwise deny everybody, and no test of a denial would see it."""
    with pytest.raises(LookupError, match="no_permission"):
        access.may(people["operator"], "no_permission", environments()["production"])
    with pytest.raises(LookupError):
        access.may(people["operator"], "no_permission")
    with pytest.raises(LookupError):
        read_rights(people["operator"]).may("no_permission")
    with pytest.raises(LookupError):
        access.holders("operator", right="no_permission")
    with pytest.raises(LookupError):
        access.roles_by_person(right="no_permission")
    named = NAMED_PERMISSIONS.values()
    assert set(PERMISSION_LABELS) == ENVIRONMENT_PERMISSIONS.union(*ROLE_PERMISSIONS.values(), *named)
