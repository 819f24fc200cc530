"""Beside the metrics: sources of the target's own, hourly checks, alarms that become critical, the baseline."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.actor import acting
from audit.clock import now
from environments.operations.configuration.create import create
from releases import check_types, dispatch
from releases.gates.base import procedure_of
from releases.metric_sources import source
from releases.models import ApprovalRequest, DeployedVersion, Deployment, Measurement, MonitoringCheck, MonitoringPeriod

from releases.models import Rollback  # isort: skip
from releases.operations.monitoring.end import end_due
from releases.operations.monitoring.start_baseline import start_baseline
from releases.operations.rollback.decide import assess, dismiss, pre_authorise
from releases.operations.step.claim import claim
from releases.queries.monitoring import baseline, checks_of, completeness, needs_baseline, triggers_of
from releases.queries.target_spec import configuration_for
from releases.worker.measurement import record_measurement
from releases.worker.monitoring_checks import run_checks
from releases.worker.poll import coming_baselines, due_checks, due_monitoring
from tests.releases.gates.asking import alter, make
from tests.releases.metric_sources.pages import Page, Site
from tests.releases.worker.test_monitoring import ERRORS, Monitored, look, monitored, page, service

from .conftest import TRUE, WORKER, first, jobs, row

__all__ = ["monitored", "service"]
ODD = {"key": "log_anomalies", "critical": False, "metric": "monitoring_logs", "comparison": "absolute", "limit": "1",
       "k": 1, "n": 1, "required": False}  # fmt: skip
LOGS = {"key": "monitoring_logs", "type": "log", "parameters": {"at_most": 0}, "label_ja": "ログ", "label_en": "Logs",
        "required": False}  # fmt: skip


def log(world: Any, text: str) -> None:
    file = Path(world.targets["development"].root) / "shared" / "app.log"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)


def started(world: Any, monitoring: MonitoringPeriod) -> MonitoringPeriod:
    """Let the target's journal hold where the log stood when the deployment started the service: at its beginning."""
    journal = Path(world.targets["development"].root) / ".ringi" / "journal.jsonl"
    journal.parent.mkdir(exist_ok=True)
    line = {"deployment": f"deployment:{monitoring.deployment_id}", "log": {"inode": None, "size": 0, "mark": ""}}
    journal.write_text(json.dumps(line) + "\n")
    return monitoring


def check(monitoring: MonitoringPeriod, number: int = 1) -> list[MonitoringCheck]:
    with acting(WORKER):
        return run_checks(monitoring.pk, due=monitoring.started_at + timedelta(hours=number))


def test_a_sample_costs_one_statement_to_read_and_one_to_keep(monitored: Monitored, service: Site) -> None:
    monitoring = monitored()
    look(monitoring, service, page(100, 0))
    service.pages["/metrics"] = [page(200, 0)]
    with acting(WORKER), CaptureQueriesContext(connection) as asked:
        assert record_measurement(monitoring.pk, due=monitoring.started_at + timedelta(minutes=9)) is not None
    spoken = [query["sql"].split()[0] for query in asked.captured_queries]
    assert [word for word in spoken if word not in ("BEGIN", "COMMIT")] == ["SELECT", "INSERT"]


def test_the_targets_settings_say_where_the_numbers_come_from(monitored: Monitored, service: Site, world: Any) -> None:
    monitoring = monitored({**ERRORS, "k": 1, "n": 1})
    service.pages["/own"] = [Page(json.dumps({"rate": 0.5}))]
    own = {"source": "json_http", "parameters": {"url": f"{service.base}/own", "values": {"error_rate": "rate"}}}
    alter(world.targets["development"], options={"private_networks": ["127.0.0.1"], "metric_sources": [own]})
    assert look(monitoring, service, page(0, 0))[0]["error_rate"]["value"] == 0.5
    assert Rollback.objects.get().cause == "error_rate"


