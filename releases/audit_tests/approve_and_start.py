"""People who may both approve and start in the same protected environment; the product keeps each change's apart."""

from __future__ import annotations

from django.utils.translation import gettext_lazy

from environments.access_then import allows
from environments.models import Account, Environment
from environments.roles import ROLE_CHOICES
from releases.audit_tests.base import Outcome, SavedTest, Scope


def run(scope: Scope) -> Outcome:
    """Look at everybody's roles at the end of the period."""
    outcome, names = Outcome(), dict(ROLE_CHOICES)
    levels = scope.then.levels(scope.until)
    accounts = {account.pk: account for account in Account.objects.all()}
    held = scope.then.held(scope.until)
    people = sorted({one.account for one in held})
    protected = list(Environment.objects.filter(protected=True))
    outcome.examined = len(people) * len(protected)
    for environment in protected:
        for account in people:
            theirs = [one for one in held if one.account == account]
            approve = {h.role for h in theirs if allows(h, "approve", environment.pk, levels)}
            start = {
                h.role
                for h in theirs
                if any(allows(h, right, environment.pk, levels) for right in ("schedule", "start"))
            }
            if approve and start:
                roles = ", ".join(str(names[role]) for role in sorted(approve | start))
                outcome.found(accounts.get(account), str(accounts.get(account)), str(environment), roles)
    return outcome


TEST = SavedTest(
    key="approve-and-start",
    title=gettext_lazy("People who may both approve and start"),
    question=gettext_lazy("Who has both rights for the same protected environment?"),
    columns=(gettext_lazy("person"), gettext_lazy("environment"), gettext_lazy("roles")),
    run=run,
    moment=True,
)
