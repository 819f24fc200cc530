"""That no superuser exists, now or at any time in the period: one would pass every check before it is asked."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from environments.models import Account
from releases.audit_tests.base import Outcome, SavedTest, Scope


def run(scope: Scope) -> Outcome:
    """Look at each account as it is, and at each state that it had in the ledger."""
    outcome = Outcome()
    accounts = {str(account.pk): account for account in Account.objects.all()}
    lives = scope.then.accounts
    outcome.examined = len(accounts.keys() | lives.keys())
    for pk in sorted(accounts.keys() | lives.keys(), key=int):
        account = accounts.get(pk)
        if account is not None and account.is_superuser:
            outcome.found(account, str(account), None, _("It is a superuser now."))
        states = lives[pk].states if pk in lives else []
        for place, state in enumerate(states):
            ended = states[place + 1].at if place + 1 < len(states) else None
            in_period = state.at < scope.until and (ended is None or ended > scope.since)
            if in_period and state.values.get("is_superuser") is True:
                outcome.found(account, str(account or pk), state.at, _("It was a superuser from then on."))
    return outcome


TEST = SavedTest(
    key="superusers",
    title=gettext_lazy("No superuser exists"),
    question=gettext_lazy("Was any account ever above the rules?"),
    columns=(gettext_lazy("account"), gettext_lazy("since"), gettext_lazy("finding")),
    run=run,
)
