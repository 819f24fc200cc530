"""What the ledger says of the past agrees with what was answered then."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from audit.clock import now
from environments.access_as_of import AccessAsOf
from environments.admin.rights import read_rights
from environments.models import Account, Delegation, Environment
from environments.operations.access.grant import confirm, request_role, revoke
from environments.operations.delegation import request
from environments.roles import ENVIRONMENT_PERMISSIONS, ROLE_PERMISSIONS


def answers(people: dict[str, Any]) -> dict[tuple[str, str, int | None], bool]:
    """What is answered now, of everyone, every permission and every environment: by the rights that pages read at once,
    which are those of `environments.access` (tests/releases/admin/test_rights.py).
    """
    verbs, places = sorted(ENVIRONMENT_PERMISSIONS.union(*ROLE_PERMISSIONS.values())), list(Environment.objects.all())
    return {
        (name, verb, where.pk if where else None): rights.may(verb, where)
        for name, account in people.items()
        for rights in [read_rights(Account.objects.get(pk=account.pk))]
        for verb in verbs
        for where in [None, *places]
    }


def test_the_past_is_answered_as_it_was(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    """Before a grant, while it waits, while it holds, after it was revoked; and after an account was deactivated."""
    from environments.operations.account.deactivate import deactivate

    moments = []

    def look() -> None:
        moments.append((now(), answers(people)))

    look()
    with acting_as("administrator"):
        grant = request_role(people["tester"].pk, role="operator", reason="夜間対応")
    look()
    with acting_as("second_administrator"):
        confirm(grant.pk)
    look()
    with acting_as("administrator"):
        revoke(grant.pk, reason="終わった")
    look()
    with acting_as("administrator"):
        deactivate(people["operator"].pk, reason="退職")
    people["operator"].refresh_from_db()
    look()
    then = AccessAsOf()
    for moment, said in moments:
        for (name, verb, where), expected in said.items():
            assert then.may(people[name].pk, verb, moment, where) == expected, (name, verb, where)
    held = [then.roles(people["tester"].pk, moment, None) for moment, _said in moments]
    assert held == [{"tester"}, {"tester"}, {"tester", "operator"}, {"tester"}, {"tester"}]


def test_a_delegate_has_the_absent_ones_roles_for_a_time(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    start = now()
    with acting_as("committee_a"):
        made = request.request_delegation(
            delegator_id=people["committee_a"].pk,
            delegate_id=people["tester"].pk,
            starts_at=start,
            until=start + timedelta(days=1),
            reason="休暇",
        )
    with acting_as("administrator"):
        request.confirm(made.pk)
    then, moment = AccessAsOf(), now()
    assert Delegation.objects.in_effect().count() == 1
    assert then.stood_in_for(people["tester"].pk, moment) == [people["committee_a"].pk]
    roles = {(h.role, h.delegate_for) for h in then.with_delegates(moment) if h.account == people["tester"].pk}
    assert roles == {("tester", None), ("committee", people["committee_a"].pk)}
    assert then.stood_in_for(people["tester"].pk, start) == []
    assert then.stood_in_for(people["tester"].pk, moment + timedelta(days=2)) == []
