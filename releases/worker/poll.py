"""The polls of the scheduler: each function looks once in PostgreSQL and acts or wakes a worker. They find lost
wake-ups.
"""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial, wraps

from django.conf import settings
from django.db.models import Count, Exists, F, Min, OuterRef, Q

from audit import cover, standing
from audit.isolated import isolated
from audit.reconciliation import nightly
from audit.refusals import GateNotPassed
from audit.trace import tracing
from environments.targets.spawn import start
from releases import dispatch, telemetry
from releases.models import Deployment, Document, Fact, MonitoringPeriod, Rollback, Step
from releases.operations.decision_request.escalate import escalate_or_expire
from releases.operations.deployment.decide import succeed
from releases.operations.deployment.enqueue import AHEAD, delay, enqueue, mark_missed
from releases.operations.deployment.mark_stopped import mark_stopped
from releases.operations.dump.delete import expired
from releases.operations.emergency_stop.activate import stop_runs
from releases.operations.milestone.remind import remind_due
from releases.operations.monitoring.end import end_due
from releases.operations.monitoring.report_no_data import notify_inconclusive
from releases.operations.monitoring.start_baseline import start_baseline
from releases.operations.notification.remind import remind_open
from releases.operations.poll.retry_limit import with_retry_limit
from releases.operations.release import import_past
from releases.operations.release.end_approval import invalidate_stale
from releases.operations.release.pass_stage import pass_stages
from releases.operations.release.refresh_from_git import SOURCE, refresh_from_git
from releases.operations.target import measure
from releases.queries import saved_test_runs
from releases.queries.monitoring import needs_baseline
from releases.worker.delivery_lanes import waits
from releases.worker.measurement import advance

log = logging.getLogger(__name__)
_running: dict[str, subprocess.Popen[bytes]] = {}


def seen_lately(release_id: int, moment: datetime) -> bool:
    """Tell whether the repository was read so recently that the gates will accept it when the first step starts."""
    asked = ("tag", *SOURCE)
    facts = Fact.objects.filter(release=release_id, environment=None, kind__in=asked)
    oldest = facts.aggregate(oldest=Min("observed_at"), found=Count("pk"))
    return oldest["found"] == len(asked) and oldest["oldest"] > moment - timedelta(seconds=settings.FACT_MAX_AGE / 2)


def coming_deployments(moment: datetime) -> None:
    """Read the repository for deployments that are due soon, so that their start only has to check the gates."""
    soon = moment + timedelta(seconds=settings.FACT_MAX_AGE / 4)
    coming = Deployment.objects.filter(state="scheduled", scheduled_start_at__gt=moment, scheduled_start_at__lte=soon)
    for release_id in coming.values_list("release_id", flat=True).distinct():
        # A repository that cannot be read now is read again when the deployment is queued, and counts there.
        with isolated(log, "the source of release %s cannot be read", release_id):
            if not seen_lately(release_id, moment):
                refresh_from_git(release_id)


def due_deployments(moment: datetime) -> None:
    """Mark deployments past their window as missed, queue those that are due, and delay those that a gate holds.

    The gates are checked again before a deployment is queued.
    """
    waiting = Deployment.objects.filter(state__in=["scheduled", "queued"])
    for deployment in waiting.filter(scheduled_end_at__lte=moment):
        with_retry_limit("mark_missed", deployment, partial(mark_missed, deployment.pk), deployment_id=deployment.pk)
    due = Deployment.objects.filter(
        Q(not_before=None) | Q(not_before__lte=moment + AHEAD),
        state="scheduled",
        scheduled_start_at__lte=moment + AHEAD,
    )
    for deployment in due.order_by("scheduled_start_at"):
        # A deployment that cannot be queued must not delay those that are due after it.
        with tracing(release=str(deployment.release_id), deployment=str(deployment.pk), **telemetry.ids(deployment)):
            prepared = partial(_queue, deployment, moment)
            with_retry_limit("enqueue", deployment, prepared, deployment_id=deployment.pk, beforehand=True)


def _queue(deployment: Deployment, moment: datetime) -> None:
    try:
        if not seen_lately(deployment.release_id, moment):
            refresh_from_git(deployment.release_id)
        enqueue(deployment.pk)
    except GateNotPassed as closed:
        delay(deployment.pk, tuple(str(reason) for reason in closed.reasons))