def test_settings_that_can_not_work_are_an_error_and_never_green(
    monitored: Monitored, service: Site, world: Any
) -> None:
    monitoring = monitored()
    alter(world.targets["development"], options={"metric_sources": [{"source": "graphite"}]})
    assert look(monitoring, service, page(0, 0))[0]["error_rate"]["result"] == "error"
    kept = Measurement.objects.get()
    assert "graphite" in kept.error and completeness(monitoring) == {"error_rate": 0.0}


def test_checks_are_kept_with_value_limit_verdict_and_output(monitored: Monitored, world: Any) -> None:
    state_check = {**LOGS, "key": "service", "type": "service_state", "parameters": {}}
    monitoring = started(world, monitored(checks=[LOGS, state_check]))
    later = (monitoring.started_at + timedelta(seconds=5)).isoformat()
    log(world, f"{later} INFO fine\n{later} ERROR bad\n")
    logs, state = check(monitoring)
    assert (logs.key, logs.result, logs.value, logs.limit) == ("monitoring_logs", "failed", "1", "≤ 0")
    assert "ERROR bad" in logs.output and logs.known
    assert (state.result, state.known) == ("no_data", False)
    assert (check(monitoring), MonitoringCheck.objects.count()) == ([], 2), "a second one for the same hour is dropped"


def test_a_check_that_fails_is_an_alarm_for_a_person(monitored: Monitored, world: Any) -> None:
    monitoring = started(world, monitored(ERRORS, ODD, checks=[LOGS]))
    log(world, f"{monitoring.started_at.isoformat()} INFO fine\n")
    check(monitoring, 1)
    assert not Rollback.objects.exists()
    log(world, f"{(monitoring.started_at + timedelta(minutes=90)).isoformat()} ERROR bad\n")
    check(monitoring, 2)
    alarm = Rollback.objects.get()
    assert (alarm.cause, alarm.critical, alarm.raised_by) == ("log_anomalies", False, None)
    check(monitoring, 3)
    assert Rollback.objects.count() == 1
    with world.acting_as("manager"):
        dismiss(alarm.pk, reason="a test of ours")
    check(monitoring, 4)
    assert Rollback.objects.count() == 1, "the line is older than the last hour"


def test_a_round_that_is_lost_leaves_no_hour_unseen(monitored: Monitored, world: Any) -> None:
    """Its worker died, or the queue was out of reach: the next one looks from the last that was kept."""
    monitoring = started(world, monitored(checks=[LOGS]))
    fine = f"{monitoring.started_at.isoformat()} INFO fine\n"
    log(world, fine)
    assert check(monitoring, 1)[0].result == "passed"
    log(world, f"{fine}{(monitoring.started_at + timedelta(minutes=90)).isoformat()} ERROR bad\n")
    assert check(monitoring, 3)[0].result == "failed"
    assert check(monitoring, 4)[0].result == "no_data", "it is counted once"


def test_a_round_that_could_not_look_is_made_up_for_by_the_next(monitored: Monitored, world: Any) -> None:
    monitoring = started(world, monitored(checks=[LOGS]))
    log(world, f"{monitoring.started_at.isoformat()} ERROR bad\n")
    gone = alter(monitoring, checks=[{**LOGS, "type": "no_such_type"}])
    assert check(gone, 1)[0].result == "error"
    assert check(alter(gone, checks=[LOGS]), 2)[0].result == "failed"


def test_a_first_round_that_is_lost_leaves_nothing_unseen_either(monitored: Monitored, world: Any) -> None:
    monitoring = started(world, monitored(checks=[LOGS]))
    log(world, f"{monitoring.started_at.isoformat()} ERROR bad\n")
    assert check(monitoring, 2)[0].result == "failed"


