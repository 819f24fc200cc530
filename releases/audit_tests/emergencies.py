"""Emergency share and late reviews: how many runs were emergencies, and which review of one was late or is missing."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from releases.audit_tests.base import Outcome, SavedTest, Scope
from releases.models import Obligation, Release

REVIEWS = ("retrospective_review", "full_review")


def run(scope: Scope) -> Outcome:
    """Look at each emergency that ran in the period; a review counts from its due date on as late."""
    outcome = Outcome()
    runs = list(scope.runs())
    urgent = [deployment for deployment in runs if deployment.release.kind == Release.Kind.EMERGENCY]
    outcome.examined = len(urgent)
    share = f"{len(urgent)} / {len(runs)}" + (f" ({100 * len(urgent) / len(runs):.1f} %)" if runs else "")
    outcome.notes.append((_("Emergencies among the runs"), share))
    for deployment in urgent:
        owed = list(Obligation.objects.filter(release=deployment.release, key__in=REVIEWS).order_by("pk"))
        for key in sorted(set(REVIEWS) - {debt.key for debt in owed}):
            outcome.found(deployment, str(deployment), key, None, None, _("The review was never owed."))
        for debt in owed:
            if (debt.settled_at or scope.until) > debt.due_at:
                said = _("Settled late.") if debt.settled_at is not None else _("Not settled.")
                outcome.found(deployment, str(deployment), str(debt), debt.due_at, debt.settled_at, said)
    return outcome


TEST = SavedTest(
    key="emergencies",
    title=gettext_lazy("Emergency share and late reviews"),
    question=gettext_lazy("How many runs were emergencies, and was each reviewed in time?"),
    columns=(
        *(gettext_lazy("run"), gettext_lazy("review"), gettext_lazy("due"), gettext_lazy("settled at")),
        gettext_lazy("finding"),
    ),
    run=run,
)
