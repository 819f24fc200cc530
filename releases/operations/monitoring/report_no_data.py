"""monitoring:report_no_data, monitoring:report_data_again: monitoring without data is reported in time (called by the
poll).
"""

from datetime import datetime, timedelta
from functools import partial

from audit.operation import NothingToDo, operation
from releases.models import MonitoringPeriod
from releases.operations.poll.retry_limit import with_retry_limit
from releases.queries.monitoring import required_of

# The shortest time without a value that is reported, in seconds.
LEAST_SECONDS = 60.0
# The same for checks: a failed try is made up for by the next one.
ROUNDS = 2


def notify_inconclusive(moment: datetime) -> None:
    """Report each monitoring period that has become inconclusive, and record which has data again."""
    for monitoring in MonitoringPeriod.objects.filter(ended_at=None, paused_at=None, result="").exclude(
        purpose=MonitoringPeriod.Purpose.BASELINE
    ):
        known = monitoring.no_data_at is not None
        noted = partial(_note_change, monitoring, moment, known=known)
        with_retry_limit("monitoring_no_data", monitoring, noted, deployment_id=monitoring.deployment_id)


def _note_change(monitoring: MonitoringPeriod, moment: datetime, *, known: bool) -> None:
    if bool(without_data(monitoring, moment)) == known:
        return
    with operation(
        "monitoring:report_data_again" if known else "monitoring:report_no_data", (MonitoringPeriod, monitoring.pk)
    ) as op:
        held = op.get(MonitoringPeriod)
        unresponsive = without_data(held, moment)
        if held.ended_at is not None or held.result or known == bool(unresponsive):
            raise NothingToDo
        held.no_data_at = None if known else moment
        op.details["without_values"] = unresponsive


def without_data(monitoring: MonitoringPeriod, moment: datetime) -> list[str]:
    """Return the required metrics and checks that have had no value for too long.

    Too long: the procedure's `monitoring.error_limit` measurements, or as long as the triggers look back where that is
    longer; before that time nothing is returned.
    """
    metrics, checks = required_of(monitoring)
    since = monitoring.resumed_at or monitoring.started_at
    limit = monitoring.deployment.content.monitoring.error_limit
    most = max([limit, *(trigger.get("n", 0) for trigger in monitoring.triggers)])
    # The last measurement may be under way, and the first one only begins the counting.
    span = timedelta(seconds=max(LEAST_SECONDS, (most + 1) * monitoring.interval_seconds))
    unresponsive: set[str] = set()
    if moment - since >= span:
        known: set[str] = set()
        for values in monitoring.measurements.filter(due_at__gt=moment - span).values_list("values", flat=True):
            known |= {name for name, entry in values.items() if entry.get("value") is not None}
        unresponsive |= metrics - known
    span = timedelta(seconds=max(LEAST_SECONDS, (ROUNDS + 0.5) * monitoring.check_seconds))
    if moment - since >= span:
        made = monitoring.check_results.filter(due_at__gt=moment - span, result__in=["passed", "failed"])
        unresponsive |= checks - set(made.values_list("key", flat=True))
    return sorted(unresponsive)
