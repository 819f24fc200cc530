"""Executed steps without a change: what workers did, row by row and event by event, against the register of changes."""

from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from environments.access_as_of import once_protected
from releases.models import StepAttempt
from releases.reporting.audit_tests.base import CHUNK, Outcome, SavedTest, Scope

# Attempts of the period that the ledger does not have, and attempts of the ledger that the table does not have: the
# row is gone, or its own time is just outside of the period.
_UNKNOWN = """
SELECT a.id FROM releases_stepattempt a WHERE a.started_at >= %s AND a.started_at < %s
    AND NOT EXISTS (SELECT FROM audit_event e WHERE e.object = 'releases.StepAttempt:' || a.id)
"""
_ELSEWHERE = """
SELECT k.id, a.id IS NULL FROM (
    SELECT split_part(e.object, ':', 2)::bigint AS id FROM audit_event e WHERE e.kind = 'row' AND e.outcome = 'inserted'
        AND e.object >= 'releases.StepAttempt:' AND e.object < 'releases.StepAttempt;' AND e.at >= %s AND e.at < %s
) AS k LEFT JOIN releases_stepattempt a USING (id) WHERE a.id IS NULL OR a.started_at < %s OR a.started_at >= %s
"""


def run(scope: Scope) -> Outcome:
    """Check each attempt of a step; the ledger and the table must have the same ones."""
    period = [scope.since, scope.until]
    unknown = {pk for (pk,) in _asked(_UNKNOWN, period)}
    elsewhere = dict(_asked(_ELSEWHERE, period + period))
    attempts = StepAttempt.objects.filter(started_at__gte=scope.since, started_at__lt=scope.until)
    outcome = Outcome(attempts.count() + len(elsewhere))
    protected = once_protected()
    odd = Q(step__deployment__release__number=None) | Q(step__deployment__approval_request=None)
    odd &= Q(step__deployment__environment__in=protected)
    odd |= Q(step__deployment__approval_request__isnull=False) & ~Q(step__deployment__approval_request__state="used")
    found = attempts.filter(odd | Q(pk__in=unknown)).select_related(
        "step__deployment__release__application", "step__deployment__environment", "step__deployment__approval_request"
    )
    finding: Any
    for attempt in found.order_by("pk").iterator(chunk_size=CHUNK):
        deployment = attempt.step.deployment
        if deployment.release.number is None and deployment.environment_id in protected:
            finding = _("The release has no number.")
        elif deployment.environment_id in protected and deployment.approval_request is None:
            finding = _("The deployment has no approval request.")
        elif deployment.approval_request is not None and deployment.approval_request.state != "used":
            text = _("The state of the approval request is “%(state)s”.")
            finding = text % {"state": deployment.approval_request.get_state_display()}
        else:
            finding = _("The ledger has no record of the step attempt.")
        outcome.found(deployment, str(deployment), str(attempt.step), attempt.started_at, attempt.worker, finding)
    for pk in sorted(pk for pk, gone in elsewhere.items() if gone):
        outcome.found(None, f"releases.StepAttempt:{pk}", "—", None, "—", _("The row of the step attempt is missing."))
    return outcome


def _asked(query: str, values: list[datetime]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return list(cursor.fetchall())


TEST = SavedTest(
    key="steps-without-change",
    title=_("Executed steps without a change"),
    question=_("Does each executed step belong to a numbered and approved change?"),
    columns=(_("deployment"), _("step"), _("began"), _("worker"), _("finding")),
    run=run,
)
