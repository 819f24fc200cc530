"""Waivers past their date: used after they had ended, or still owed after the term of what they cost."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from releases.audit_tests.base import Outcome, SavedTest, Scope
from releases.models import Waiver


def run(scope: Scope) -> Outcome:
    """Look at each waiver that was approved before the end of the period, and at the run that made it a debt."""
    outcome = Outcome()
    waivers = Waiver.objects.filter(approved_at__isnull=False, approved_at__lt=scope.until).select_related(
        "release__application", "environment", "obligation", "proposed_by", "decided_by"
    )
    for waiver in waivers:
        outcome.examined += 1
        debt = waiver.obligation
        runs = waiver.release.deployments.filter(
            environment=waiver.environment, started_at__gte=waiver.approved_at, started_at__lt=scope.until
        )
        first = runs.order_by("started_at").first()
        ends = min(t for t in (waiver.until, waiver.withdrawn_at) if t is not None)
        finding = ""
        if debt is not None and first is not None and first.started_at is not None and first.started_at >= ends:
            finding = _("A run used it after its end.")
        elif debt is not None and debt.settled_at is None and debt.due_at < scope.until:
            finding = _("What it cost is overdue.")
        elif debt is None and first is not None and first.started_at is not None and first.started_at < ends:
            finding = _("It was used and is owed nowhere.")
        elif debt is None and first is None and waiver.withdrawn_at is None and waiver.until < scope.until:
            continue  # it ended unused
        if finding:
            due = debt.due_at if debt is not None else None
            outcome.found(waiver.release, str(waiver), str(waiver.decided_by), waiver.until, due, finding)
    return outcome


TEST = SavedTest(
    key="waivers-over",
    title=gettext_lazy("Waivers past their date"),
    question=gettext_lazy("Was a waiver used after its end, or is what it cost overdue?"),
    columns=(
        *(gettext_lazy("waiver"), gettext_lazy("decided by"), gettext_lazy("until"), gettext_lazy("due")),
        gettext_lazy("finding"),
    ),
    run=run,
)
