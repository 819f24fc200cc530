"""The RQ jobs: each sets the current account and calls one function. They hold no rules.

Workers accept only the jobs in JOBS, with whole numbers as arguments.
"""

import logging
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from audit.actor import Actor, acting
from audit.trace import tracing
from environments.actors import person
from environments.targets.masking import clean
from environments.targets.written_rows import written_since
from releases.dispatch import EPOCH
from releases.models import ReleaseImport, Rollback
from releases.operations.document.publish import publish
from releases.operations.dump.delete import delete
from releases.operations.poll.retry_limit import with_retry_limit
from releases.operations.release import import_past
from releases.operations.rollback.confirm_late import why_not_approved
from releases.operations.rollback.decide import pre_authorise, uncounted
from releases.operations.rollback.start import not_possible, start_rollback
from releases.operations.target import measure
from releases.queries.rollback_candidates import restores
from releases.queries.target_spec import configuration_of, spec_of
from releases.worker.context import target_of
from releases.worker.delivery_lanes import deliver_all
from releases.worker.executor import run_from, worker_name
from releases.worker.measurement import record_measurement
from releases.worker.monitoring_checks import run_checks
from releases.worker.timeouts import TimedOut, interrupt_after

log = logging.getLogger(__name__)
# The longest time for the count on a target's host.
COUNT_SECONDS = 600.0


def _worker() -> Actor:
    return Actor(account_id=None, name=worker_name(), kind="worker", channel="worker")


def run_step(step_id: int) -> None:
    """Run a step and the steps that become ready after it."""
    with acting(_worker()):
        run_from(step_id)


def monitor(monitoring_id: int, due: int) -> None:
    """Make one measurement of a monitoring period. due: microseconds since 1970 (UTC)."""
    with acting(_worker()), tracing(monitoring=str(monitoring_id)):
        record_measurement(monitoring_id, due=EPOCH + timedelta(microseconds=due))


def run_monitoring_checks(monitoring_id: int, due: int) -> None:
    """Make the checks of a monitoring period once. due: microseconds since 1970 (UTC)."""
    with acting(_worker()), tracing(monitoring=str(monitoring_id)):
        run_checks(monitoring_id, due=EPOCH + timedelta(microseconds=due))


def measure_target(target_id: int) -> None:
    """Measure whether a target is still as it was deployed."""
    with acting(_worker()), tracing(target=str(target_id)):
        try:
            with interrupt_after(measure.SECONDS):
                measure.take(target_id)
        except TimedOut as fault:
            measure.give_up(target_id, str(fault))


def import_past_releases(import_id: int) -> None:
    """Read the tags of a repository, or import what was confirmed, as the person who requested it."""
    account = ReleaseImport.objects.select_related("requested_by").get(pk=import_id).requested_by
    with acting(person(account, channel="worker")):
        import_past.work(import_id)


def publish_documents(release_id: int) -> None:
    """Commit the documents of a release that wait to be published."""
    with acting(_worker()):
        publish(release_id)


def delete_dump(step_id: int) -> None:
    """Delete a backup whose retention is over from its target."""
    with acting(_worker()):
        delete(step_id)


def deliver_notifications() -> None:
    """Create notifications from the outbox, and send what is due."""
    with acting(_worker()):
        deliver_all()


def _counted(rollback: Rollback) -> tuple[dict[str, int], bool, str]:
    """Return rows per table that the rollback would lose, whether no other rows are counted, and why they can't be
    counted.
    """
    deployment = rollback.deployment
    if not restores(deployment):
        return {}, True, ""
    secrets: tuple[str, ...] = ()
    try:
        values, secrets = configuration_of(deployment.previous.get("wanted_configuration"))
        rows: Counter[str] = Counter()
        exact = True
        done = list(deployment.steps.filter(phase="deployment", state="succeeded").select_related("deployment"))
        backups = [step for step in done if step.step_type == "backup"]  # one, or one of each of several targets
        for backup in backups or list(deployment.steps.order_by("ordinal")[:1]):
            earlier = {step.step_type: step.result for step in done if step.target_id == backup.target_id}
            target = spec_of(target_of(backup), deployment.previous.get("wanted_configuration"))
            with interrupt_after(COUNT_SECONDS):
                counted, whole = written_since(target, values, earlier)
            rows.update(counted)
            exact = exact and whole
        return dict(rows), exact, ""
    except (Exception, TimedOut) as fault:  # noqa: BLE001  without a count, for whatever reason, people decide
        log.warning("%s: %s", rollback, clean(str(fault), secrets))
        return {}, False, clean(str(fault), secrets) or type(fault).__name__


def prepare_rollback(rollback_id: int) -> None:
    """Count what the rollback would lose, authorise it if the approval allows, and start it when it is authorised."""
    with acting(_worker()), tracing(rollback=str(rollback_id)):
        rollback = Rollback.objects.select_related("deployment__release").get(pk=rollback_id)
        begins = partial(_prepare, rollback)
        first = with_retry_limit("rollback", rollback, begins, deployment_id=rollback.deployment_id, beforehand=True)
        if first is not None:
            run_from(first)


def _prepare(rollback: Rollback) -> int | None:
    """Return the first step of a rollback that begins now; None while it does not."""
    if uncounted(rollback):
        rows, exact, fault = _counted(rollback)
        if not pre_authorise(rollback.pk, rows=rows, exact=exact, fault=fault):
            return None
    read = Rollback.objects.select_related("deployment__procedure", "deployment__release", "authorised_by")
    rollback = read.get(pk=rollback.pk)
    # The poll tries again what is not possible yet, without an event each time.
    if rollback.state == "authorised" and not (not_possible(rollback.deployment) or why_not_approved(rollback)):
        return start_rollback(rollback.pk)
    return None


JOBS: dict[str, Callable[..., None]] = {
    f"releases.jobs.{job.__name__}": job
    for job in (
        run_step,
        monitor,
        run_monitoring_checks,
        measure_target,
        import_past_releases,
        publish_documents,
        delete_dump,
        deliver_notifications,
        prepare_rollback,
    )
}
