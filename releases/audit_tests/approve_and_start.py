"""People who may both approve and start in the same protected environment; the product keeps each change's apart.

Two accounts of one person are one, and whoever stands in for an approver may approve.
"""

from __future__ import annotations

from collections import defaultdict

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from environments.access_then import Held, Person, allows
from environments.models import Account, Environment
from environments.roles import ROLE_CHOICES
from releases.audit_tests.base import Outcome, SavedTest, Scope


def run(scope: Scope) -> Outcome:
    """Look at everybody's roles at the end of the period, those of the absent with their deputies."""
    outcome = Outcome()
    levels, people = scope.then.levels(scope.until), scope.then.people(scope.until)
    accounts = {account.pk: account for account in Account.objects.all()}
    held: dict[str, list[Held]] = defaultdict(list)
    for one in sorted(scope.then.with_deputies(scope.until), key=lambda h: (h.account, h.role, h.deputy_for or 0)):
        held[people[one.account].person_key].append(one)
    protected = list(Environment.objects.filter(protected=True))
    outcome.examined = len(held) * len(protected)
    for environment in protected:
        for theirs in held.values():
            approve = [h for h in theirs if allows(h, "approve", environment.pk, levels)]
            start = [h for h in theirs if h.deputy_for is None and _starts(h, environment, levels)]
            if approve and start:
                first = theirs[0].account
                roles = ", ".join(dict.fromkeys(_words(h, people) for h in (*approve, *start)))
                outcome.found(accounts.get(first), people[first].name, str(environment), roles)
    return outcome


def _starts(held: Held, environment: Environment, levels: dict[tuple[str, int], str]) -> bool:
    return any(allows(held, right, environment.pk, levels) for right in ("schedule", "start"))


def _words(held: Held, people: dict[int, Person]) -> str:
    role = str(dict(ROLE_CHOICES)[held.role])
    if held.deputy_for is None:
        return role
    return _("%(role)s, for %(absent)s") % {"role": role, "absent": people[held.deputy_for].name}


TEST = SavedTest(
    key="approve-and-start",
    title=gettext_lazy("People who may both approve and start"),
    question=gettext_lazy("Who has both rights for the same protected environment?"),
    columns=(gettext_lazy("person"), gettext_lazy("environment"), gettext_lazy("roles")),
    run=run,
    moment=True,
)