def test_what_happened_in_a_pause_is_not_the_monitorings(monitored: Monitored, world: Any) -> None:
    """What was written before the first look after a pause is another deployment's, and cannot be told apart."""
    monitoring = started(world, monitored(checks=[LOGS]))
    log(world, "INFO fine\n")
    assert check(monitoring, 1)[0].result == "passed"
    monitoring = alter(monitoring, paused_at=now())
    log(world, "INFO fine\nERROR of another version\n")
    monitoring.resume(now())
    alter(monitoring, paused_at=None, resumed_at=monitoring.resumed_at)
    assert check(monitoring, 3)[0].result == "no_data"
    log(world, "INFO fine\nERROR of another version\nINFO fine\n")
    assert check(monitoring, 4)[0].result == "passed"
    log(world, "INFO fine\nERROR of another version\nINFO fine\nERROR of its own\n")
    assert check(monitoring, 5)[0].result == "failed"


def test_a_critical_trigger_does_not_wait_behind_an_alarm_that_is_not(
    monitored: Monitored, service: Site, world: Any
) -> None:
    monitoring = started(world, monitored({**ERRORS, "k": 1, "n": 1}, ODD, checks=[LOGS]))
    log(world, f"{monitoring.started_at.isoformat()} ERROR bad\n")
    check(monitoring)
    alarm = Rollback.objects.get()
    with acting(WORKER):
        pre_authorise(alarm.pk, rows={"dataset": 3})
    look(monitoring, service, page(100, 0), page(200, 50), page(300, 90))
    grave = world.fresh(alarm)
    assert (grave.cause, grave.critical, grave.facts["raised_as"]) == ("error_rate", True, "log_anomalies")
    assert "rows_total" not in grave.facts, "it is asked anew whether the consent covers it"
    woken = [job for job in jobs("development") if job[0].endswith("prepare_rollback")]
    assert len(woken) == 2 and first(monitoring.deployment).state == "ready"


def test_an_alarm_that_was_assessed_while_it_was_mild_goes_back_by_the_approval_when_it_is_grave(
    monitored: Monitored, service: Site, world: Any
) -> None:
    monitoring = started(world, monitored({**ERRORS, "k": 1, "n": 1}, ODD, checks=[LOGS]))
    log(world, f"{monitoring.started_at.isoformat()} ERROR bad\n")
    check(monitoring)
    alarm = Rollback.objects.get()
    with world.acting_as("manager"):
        assess(alarm.pk, impact="few", method="look", timing="tomorrow")
    with acting(WORKER):
        assert not pre_authorise(alarm.pk, rows={}), "a person has assessed it"
    consented = make(
        ApprovalRequest, subject="regular", release=monitoring.deployment.release, environment=monitoring.deployment.environment,
        document={"rollback_pre_authorised": {"on": True, "rows": 5}}, digest="0" * 64, rules=[],
        requested_by=world.people["manager"],
    )  # fmt: skip
    alter(monitoring.deployment, approval_request=consented)
    look(monitoring, service, page(100, 0), page(200, 50), page(300, 90))
    with acting(WORKER):
        assert pre_authorise(alarm.pk, rows={"dataset": 3})
    assert world.fresh(alarm).state == "authorised"


def test_a_check_type_that_is_gone_is_an_error(monitored: Monitored) -> None:
    monitoring = monitored(checks=[{**LOGS, "type": "gone"}, {**LOGS, "key": "b", "parameters": {"nothing": 1}}])
    assert [made.result for made in check(monitoring)] == ["error", "error"]


def test_what_a_check_says_holds_no_secret_whatever_its_key_is_called(monitored: Monitored, world: Any) -> None:
    monitoring = started(world, monitored(checks=[LOGS]))
    where = {"application_id": world.application.pk, "environment_id": world.environments["development"].pk}
    with world.acting_as("manager"):
        version = create(**where, values={}, secrets={"SMTP_PASS": "sesame-441"}, reason="mail")
    deployment = monitoring.deployment
    alter(deployment, previous={**deployment.previous, "wanted_configuration": version.pk})
    log(world, f"{monitoring.started_at.isoformat()} ERROR login with sesame-441 \x00 refused\n")
    (made,) = check(monitoring)
    assert made.result == "failed" and "login with" in made.output and "sesame" not in made.output


