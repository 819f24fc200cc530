"""Holders of each right on a date, told by the ledger."""

from __future__ import annotations

from django.utils.translation import gettext_lazy

from environments.models import Account, Environment
from environments.roles import LEVEL_CHOICES, ROLE_CHOICES
from releases.audit_tests.base import Outcome, SavedTest, Scope


def run(scope: Scope) -> Outcome:
    """List each role in force at the end of the period, with its level in each environment."""
    outcome, roles, levels = Outcome(), dict(ROLE_CHOICES), dict(LEVEL_CHOICES)
    cells, people = scope.then.levels(scope.until), scope.then.people(scope.until)
    environments = list(Environment.objects.all())
    accounts = {account.pk: account for account in Account.objects.all()}
    outcome.examined = sum(person.active for person in people.values())
    held = scope.then.with_deputies(scope.until)
    for one in sorted(held, key=lambda h: (people[h.account].name, h.role, h.environment or 0)):
        where = [e for e in environments if one.environment in (None, e.pk)]
        reach = "; ".join(f"{e}: {levels[cells.get((one.role, e.pk), 'none')]}" for e in where)
        absent = people.get(one.deputy_for) if one.deputy_for is not None else None
        outcome.found(
            accounts.get(one.account),
            people[one.account].name,
            str(roles.get(one.role, one.role)),
            reach,
            one.grant.values["begins_at"],
            one.grant.values["until"],
            one.grant.values["reason"],
            absent.name if absent is not None else "",
        )
    return outcome


TEST = SavedTest(
    key="holders",
    title=gettext_lazy("Holders of each right on a date"),
    question=gettext_lazy("Who held which role, where, since when and why?"),
    columns=(
        *(gettext_lazy("person"), gettext_lazy("role"), gettext_lazy("level"), gettext_lazy("from")),
        *(gettext_lazy("until"), gettext_lazy("reason"), gettext_lazy("deputy for")),
    ),
    run=run,
    listing=True,
    moment=True,
)
