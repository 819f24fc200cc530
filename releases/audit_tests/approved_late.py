"""Approval later than start: a run that began before everybody whose consent it needs had given it."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from releases.audit_tests.base import CHUNK, Outcome, SavedTest, Scope, words_for
from releases.gates import quorum
from releases.models import Approval, ConsentRound


def run(scope: Scope) -> Outcome:
    """Look at each run in a protected environment: its round, and the words that were there when it started."""
    outcome = Outcome()
    for deployment in scope.runs().iterator(chunk_size=CHUNK):
        outcome.examined += 1
        round_, start = deployment.consent, deployment.started_at
        if round_ is None:
            outcome.found(deployment, str(deployment), start, None, _("There is no consent."))
            continue
        words = words_for(deployment)
        before = [word for word in words if start is not None and word.at <= start]
        last = max((word.at for word in words), default=None)
        if len(before) < len(words):
            outcome.found(deployment, str(deployment), start, last, _("An approval came after the start."))
        elif not _met(round_, before):
            outcome.found(deployment, str(deployment), start, last, _("The rules were not met at the start."))
    return outcome


def _met(round_: ConsentRound, words: list[Approval]) -> bool:
    rules = quorum.rules_of(round_)
    # A rule that asks nobody is met by nobody; no rule at all is never met.
    return bool(round_.rules) and (not rules or quorum.standing(rules, quorum.counting(round_, words)).met)


TEST = SavedTest(
    key="approved-late",
    title=gettext_lazy("Approval later than start"),
    question=gettext_lazy("Was each run in a protected environment consented to before it started?"),
    columns=(gettext_lazy("run"), gettext_lazy("started"), gettext_lazy("last approval"), gettext_lazy("finding")),
    run=run,
)
