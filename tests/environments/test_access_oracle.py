"""`may` beside a naive oracle: a grant counts in its environment, for its application and in its time only; pages and
the ledger answer the same.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from audit.actor import Actor, acting
from audit.clock import now
from audit.operation import operation
from audit.refusals import AlreadyExists
from environments import access
from environments.access_as_of import AccessAsOf
from environments.admin.rights import read_rights
from environments.models import AccessGrant, AccessRule, Account, Application, Environment, sign_in_name
from environments.roles import (
    ENVIRONMENT_PERMISSIONS,
    LEVEL_CHOICES,
    LEVELS,
    OF_SERVICES,
    READING,
    ROLE_CHOICES,
    ROLE_PERMISSIONS,
)

COMMAND = Actor(account_id=None, name="tests", kind="command", channel="command")
ROLES = [role for role, _label in ROLE_CHOICES if role not in OF_SERVICES]
STATES = ("now", "now", "now", "future", "over", "withdrawn", "waits")
VERBS = sorted(ENVIRONMENT_PERMISSIONS.union(*ROLE_PERMISSIONS.values()))
GRANTS = st.lists(
    st.tuples(
        st.sampled_from(ROLES),
        st.sampled_from([None, "development", "staging", "production"]),
        st.sampled_from([None, None, "one", "two", "group"]),
        st.sampled_from(STATES),
    ),
    max_size=5,
)


def times(state: str, moment: datetime) -> dict[str, Any]:
    """Return the columns of a grant that stands as `state` says."""
    hour = timedelta(hours=1)
    return {
        "starts_at": moment + hour if state == "future" else moment - 2 * hour,
        "until": moment - hour if state == "over" else None if state == "now" else moment + 9 * hour,
        "revoked_at": moment - hour if state == "withdrawn" else None,
        "confirmed_at": None if state == "waits" else moment - 2 * hour,
    }


@pytest.fixture
def applications(database: str) -> dict[str | None, int | None]:
    """Three applications, the second and third of one group, by name; None: none."""
    with acting(COMMAND), operation("test:applications") as op:
        rows = [
            Application.objects.create(slug=slug, name=slug, repository="/x", group="group" if slug != "one" else "")
            for slug in ("one", "two", "three")
        ]
        op.about(rows[0])
    return {None: None} | {row.slug: row.pk for row in rows}


@given(rows=GRANTS)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_may_agrees_with_a_naive_oracle(
    newcomer: Callable[..., Account], applications: dict[str | None, int | None], rows: list[tuple[str, Any, Any, str]]
) -> None:
    """Case 10."""
    where: dict[str | None, Environment | None] = {None: None} | {e.slug: e for e in Environment.objects.all()}
    matrix = {
        (rule.role_id, rule.environment.slug): rule.level for rule in AccessRule.objects.select_related("environment")
    }
    account = newcomer(f"someone{Account.objects.count()}")
    moment = now()
    with acting(COMMAND), operation("test:grant", (Account, account.pk)):
        for role, slug, what, state in rows:
            scope = {"application_group": what} if what == "group" else {"application_id": applications[what]}
            AccessGrant.objects.create(
                account=account, role_id=role, environment=where[slug], reason="x", **scope, **times(state, moment)
            )
    rights, then, asked = read_rights(account), AccessAsOf(), now()
    for (name, application), (slug, environment) in product(applications.items(), where.items()):
        for verb in VERBS:
            expected = False
            for role, scope, what, state in rows:
                of = {"group": ("two", "three")}.get(what, (what,))
                if state != "now" or not (what is None or name in of or (name is None and verb == "read")):
                    continue
                if slug is not None and scope in (None, slug) and verb in ENVIRONMENT_PERMISSIONS:
                    expected |= verb in LEVELS[matrix.get((role, slug), "none")]
                if slug is not None and scope in (None, slug) and verb not in ENVIRONMENT_PERMISSIONS:
                    expected |= verb in ROLE_PERMISSIONS[role]
                if slug is None and (scope is None or verb in READING):
                    expected |= verb in ROLE_PERMISSIONS[role]
            said = (verb, slug, name)
            assert access.may(account, verb, environment, application) == expected, said
            assert rights.about(application).may(verb, environment) == expected, ("page", *said)
            place = environment.pk if environment is not None else None
            assert then.may(account.pk, verb, asked, place, application) == expected, ("ledger", *said)


def test_roles_and_levels_have_no_lookalike() -> None:
    """Case 12: they are code, and no two names are one under NFKC and case folding."""
    for names in (
        [role for role, _label in ROLE_CHOICES],
        [level for level, _label in LEVEL_CHOICES],
        [str(label) for _role, label in ROLE_CHOICES],
        [str(label) for _level, label in LEVEL_CHOICES],
        VERBS,
    ):
        folded = [unicodedata.normalize("NFKC", name).casefold() for name in names]
        assert len(set(folded)) == len(names)
    for role, _label in ROLE_CHOICES:
        assert role.isascii() and role == role.lower()


def test_a_lookalike_of_a_role_is_no_role(newcomer: Callable[..., Account]) -> None:
    """Case 12: neither is it given, nor does a row that holds it allow anything."""
    import pytest

    from audit.refusals import InvalidInput
    from environments.operations.access.grant import request_role

    account = newcomer("someone")
    with acting(COMMAND):
        for role in ("Operator", "ｏｐｅｒａｔｏｒ", "operator ", "operator\u200b", "орerator", ""):
            with pytest.raises(InvalidInput, match="role"):
                request_role(account.pk, role=role, reason="x")
    assert not AccessGrant.objects.filter(account=account).exists()


def test_names_of_accounts_have_no_lookalike(newcomer: Callable[..., Account]) -> None:
    """Case 12: the database agrees, also for a write past the operation."""
    newcomer("sato")
    with acting(COMMAND), pytest.raises(AlreadyExists, match="already another account") as refused:
        with operation("test:twin") as op:
            twin = Account.objects.create(username="SATO", display_name="x")
            op.about(twin)
    assert refused.value.constraint == "account_username_once"
    assert {sign_in_name(name) for name in ("sato", "SATO", "ｓａｔｏ", "sa\x00to", " sato ", "sa\u200bto")} == {"sato"}