def idle_steps(moment: datetime) -> None:
    """Wake workers for ready steps that no worker took, and for running ones whose lease has ended."""
    late = moment - timedelta(seconds=2 * settings.POLL_INTERVAL)
    # A ready step of a deployment that waits for a person is held back.
    ready = Q(state="ready", ready_at__lt=late) & ~Q(deployment__state="awaiting_decision")
    ended_leases = Step.objects.filter(ready | Q(state="running", lease_until__lt=moment)).values_list(
        "pk", "deployment__environment__slug"
    )
    for pk, slug in ended_leases:
        with isolated(log, "the worker of step %s cannot be woken", pk):
            dispatch.wake(slug, "run_step", step_id=pk)


def stopping_deployments(moment: datetime) -> None:
    """End a stop whose worker is gone: no step of it runs once the lease has ended."""
    gone = Deployment.objects.filter(state="stopping").exclude(steps__state="running", steps__lease_until__gt=moment)
    for deployment in gone:
        with_retry_limit("mark_stopped", deployment, partial(mark_stopped, deployment.pk), deployment_id=deployment.pk)


def unended_runs(moment: datetime) -> None:
    """End deployments of unmonitored environments whose worker was gone between the last step and the end."""
    late = moment - timedelta(seconds=2 * settings.POLL_INTERVAL)
    monitored = MonitoringPeriod.objects.filter(deployment=OuterRef("pk"), ended_at=None)
    lately = Step.objects.filter(deployment=OuterRef("pk"), ended_at__gt=late)
    left = Deployment.objects.filter(
        ~Exists(monitored), ~Exists(lately), state="monitoring", environment__protected=False
    )
    for deployment in left:
        with_retry_limit("succeed", deployment, partial(succeed, deployment.pk), deployment_id=deployment.pk)


def waiting_rollbacks(moment: datetime) -> None:
    """Wake workers for alarms that were not prepared, and for authorised rollbacks that have not begun."""
    late = moment - timedelta(seconds=2 * settings.POLL_INTERVAL)
    waiting = Rollback.objects.filter(
        Q(state__in=["raised", "assessed"], facts__rows_total__isnull=True) | Q(state="authorised"), raised_at__lt=late
    ).values_list("pk", "deployment__environment__slug")
    for pk, slug in waiting:
        with isolated(log, "the worker of rollback %s cannot be woken", pk):
            dispatch.wake(slug, "prepare_rollback", rollback_id=pk)


def due_monitoring(moment: datetime) -> None:
    """Wake a worker for each monitoring period with a measurement due, and end those whose time is over."""
    for monitoring in MonitoringPeriod.objects.filter(ended_at=None, next_at__lte=moment):
        due = monitoring.next_at
        if due is None:
            continue
        with isolated(log, "monitoring %s cannot be measured", monitoring.pk):
            if moment >= monitoring.ends_at and monitoring.paused_at is None:
                with_retry_limit(
                    "end_monitoring",
                    monitoring,
                    partial(end_due, monitoring.pk),
                    deployment_id=monitoring.deployment_id,
                )
                continue
            advance(monitoring.pk)
            dispatch.wake("measurements", "monitor", monitoring_id=monitoring.pk, due=dispatch.microseconds(due))


def due_checks(moment: datetime) -> None:
    """Wake the checks' worker for monitoring checks that are due: no slow check delays a measurement."""
    for monitoring in MonitoringPeriod.objects.filter(ended_at=None, paused_at=None, next_checks_at__lte=moment):
        due = monitoring.next_checks_at
        if due is None or moment >= monitoring.ends_at:
            continue
        with isolated(log, "monitoring %s cannot be checked", monitoring.pk):
            advance(monitoring.pk, "checks")
            dispatch.wake(
                "checks", "run_monitoring_checks", monitoring_id=monitoring.pk, due=dispatch.microseconds(due)
            )


def coming_baselines(moment: datetime) -> None:
    """Start measuring targets whose deployment is so near that its baseline begins now."""
    for pk in needs_baseline(moment):
        with_retry_limit("baseline", f"releases.Deployment:{pk}", partial(start_baseline, pk), deployment_id=pk)


