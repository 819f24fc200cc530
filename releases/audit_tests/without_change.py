"""Executed steps without a change: what workers did, row by row and event by event, against the register of changes."""

from __future__ import annotations

from django.db import connection
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from releases.audit_tests.base import CHUNK, Outcome, SavedTest, Scope
from releases.models import StepAttempt

_BEGUN = """
SELECT e.object FROM audit_event e WHERE e.kind = 'row' AND e.outcome = 'inserted'
    AND e.object >= 'releases.StepAttempt:' AND e.object < 'releases.StepAttempt;' AND e.at >= %s AND e.at < %s
"""
# The row itself is asked: an attempt at the edge of the period may have begun just outside of it.
_GONE = f"{_BEGUN} AND NOT EXISTS (SELECT FROM releases_stepattempt a WHERE 'releases.StepAttempt:' || a.id = e.object)"


def run(scope: Scope) -> Outcome:
    """Look at each attempt of a step; the ledger and the table must know the same ones."""
    outcome = Outcome()
    in_ledger, gone = _attempts(_BEGUN, scope), _attempts(_GONE, scope)
    attempts = StepAttempt.objects.filter(began_at__gte=scope.since, began_at__lt=scope.until).select_related(
        "step__deployment__release__application", "step__deployment__environment", "step__deployment__consent"
    )
    outcome.examined = len(in_ledger.union(attempts.values_list("pk", flat=True)))
    for attempt in attempts.order_by("pk").iterator(chunk_size=CHUNK):
        deployment = attempt.step.deployment
        if deployment.release.number is None and deployment.environment.protected:
            finding = _("The release has no number.")
        elif deployment.environment.protected and deployment.consent is None:
            finding = _("There is no consent.")
        elif deployment.consent is not None and deployment.consent.state != "consumed":
            finding = _("The consent is “%(state)s”.") % {"state": deployment.consent.get_state_display()}
        elif attempt.pk not in in_ledger and not _written(attempt.pk):
            finding = _("The ledger does not know it.")
        else:
            continue
        outcome.found(deployment, str(deployment), str(attempt.step), attempt.began_at, attempt.worker, finding)
    for pk in sorted(gone):
        outcome.found(None, f"releases.StepAttempt:{pk}", "—", None, "—", _("Its row is gone."))
    return outcome


def _attempts(query: str, scope: Scope) -> set[int]:
    with connection.cursor() as cursor:
        cursor.execute(query, [scope.since, scope.until])
        return {int(label.partition(":")[2]) for (label,) in cursor.fetchall()}


def _written(attempt: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM audit_event WHERE object = %s)", [f"releases.StepAttempt:{attempt}"])
        return bool(cursor.fetchone()[0])


TEST = SavedTest(
    key="without-change",
    title=gettext_lazy("Executed steps without a change"),
    question=gettext_lazy("Does each step that was executed belong to a numbered change that was consented to?"),
    columns=(
        *(gettext_lazy("run"), gettext_lazy("step"), gettext_lazy("began"), gettext_lazy("worker")),
        gettext_lazy("finding"),
    ),
    run=run,
)
