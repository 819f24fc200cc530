"""Waivers past their date: used after they had ended, or still owed after the term of what they cost."""

from datetime import datetime
from typing import Any

from django.utils.translation import gettext_lazy as _

from releases.gates import evaluation
from releases.models import Deployment, FollowUp, Waiver
from releases.models.waiver import NOTIFICATIONS_SENT_WAIVER
from releases.queries.waivable import MILESTONE
from releases.reporting.audit_tests.base import Outcome, SavedTest, Scope


def run(scope: Scope) -> Outcome:
    """Look at each waiver that was approved before the end of the period, and at all runs since."""
    outcome = Outcome()
    waivers = Waiver.objects.filter(approved_at__isnull=False, approved_at__lt=scope.until).select_related(
        "release__application", "environment", "follow_up", "requested_by", "decided_by"
    )
    for waiver in waivers:
        outcome.examined += 1
        debt = waiver.follow_up
        ends = _end(waiver)
        runs = waiver.release.deployments.filter(
            environment=waiver.environment, started_at__gte=waiver.approved_at, started_at__lt=scope.until
        ).order_by("started_at")
        within, after = list(runs.filter(started_at__lt=ends)), list(runs.filter(started_at__gte=ends))
        finding: Any = ""
        if debt is None and within:
            finding = _("The waiver was used, but no follow-up action was recorded.")
        elif debt is not None and _used(waiver, within, after):
            finding = _("A deployment used the waiver after the waiver had ended.")
        elif debt is not None and _late(debt, scope):
            settled = debt.completed_at is not None and debt.completed_at < scope.until
            finding = (
                _("The follow-up action was completed late.")
                if settled
                else _("The follow-up action of the waiver is overdue.")
            )
        if finding:
            due = debt.due_at if debt is not None else None
            outcome.found(waiver.release, str(waiver), str(waiver.decided_by), waiver.until, due, finding)
    return outcome


def _end(waiver: Waiver) -> datetime:
    return min(t for t in (waiver.until, waiver.revoked_at) if t is not None)


def _used(waiver: Waiver, within: list[Deployment], after: list[Deployment]) -> bool:
    """Tell whether a run used a waiver after its end: one made it a follow-up action then, or its gate was closed without it.

    A late milestone or a missing announcement is waived for an operation that is no run.
    """
    if waiver.gate.startswith((MILESTONE, NOTIFICATIONS_SENT_WAIVER)) or not after:
        return False
    return not within or any(_closed(waiver, run) for run in after)


def _closed(waiver: Waiver, run: Deployment) -> bool:
    """Tell whether the gate was closed at the start of a run, asked with all that is known of the release by now."""
    start = run.started_at
    assert start is not None
    others = run.release.waivers.filter(gate=waiver.gate, environment=run.environment, approved_at__lte=start)
    if any(start < _end(other) for other in others):
        return False
    return any(a.gate == waiver.gate and not a.passes for a in evaluation.evaluate(run.release, run.environment, start))


def _late(debt: FollowUp, scope: Scope) -> bool:
    """Tell whether a follow-up action was overdue at some time of the period, whatever became of it later."""
    settled = debt.completed_at or scope.until
    return min(settled, scope.until) > max(debt.due_at, scope.since)


TEST = SavedTest(
    key="expired-waivers",
    title=_("Waivers past their date"),
    question=_("Was a waiver used after its end, or is its follow-up action overdue?"),
    columns=(_("waiver"), _("decided by"), _("until"), _("due"), _("finding")),
    run=run,
)