def test_a_check_that_falls_over_takes_no_other_with_it(
    monitored: Monitored, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fall(*_arguments: Any) -> Any:
        raise KeyError("sha256")

    monitoring = started(
        world,
        monitored(ERRORS, ODD, checks=[{**LOGS, "key": "other", "type": "service_state", "parameters": {}}, LOGS]),
    )
    monkeypatch.setattr(check_types.by_name("service_state"), "run", fall)
    log(world, f"{monitoring.started_at.isoformat()} ERROR bad\n")
    assert [made.result for made in check(monitoring)] == ["error", "failed"]
    assert Rollback.objects.get().cause == "log_anomalies"


def test_a_source_that_falls_over_leaves_a_sample_that_says_so(
    monitored: Monitored, service: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fall(*_arguments: Any) -> Any:
        raise KeyError("no such key")

    monitoring = monitored()
    monkeypatch.setattr(source("prometheus_text"), "read", fall)
    assert look(monitoring, service, page(0, 0))[0]["error_rate"]["result"] == "error"
    assert "KeyError" in Measurement.objects.get().error


def test_before_a_run_a_source_gets_the_configuration_that_is_in_force(coming: Deployment, world: Any) -> None:
    pointer = DeployedVersion.objects.get(environment=coming.environment)
    alter(pointer, configuration=world.configurations["production"])
    with acting(WORKER):
        monitoring = start_baseline(coming.pk)
    assert monitoring is not None
    values, _secrets = configuration_for(monitoring)
    assert values == world.configurations["production"].opened()


def test_paused_or_ended_monitoring_checks_nothing(monitored: Monitored) -> None:
    monitoring = monitored(checks=[LOGS])
    for field in ("paused_at", "ended_at"):
        assert check(alter(monitoring, **{field: now()})) == []
        alter(monitoring, **{field: None})


def test_due_checks_wake_their_worker_and_move_on(monitored: Monitored, world: Any) -> None:
    monitoring = started(world, monitored(checks=[LOGS], next_checks_at=now(), seconds=7200))
    with acting(WORKER):
        due_checks(now())
        due_checks(now())
    job = (
        "releases.jobs.run_monitoring_checks",
        {"monitoring_id": monitoring.pk, "due": dispatch.microseconds(monitoring.next_checks_at)},
    )
    assert [found for found in jobs("checks") if found[0].endswith("run_monitoring_checks")] == [job]
    assert world.fresh(monitoring).next_checks_at > now() + timedelta(minutes=59)


def test_only_what_is_owed_is_asked_at_the_end(monitored: Monitored) -> None:
    alerts = {**ERRORS, "key": "frequent_alerts", "critical": False, "metric": "alerts_per_hour", "required": False}
    monitoring = monitored(ERRORS, ODD, alerts, checks=[{**LOGS, "required": True}], seconds=7200, check_seconds=3600)
    assert completeness(monitoring) == {"error_rate": 0.0, "monitoring_logs": 0.0}
    make(MonitoringCheck, period=monitoring, key="monitoring_logs", due_at=now(), at=now(), result="passed")
    make(MonitoringCheck, period=monitoring, key="monitoring_logs", due_at=now(), at=now(), result="error")
    assert completeness(monitoring)["monitoring_logs"] == 1.0, (
        "of two hours one round is made: none is due at the very end"
    )


def test_the_procedure_says_what_is_owed_and_checked(world: Any) -> None:
    content = procedure_of(world.planned())
    owed = {t["key"]: t["required"] for t in triggers_of(content)}
    assert owed == {
        "service_down": True, "response_time": True, "error_rate": True, "resource_use": True,
        "log_anomalies": False, "frequent_alerts": False, "failed_backups": False,
    }  # fmt: skip
    assert [row["key"] for row in checks_of(content)] == ["monitoring_logs", "monitoring_alerts", "monitoring_backups"]


@pytest.fixture
def coming(world: Any, consented: Callable[..., Deployment]) -> Deployment:
    """A run in production in half an hour, with something in force there."""
    deployment = consented(row(TRUE))
    make(
        DeployedVersion,
        application=deployment.application,
        environment=deployment.environment,
        release=deployment.release,
        since=now(),
        basis="test",
    )
    return alter(deployment, scheduled_start_at=now() + timedelta(minutes=30))  # type: ignore[no-any-return]


def test_before_a_run_its_target_is_looked_at_for_the_baseline(coming: Deployment, world: Any, service: Site) -> None:
    with acting(WORKER):
        coming_baselines(now())
        coming_baselines(now())
    monitoring = MonitoringPeriod.objects.get()
    assert (monitoring.purpose, monitoring.deployment_id) == ("baseline", coming.pk)
    assert monitoring.duration_seconds == pytest.approx(1800, abs=60)
    alter(world.targets["production"], options={"metrics_url": f"{service.base}/metrics"})
    look(monitoring, service, page(100, 0), page(200, 100), page(300, 200), page(400, 300), page(500, 400))
    assert not Rollback.objects.exists(), "what is in force is only measured"
    frozen = baseline(coming, now(), DeployedVersion.objects.get())
    assert frozen["metrics"]["response_time"] == {"value": pytest.approx(0.01), "count": 4}
    assert frozen["source"] == "prometheus_text"
    over = alter(monitoring, started_at=now() - timedelta(hours=1), next_at=now())
    with acting(WORKER):
        due_monitoring(now())
    ended = world.fresh(over)
    assert (ended.result, ended.next_at) == ("measured", None) and ended.ended_at is not None
    assert world.fresh(coming).state == "scheduled"


def test_samples_of_what_is_not_in_force_any_more_are_no_baseline(
    queued: Callable[..., Deployment], world: Any
) -> None:
    """A version that was taken back ten minutes ago had errors; what came back has few."""
    deployment, moment = queued(row(TRUE)), now()
    pointer = make(
        DeployedVersion, application=deployment.application, environment=deployment.environment, release=deployment.release, basis="restored",
        since=moment - timedelta(minutes=10),
    )  # fmt: skip
    monitoring = make(
        MonitoringPeriod, purpose="rollback", deployment=deployment, interval_seconds=60, duration_seconds=60, started_at=moment,
        ended_at=moment,
    )  # fmt: skip
    for minutes, rate in ((30, 0.9), (11, 0.7), (9, 0.1), (5, 0.3)):
        at = moment - timedelta(minutes=minutes)
        make(
            Measurement,
            period=monitoring,
            due_at=at,
            at=at,
            up=True,
            values={"error_rate": {"value": rate, "result": "passed"}},
        )
    with acting(WORKER):
        assert claim(first(deployment).pk, worker="w") is not None
    frozen = world.fresh(deployment).baseline
    assert frozen["metrics"]["error_rate"] == {"value": pytest.approx(0.2), "count": 2}
    assert frozen["since"] == pointer.since.isoformat()


def test_the_look_before_ends_when_the_run_begins(queued: Callable[..., Deployment], world: Any) -> None:
    deployment = queued(row(TRUE))
    monitoring = make(
        MonitoringPeriod,
        purpose="baseline",
        deployment=deployment,
        interval_seconds=60,
        duration_seconds=60,
        started_at=now(),
        next_at=now(),
    )
    with acting(WORKER):
        assert claim(first(deployment).pk, worker="w") is not None
    ended = world.fresh(monitoring)
    assert (ended.result, ended.next_at, ended.ended_at is not None) == ("measured", None, True)


def test_nothing_is_looked_at_without_need(coming: Deployment, world: Any) -> None:
    assert (needs_baseline(now()), needs_baseline(now() - timedelta(hours=1))) == ([coming.pk], [])
    make(MonitoringPeriod, deployment=coming, interval_seconds=60, duration_seconds=60, started_at=now(), next_at=now())
    assert needs_baseline(now()) == []
    with acting(WORKER):
        assert start_baseline(coming.pk) is None


def test_monitoring_from_before_is_no_verdict_on_the_run(coming: Deployment) -> None:
    with acting(WORKER):
        monitoring = start_baseline(coming.pk)
        assert monitoring is not None and end_due(monitoring.pk) == ""
