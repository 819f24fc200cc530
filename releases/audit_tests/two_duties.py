"""One person in two duties of a change: author, approver, starter, verifier."""

from __future__ import annotations

from collections import defaultdict

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from environments.models import Account
from releases.audit_tests.base import Outcome, SavedTest, Scope, persons, words_for
from releases.models import Deployment


def duties_of(deployment: Deployment) -> dict[str, list[Account]]:
    """Return duty → who had it, of the change that a run brought; an editor counts as an author."""
    release = deployment.release
    return {
        "author": [
            release.author,
            *release.editors.all(),
            *(c.author for c in release.changes.all()),
        ],
        "approver": [person for word in words_for(deployment) for person in persons(word)],
        "starter": deployment.starters,
        "verifier": [deployment.verified_by] if deployment.verified_by is not None else [],
    }


def run(scope: Scope) -> Outcome:
    """Count persons, not accounts: those with the same employee id are one."""
    outcome = Outcome()
    words = {"author": _("author"), "approver": _("approver"), "starter": _("starter"), "verifier": _("verifier")}
    for deployment in scope.runs().prefetch_related("release__editors", "release__changes__author"):
        outcome.examined += 1
        had: dict[str, set[str]] = defaultdict(set)
        names: dict[str, str] = {}
        for duty, accounts in duties_of(deployment).items():
            for account in accounts:
                had[account.person_key].add(duty)
                names.setdefault(account.person_key, str(account))
        for key, theirs in had.items():
            if len(theirs) > 1:
                both = ", ".join(words[duty] for duty in words if duty in theirs)
                outcome.found(deployment, str(deployment), names[key], both)
    return outcome


TEST = SavedTest(
    key="two-duties",
    title=gettext_lazy("One person in two duties"),
    question=gettext_lazy("Was anyone more than one of author, approver, starter and verifier of the same change?"),
    columns=(gettext_lazy("run"), gettext_lazy("person"), gettext_lazy("duties")),
    run=run,
)
