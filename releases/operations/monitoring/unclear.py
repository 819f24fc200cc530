"""monitoring:report_no_data, monitoring:report_data_again: a watch for which nothing comes in says so while there is time (the poll's acts)."""

from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

from audit.operation import operation
from releases.models import MonitoringPeriod
from releases.operations.monitoring.measure import required_of
from releases.operations.poll.retry_limit import with_retry_limit

# The shortest time without a value that is reported.
LEAST_SECONDS = 60.0
# Rounds of checks likewise: one that could not be made is made up for by the next.
ROUNDS = 2


class _AsBefore(Exception):
    """What had changed has not, or not any more, now that it is locked."""


def notify_unclear(moment: datetime) -> None:
    """Tell of each watch that has become unclear, and note which can tell again."""
    for watch in MonitoringPeriod.objects.filter(ended_at=None, paused_at=None, result="").exclude(
        purpose=MonitoringPeriod.Purpose.BASELINE
    ):
        known = watch.no_data_at is not None
        noted = partial(_note_change, watch, moment, known=known)
        with_retry_limit("monitoring_no_data", watch, noted, deployment_id=watch.deployment_id)


def _note_change(watch: MonitoringPeriod, moment: datetime, *, known: bool) -> None:
    with suppress(_AsBefore):
        if bool(without_data(watch, moment)) != known:
            _note(watch.pk, moment, clears=known)


def without_data(watch: MonitoringPeriod, moment: datetime) -> list[str]:
    """Return what is owed and has had no value for the procedure's `monitoring.error_limit` measurements, or for as
    long as its triggers look back where that is longer; nothing is before that time.
    """
    metrics, checks = required_of(watch)
    since = watch.resumed_at or watch.started_at
    limit = watch.deployment.procedure.document.monitoring.error_limit
    most = max([limit, *(trigger.get("n", 0) for trigger in watch.triggers)])
    # The last look may be under way, and the first only begins the counting.
    span = timedelta(seconds=max(LEAST_SECONDS, (most + 1) * watch.interval_seconds))
    silent: set[str] = set()
    if moment - since >= span:
        known: set[str] = set()
        for values in watch.measurements.filter(due_at__gt=moment - span).values_list("values", flat=True):
            known |= {name for name, entry in values.items() if entry.get("value") is not None}
        silent |= metrics - known
    span = timedelta(seconds=max(LEAST_SECONDS, (ROUNDS + 0.5) * watch.check_seconds))
    if moment - since >= span:
        made = watch.check_results.filter(due_at__gt=moment - span, result__in=["passed", "failed"])
        silent |= checks - set(made.values_list("key", flat=True))
    return sorted(silent)


def _note(watch_id: int, moment: datetime, *, clears: bool) -> None:
    with operation(
        "monitoring:report_data_again" if clears else "monitoring:report_no_data", (MonitoringPeriod, watch_id)
    ) as op:
        watch = op.get(MonitoringPeriod)
        silent = without_data(watch, moment)
        if watch.ended_at is not None or watch.result or clears == bool(silent):
            raise _AsBefore
        watch.no_data_at = None if clears else moment
        op.details["silent"] = silent
