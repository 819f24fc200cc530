"""Waivers past their date: used after they had ended, or with a follow-up action still open after its due date."""

from datetime import datetime
from typing import Any

from django.utils.translation import gettext_lazy as _

from releases.gates import evaluation
from releases.models import Deployment, FollowUp, Waiver
from releases.models.waiver import NOTIFICATIONS_SENT_WAIVER
from releases.queries.waivable import MILESTONE
from releases.reporting.audit_tests.base import Outcome, SavedTest, Scope


def run(scope: Scope) -> Outcome:
    """Check each waiver that was approved before the end of the period, and all deployments since."""
    outcome = Outcome()
    waivers = Waiver.objects.filter(approved_at__isnull=False, approved_at__lt=scope.until).select_related(
        "release__application", "environment", "follow_up", "requested_by", "decided_by"
    )
    for waiver in waivers:
        outcome.examined += 1
        follow_up = waiver.follow_up
        ends = _end(waiver)
        deployments = waiver.release.deployments.filter(
            environment=waiver.environment, started_at__gte=waiver.approved_at, started_at__lt=scope.until
        ).order_by("started_at")
        within, after = list(deployments.filter(started_at__lt=ends)), list(deployments.filter(started_at__gte=ends))
        finding: Any = ""
        if follow_up is None and within:
            finding = _("The waiver was used, but no follow-up action was recorded.")
        elif follow_up is not None and _used(waiver, within, after):
            finding = _("A deployment used the waiver after the waiver had ended.")
        elif follow_up is not None and _late(follow_up, scope):
            completed = follow_up.completed_at is not None and follow_up.completed_at < scope.until
            finding = (
                _("The follow-up action was completed late.")
                if completed
                else _("The follow-up action of the waiver is overdue.")
            )
        if finding:
            due = follow_up.due_at if follow_up is not None else None
            outcome.found(waiver.release, str(waiver), str(waiver.decided_by), waiver.until, due, finding)
    return outcome


def _end(waiver: Waiver) -> datetime:
    return min(t for t in (waiver.until, waiver.revoked_at) if t is not None)


def _used(waiver: Waiver, within: list[Deployment], after: list[Deployment]) -> bool:
    """Tell whether a deployment used a waiver after its end: the follow-up action came then, or the gate did not pass
    without the waiver.

    A late milestone or a missing announcement is waived for an operation that is not a deployment.
    """
    if waiver.gate.startswith((MILESTONE, NOTIFICATIONS_SENT_WAIVER)) or not after:
        return False
    return not within or any(_not_passed(waiver, deployment) for deployment in after)


def _not_passed(waiver: Waiver, deployment: Deployment) -> bool:
    """Tell whether the gate was not passed at a deployment's start, with everything known about the release now."""
    start = deployment.started_at
    assert start is not None
    others = deployment.release.waivers.filter(
        gate=waiver.gate, environment=deployment.environment, approved_at__lte=start
    )
    if any(start < _end(other) for other in others):
        return False
    return any(
        a.gate == waiver.gate and not a.passes
        for a in evaluation.evaluate(deployment.release, deployment.environment, start)
    )


def _late(follow_up: FollowUp, scope: Scope) -> bool:
    """Tell whether a follow-up action was overdue at some time of the period, whatever happened to it later."""
    completed = follow_up.completed_at or scope.until
    return min(completed, scope.until) > max(follow_up.due_at, scope.since)


TEST = SavedTest(
    key="expired-waivers",
    title=_("Waivers past their date"),
    question=_("Was a waiver used after its end, or is its follow-up action overdue?"),
    columns=(_("waiver"), _("decided by"), _("until"), _("due"), _("finding")),
    run=run,
)
