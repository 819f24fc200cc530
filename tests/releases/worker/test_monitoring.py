"""Monitoring: measurements are judged, a trigger fires once, and missing data never pass."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from audit.actor import acting
from audit.clock import now
from audit.operation import operation
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from releases.dispatch import microseconds
from releases.models import Deployment, FollowUp, Measurement, MonitoringCheck, MonitoringPeriod, Procedure, Rollback
from releases.operations.deployment.completion import restore_previous_version
from releases.operations.deployment.enqueue import enqueue
from releases.operations.deployment.request import request
from releases.operations.deployment.schedule import schedule
from releases.operations.monitoring.end import end_due, record_result
from releases.operations.rollback.decide import assess, authorise, dismiss, pre_authorise, raise_
from releases.operations.step.claim import claim
from releases.procedures.document import Procedure as Content
from releases.queries.monitoring import completeness, triggers_of
from releases.worker.measurement import record_measurement
from releases.worker.poll import due_monitoring
from tests.releases.gates.asking import alter, make, shown, walk
from tests.releases.metric_sources.pages import Page, Site
from tests.releases.worker.monitored import ERRORS, RATIO, Monitored, look, page

from .conftest import TRUE, WORKER, first, jobs, row


def test_measurements_are_compared_with_the_limit(monitored: Monitored, service: Site) -> None:
    monitoring = monitored()
    seen = look(monitoring, service, page(100, 0), page(200, 9), page(300, 19), page(300, 19))
    assert [values["error_rate"]["result"] for values in seen] == ["no_data", "passed", "failed", "no_data"]
    assert [values["error_rate"]["value"] for values in seen] == [None, 0.09, 0.1, None]


def test_a_trigger_fires_once_when_k_of_n_measurements_fail(monitored: Monitored, service: Site) -> None:
    monitoring = monitored()
    look(monitoring, service, page(100, 0), page(200, 50), page(300, 50), page(400, 100))
    assert not Rollback.objects.exists(), "two of five are not three"
    look(monitoring, service, page(500, 150), page(600, 200), page(700, 250))
    alarm = Rollback.objects.get()
    assert (alarm.cause, alarm.critical, alarm.raised_by, alarm.state) == ("error_rate", True, None, "raised")
    assert alarm.facts["trigger"]["key"] == "error_rate" and len(alarm.facts["measurements"]) == 5
    second = monitoring.measurements.order_by("due_at")[1]
    assert alarm.facts["failing_since"] == second.due_at.isoformat(), "the first that failed, not the alarm"
    woken = [job for job in jobs("development") if job[0].endswith("prepare_rollback")]
    assert woken == [("releases.jobs.prepare_rollback", {"rollback_id": alarm.pk})]


def test_a_dry_run_trigger_is_measured_and_raises_no_alarm(monitored: Monitored, service: Site) -> None:
    monitoring = monitored({**ERRORS, "dry_run": True}, {**ERRORS, "key": "later", "critical": False, "k": 5})
    seen = look(monitoring, service, page(100, 0), page(200, 50), page(300, 100), page(400, 150), page(500, 200))
    assert [values["error_rate"]["result"] for values in seen[1:]] == ["failed"] * 4
    assert not Rollback.objects.exists(), "only the dry run has its three of five"
    look(monitoring, service, page(600, 250))
    assert Rollback.objects.get().cause == "later", "it stands in no other trigger's way"


def test_a_critical_dry_run_trigger_is_not_needed_for_success(world: Any) -> None:
    content = Procedure.objects.get(state="in_effect").document.model_dump(mode="json")
    for trigger in content["triggers"]:
        trigger["dry_run"] = trigger["key"] in ("service_down", "error_rate")
    needed = {t["key"]: t["required"] for t in triggers_of(Content.model_validate(content))}
    assert (needed["service_down"], needed["error_rate"], needed["response_time"]) == (False, True, True)


def test_measurements_that_failed_long_ago_do_not_count(monitored: Monitored, service: Site) -> None:
    monitoring = monitored({**ERRORS, "k": 2, "n": 2})
    look(monitoring, service, page(100, 0), page(200, 50), page(300, 50), page(400, 100), page(500, 100))
    assert not Rollback.objects.exists()


def test_an_unresponsive_service_is_no_data_and_never_passes(monitored: Monitored, service: Site) -> None:
    down = {**ERRORS, "key": "service_down", "metric": "service_down", "limit": "1"}
    monitoring = monitored(ERRORS, down)
    seen = look(monitoring, service, page(100, 0), Page("broken", 503), Page("broken", 503), Page("broken", 503))
    assert [values["error_rate"]["result"] for values in seen] == ["no_data"] * 4
    assert [values["service_down"]["result"] for values in seen] == ["passed", "failed", "failed", "failed"]
    assert Rollback.objects.get().cause == "service_down"
    assert completeness(monitoring)["error_rate"] == 0.0


def test_a_second_measurement_for_the_same_time_is_dropped(monitored: Monitored, service: Site) -> None:
    monitoring = monitored()
    service.pages["/metrics"] = [page(1, 0)]
    with acting(WORKER):
        assert record_measurement(monitoring.pk, due=monitoring.started_at) is not None
        assert record_measurement(monitoring.pk, due=monitoring.started_at) is None
    assert Measurement.objects.count() == 1


def test_paused_or_ended_monitoring_takes_no_measurement(monitored: Monitored, service: Site) -> None:
    monitoring = monitored()
    for field in ("paused_at", "ended_at"):
        alter(monitoring, **{field: now()})
        with acting(WORKER):
            assert record_measurement(monitoring.pk, due=monitoring.started_at) is None
        alter(monitoring, **{field: None})


def test_due_monitoring_wakes_its_worker_and_moves_on(monitored: Monitored, world: Any) -> None:
    monitoring = monitored()
    with acting(WORKER):
        due_monitoring(now())
        due_monitoring(now())
    (job,) = jobs("measurements")
    assert job == ("releases.jobs.monitor", {"monitoring_id": monitoring.pk, "due": microseconds(monitoring.next_at)})
    assert world.fresh(monitoring).next_at > now() + timedelta(seconds=50)


def measured(monitoring: MonitoringPeriod, good: int, bad: int) -> None:
    """Store so many measurements with a value, and so many without."""
    for index in range(good + bad):
        values = {"error_rate": {"value": 0.0, "limit": 0.1, "result": "passed"}}
        if index >= good:
            values = {"error_rate": {"value": None, "limit": 0.1, "result": "no_data"}}
        make(
            Measurement,
            period=monitoring,
            due_at=monitoring.started_at + timedelta(seconds=60 * index),
            at=now(),
            up=True,
            values=values,
        )


def over(monitoring: MonitoringPeriod) -> MonitoringPeriod:
    """Let the time of a monitoring period be over."""
    return alter(monitoring, started_at=now() - timedelta(seconds=monitoring.duration_seconds + 1))


def test_monitoring_with_enough_measurements_passes_and_the_deployment_succeeds(
    monitored: Monitored, world: Any
) -> None:
    monitoring = over(monitored(seconds=21 * 60))
    measured(monitoring, 19, 1)
    assert completeness(monitoring) == {"error_rate": 0.95}
    with acting(WORKER):
        assert end_due(monitoring.pk) == "passed"
        assert end_due(monitoring.pk) == "passed", "and once only"
    assert world.fresh(monitoring.deployment).state == "succeeded"


def test_below_95_percent_monitoring_needs_a_named_persons_result(monitored: Monitored, world: Any) -> None:
    monitoring = over(monitored(seconds=21 * 60))
    measured(monitoring, 18, 2)
    with acting(WORKER):
        assert end_due(monitoring.pk) == "inconclusive"
    assert world.fresh(monitoring.deployment).state == "monitoring" and world.fresh(monitoring).ended_at is None
    for name in ("auditor", "manager", "outsider"):
        with world.acting_as(name), pytest.raises(NotPermitted):
            record_result(monitoring.pk, result="passed", reason="looked at the log")
    with world.acting_as("operator"):
        with pytest.raises(InvalidInput):
            record_result(monitoring.pk, result="passed", reason=" ")
        record_result(monitoring.pk, result="passed", reason="the exporter was down, the log is clean")
        with pytest.raises(NotPossible):
            record_result(monitoring.pk, result="passed", reason="again")
    evaluated = world.fresh(monitoring)
    assert (evaluated.result, evaluated.recorded_by.username) == ("passed_by_person", "operator")
    assert world.fresh(monitoring.deployment).state == "succeeded"


def test_monitoring_without_any_trigger_or_measurement_does_not_pass(monitored: Monitored) -> None:
    monitoring = over(monitored())
    with acting(WORKER):
        assert end_due(alter(monitoring, triggers=[]).pk) == "inconclusive"


def test_monitoring_does_not_end_before_its_time(monitored: Monitored, world: Any) -> None:
    monitoring = monitored(seconds=21 * 60)
    measured(monitoring, 20, 0)
    with acting(WORKER):
        assert end_due(monitoring.pk) == ""
    assert world.fresh(monitoring.deployment).state == "monitoring"


def test_monitoring_that_cannot_be_ended_delays_no_other(monitored: Monitored) -> None:
    broken = over(monitored())
    alter(Procedure.objects.get(state="in_effect"), content={})
    other = make(
        MonitoringPeriod,
        deployment=broken.deployment,
        interval_seconds=60,
        duration_seconds=600,
        started_at=now(),
        next_at=now(),
    )
    with acting(WORKER):
        due_monitoring(now())
    job = ("releases.jobs.monitor", {"monitoring_id": other.pk, "due": microseconds(other.next_at)})
    assert jobs("measurements") == [job]


def paused(monitoring: MonitoringPeriod, **ago: float) -> MonitoringPeriod:
    """Record that another deployment paused the monitoring so long ago."""
    return alter(monitoring, paused_at=now() - timedelta(**ago), next_at=None)


def rolled_back(monitoring: MonitoringPeriod) -> MonitoringPeriod:
    """Roll back the deployment that paused the monitoring, which resumes it; return it fetched again."""
    with acting(WORKER), operation("test:back", (Deployment, monitoring.deployment_id)) as op:
        restore_previous_version(op.get(Deployment), {})
    return MonitoringPeriod.objects.get(pk=monitoring.pk)


def test_a_pause_is_added_to_the_monitoring_and_needs_no_measurement(monitored: Monitored, world: Any) -> None:
    """Monitored: eleven minutes before a pause of an hour, ten after it; the check is made once, as planned."""
    logs = {"key": "monitoring_logs", "type": "log", "parameters": {}, "required": True}
    monitoring = monitored(seconds=21 * 60, checks=[logs], check_seconds=15 * 60)
    monitoring = alter(
        monitoring, started_at=now() - timedelta(minutes=71), next_checks_at=now() - timedelta(minutes=56)
    )
    monitoring = rolled_back(paused(monitoring, minutes=60))
    assert monitoring.paused_at is None and monitoring.next_at == monitoring.resumed_at
    assert monitoring.next_checks_at is not None and monitoring.resumed_at is not None
    assert monitoring.next_checks_at - monitoring.resumed_at == pytest.approx(
        timedelta(minutes=4), abs=timedelta(seconds=30)
    )
    with acting(WORKER):
        assert end_due(monitoring.pk) == "", "its time is not over for as long as it was paused"
    measured(monitoring, 19, 1)
    make(
        MonitoringCheck,
        period=monitoring,
        key="monitoring_logs",
        due_at=monitoring.next_checks_at,
        at=now(),
        result="passed",
    )
    monitoring = alter(monitoring, started_at=monitoring.started_at - timedelta(minutes=10), next_checks_at=None)
    assert completeness(monitoring) == {"error_rate": 0.95, "monitoring_logs": 1.0}
    with acting(WORKER):
        due_monitoring(now())
    assert world.fresh(monitoring).result == "passed"


def test_monitoring_that_awaits_a_result_takes_no_measurement_after_a_pause(monitored: Monitored) -> None:
    with acting(WORKER):
        assert end_due((monitoring := over(monitored())).pk) == "inconclusive"
    resumed = rolled_back(paused(monitoring, minutes=1))
    assert (resumed.result, resumed.next_at, resumed.next_checks_at) == ("inconclusive", None, None)


def test_a_ratio_is_compared_with_the_frozen_baseline(monitored: Monitored, service: Site) -> None:
    monitoring = monitored(RATIO, baseline={"metrics": {"response_time": {"value": 0.003, "count": 60}}})
    seen = look(monitoring, service, page(100, 0), page(200, 0))
    assert seen[1]["response_time"]["result"] == "failed", "0.01 s is more than three times 0.003 s"
    calm = alter(monitoring, baseline={"metrics": {"response_time": {"value": 0.004, "count": 60}}})
    assert look(calm, service, page(300, 0))[0]["response_time"]["result"] == "passed"


def test_people_raise_alarms_that_no_metric_shows(monitored: Monitored, world: Any) -> None:

    monitoring = monitored()
    for name in ("manager", "auditor", "committee_a", "outsider"):
        with world.acting_as(name), pytest.raises(NotPermitted):
            raise_(monitoring.deployment_id, cause="data_inconsistent")
    with world.acting_as("operator"):
        alarm = raise_(monitoring.deployment_id, cause="data_inconsistent", note="two rows differ")
        with pytest.raises(NotPossible, match="already"):
            raise_(monitoring.deployment_id, cause="security_breach")
        with pytest.raises(NotPossible):
            authorise(alarm.pk, digest=shown(alarm))
    with world.acting_as("manager"):
        with pytest.raises(InvalidInput):
            assess(alarm.pk, impact="all", method=" ", timing="now")
        assess(alarm.pk, impact="all", method="restore", timing="now")
        with pytest.raises(InvalidInput):
            dismiss(alarm.pk, reason="")
        dismiss(alarm.pk, reason="the two rows were a test")
    assert world.fresh(alarm).state == "dismissed" and first(monitoring.deployment).state == "ready"
    with world.acting_as("operator"):
        raise_(monitoring.deployment_id, cause="data_inconsistent")


def test_an_operator_of_staging_raises_no_alarm_in_development(
    monitored: Monitored, world: Any, people: dict[str, Any]
) -> None:
    from environments.operations.access.grant import request_role
    from tests.releases.gates.asking import COMMAND

    with acting(COMMAND):
        request_role(
            people["outsider"].pk,
            role="operator",
            environment_id=world.environments["staging"].pk,
            reason="staging only",
        )
    monitoring = monitored()
    with world.acting_as("outsider"), pytest.raises(NotPermitted):
        raise_(monitoring.deployment_id, cause="data_inconsistent")


def test_an_alarm_without_pre_authorisation_asks_a_person(monitored: Monitored, world: Any) -> None:

    monitoring = monitored()
    alarm = make(Rollback, deployment=monitoring.deployment, cause="error_rate", raised_at=now())
    with acting(WORKER):
        assert not pre_authorise(alarm.pk, rows={"dataset": 3})
    assert world.fresh(alarm).state == "raised" and world.fresh(alarm).facts["rows_total"] == 3


@pytest.mark.parametrize(("rows", "critical", "goes"), [(10, True, True), (11, True, False), (0, False, False)])
def test_pre_authorisation_covers_critical_alarms_within_the_data_loss_limit(
    world: Any, rows: int, critical: bool, goes: bool, approved_deployment: Callable[..., Deployment]
) -> None:

    deployment = approved_deployment(row(TRUE))
    walk(deployment, "enqueue", "start", "start_verification")
    agreed = {**deployment.approval_request.document, "rollback_pre_authorised": {"on": True, "rows": 10}}
    alter(deployment.approval_request, document=agreed)
    alarm = make(Rollback, deployment=deployment, cause="error_rate", critical=critical, raised_at=now())
    with acting(WORKER):
        assert pre_authorise(alarm.pk, rows={"dataset": rows}) == goes
    assert world.fresh(alarm).state == ("authorised" if goes else "raised")
    assert FollowUp.objects.filter(release=deployment.release).exists() == goes, "the assessment is then due"


def test_a_deployment_pauses_the_monitoring_after_a_rollback_too(queued: Callable[..., Deployment], world: Any) -> None:
    before = walk(queued(row(TRUE)), "start", "fail", "start_rollback", "complete_rollback")
    rollback = make(Rollback, deployment=before, cause="error_rate", raised_at=now())
    rollback = walk(rollback, "assess", "authorise", "start", "start_verification", "start_monitoring")
    monitoring = make(
        MonitoringPeriod,
        purpose="rollback",
        deployment=before,
        rollback=rollback,
        interval_seconds=60,
        duration_seconds=600,
        started_at=now(),
        next_at=now(),
    )
    with world.acting_as("developer"):
        deployment = request(before.release_id, environment_id=before.environment_id)
        schedule(deployment.pk)
    with acting(WORKER):
        enqueue(deployment.pk)
        claim(first(deployment).pk, worker="worker-1")
    assert world.fresh(monitoring).paused_at is not None and world.fresh(monitoring).next_at is None
    assert rolled_back(monitoring).paused_at is None