def due_measurements(moment: datetime) -> None:
    """Wake the checks' worker for each target that is to be measured: every day, and after its version changed."""
    for pk in measure.due(moment):
        with isolated(log, "target %s cannot be measured", pk):
            measure.wake(pk, moment)


def unpublished_documents(moment: datetime) -> None:
    """Wake a worker for documents that are still to be committed to a repository."""
    waiting = Document.objects.filter(state="ready_to_publish", publish_at__lte=moment).order_by("release")
    for release_id in waiting.values_list("release", flat=True).distinct():
        dispatch.wake("checks", "publish_documents", release_id=release_id)


def expired_dumps(moment: datetime) -> None:
    """Wake the environment's worker at night for backups on its targets whose retention is over."""
    if moment.hour != settings.RECONCILIATION_HOUR:
        return
    for step in expired(moment):
        dispatch.wake(step.deployment.environment.slug, "delete_dump", step_id=step.pk)


def unsent_messages(moment: datetime) -> None:
    """Wake the notifications' worker when something is due; it finds all that is due itself."""
    if waits():
        dispatch.wake_once("notifications", "deliver_notifications")


def ledger_verification(moment: datetime) -> None:
    """Verify the ledger when that is due."""
    _in_a_process(standing.due, moment, "audit_verify", "--scheduled")


def monthly_tests(moment: datetime) -> None:
    """Run the saved audit tests over the last month, once it is over."""
    _in_a_process(saved_test_runs.due, moment, "saved_tests", "--keep")


def _in_a_process(due: Callable[[datetime], bool], moment: datetime, command: str, option: str) -> None:
    """Run a command in a process of its own when that is due, and log how it ended."""
    if command in _running and _running[command].poll() is not None:
        child = _running.pop(command)
        said = child.communicate()[0].decode(errors="replace").strip()
        log.log(logging.ERROR if child.returncode else logging.INFO, "%s ended: %s", command, said)
    if command not in _running and due(moment):
        arguments = [sys.executable, "manage.py", command, option]
        _running[command] = start(arguments, environment=os.environ, folder=settings.BASE_DIR)


def uncovered_rows(moment: datetime) -> None:
    """Write the digests of output, measurements, checks and outbox entries into events, every few minutes."""
    if cover.due(moment):
        cover.cover()


def nightly_comparison(moment: datetime) -> None:
    """Compare history rows and audited rows with the ledger once a night, one slice in each poll."""
    if nightly.due(moment):
        nightly.reconcile(nightly.SLICE, moment)


def _regardless(part: Callable[[], object]) -> Callable[[datetime], object]:
    return wraps(part)(lambda moment: part())


# Tasks that matter within a minute; and those that read every open release, and so run less often.
OFTEN = (
    _regardless(stop_runs),
    due_deployments,
    idle_steps,
    unended_runs,
    stopping_deployments,
    escalate_or_expire,
    waiting_rollbacks,
    due_monitoring,
    due_checks,
    coming_deployments,
    unsent_messages,
)
RARELY = (
    due_measurements,
    import_past.wake_left,
    _regardless(invalidate_stale),
    _regardless(pass_stages),
    _regardless(remind_due),
    _regardless(remind_open),
    notify_inconclusive,
    coming_baselines,
    unpublished_documents,
    expired_dumps,
    uncovered_rows,
    ledger_verification,
    monthly_tests,
    nightly_comparison,
)


def poll_once(moment: datetime, parts: Sequence[Callable[[datetime], object]] = (*OFTEN, *RARELY)) -> None:
    """Poll once; a failure in one part does not stop the others."""
    for part in parts:
        with isolated(log, "poll: %s", part.__name__):
            part(moment)


def next_due(after: datetime) -> datetime | None:
    """Return when the next scheduled deployment or measurement is due, later than a moment."""
    deployment = (
        Deployment.objects.filter(state="scheduled", scheduled_start_at__gt=after + AHEAD)
        .annotate(at=F("scheduled_start_at"))
        .filter(Q(not_before=None) | Q(not_before__lte=F("scheduled_start_at")))
        .order_by("at")
        .values_list("at", flat=True)
        .first()
    )
    monitoring = (
        MonitoringPeriod.objects.filter(ended_at=None, next_at__gt=after)
        .order_by("next_at")
        .values_list("next_at", flat=True)
    ).first()
    return min(filter(None, [deployment and deployment - AHEAD, monitoring]), default=None)
