"""Approver without the role at the time: the roles that a word claims, against the grants as the ledger knows them."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from releases.audit_tests.base import Outcome, SavedTest, Scope


def run(scope: Scope) -> Outcome:
    """Look at each word: had the one for whom it counts one of the roles, and was the other his deputy?"""
    outcome = Outcome()
    for word in scope.approvals():
        outcome.examined += 1
        whose = word.on_behalf or word.account
        held = scope.then.roles(whose.pk, word.at, word.round.environment_id)
        said = ", ".join(word.roles)
        asked = {rule["role"] for rule in word.round.rules}
        if not held & set(word.roles) & asked:
            finding = _("None of the roles was held.")
        elif set(word.roles) - held:
            finding = _("Not all of the roles were held.")
        elif word.on_behalf is not None and whose.pk not in scope.then.stood_in_for(word.account_id, word.at):
            finding = _("There was no deputy in force.")
        else:
            continue
        about = word.round.release or word.round
        outcome.found(about, str(about), str(word.account), word.at, said, ", ".join(sorted(held)), finding)
    return outcome


TEST = SavedTest(
    key="role-missing",
    title=gettext_lazy("Approver without the role at the time"),
    question=gettext_lazy("Did everybody who decided in a round hold the role at that very moment?"),
    columns=(
        *(gettext_lazy("release"), gettext_lazy("person"), gettext_lazy("time"), gettext_lazy("roles claimed")),
        *(gettext_lazy("roles held"), gettext_lazy("finding")),
    ),
    run=run,
)
