"""Drift: each time that a deployment target was not as it was deployed, until it was measured equal again."""

from __future__ import annotations

from django.db.models import Q
from django.utils.translation import gettext_lazy

from environments.models import Target
from releases.audit_tests.base import Outcome, SavedTest, Scope
from releases.models import Drift


def run(scope: Scope) -> Outcome:
    """Look at each drift that was open in the period, ended or not."""
    outcome = Outcome(examined=Target.objects.count())
    open_then = Drift.objects.filter(found_at__lt=scope.until).filter(Q(ended_at=None) | Q(ended_at__gte=scope.since))
    for drift in open_then.select_related("target__application", "target__environment").order_by("found_at", "pk"):
        outcome.found(drift.target, str(drift.target), drift.words, drift.found_at, drift.ended_at)
    return outcome


TEST = SavedTest(
    key="drift",
    title=gettext_lazy("Drift of deployment targets"),
    question=gettext_lazy("Was anything changed on a deployment target past Ringi, and is it still so?"),
    columns=(
        *(gettext_lazy("deployment target"), gettext_lazy("what differs"), gettext_lazy("found at")),
        gettext_lazy("ended at"),
    ),
    run=run,
)
