"""Beside the metrics: sources of the target's own, hourly checks, alarms that become critical, the baseline."""

from __future__ import annotations

import json
import threading
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
from releases.models import ApprovalRequest, Measurement, MonitoringCheck, MonitoringPeriod

from releases.models import Rollback  # isort: skip
from releases.operations.rollback.decide import assess, dismiss, pre_authorise
from releases.queries.monitoring import checks_of, completeness, triggers_of
from releases.worker import measurement, monitoring_checks
from releases.worker.measurement import record_measurement
from releases.worker.monitoring_checks import run_checks
from releases.worker.poll import due_checks
from tests.releases.gates.asking import alter, make
from tests.releases.metric_sources.pages import Page, Site
from tests.releases.worker.monitored import ERRORS, Monitored, look, page

from .conftest import WORKER, first, jobs

ODD = {
    "key": "log_anomalies",
    "critical": False,
    "metric": "monitoring_logs",
    "comparison": "absolute",
    "limit": "1",
    "k": 1,
    "n": 1,
    "required": False,
}
LOGS = {
    "key": "monitoring_logs",
    "type": "log",
    "parameters": {"at_most": 0},
    "label_ja": "ログ",
    "label_en": "Logs",
    "required": False,
}


def log(world: Any, text: str) -> None:
    file = Path(world.targets["development"].root) / "shared" / "app.log"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)


def started(world: Any, monitoring: MonitoringPeriod) -> MonitoringPeriod:
    """Record in the target's journal that the log was at its beginning when the deployment started the service."""
    journal = Path(world.targets["development"].root) / ".ringi" / "journal.jsonl"
    journal.parent.mkdir(exist_ok=True)
    line = {"deployment": f"deployment:{monitoring.deployment_id}", "log": {"inode": None, "size": 0, "mark": ""}}
    journal.write_text(json.dumps(line) + "\n")
    return monitoring


def check(monitoring: MonitoringPeriod, number: int = 1) -> list[MonitoringCheck]:
    with acting(WORKER):
        return run_checks(monitoring.pk, due=monitoring.started_at + timedelta(hours=number))


def test_a_measurement_costs_one_statement_to_read_and_one_to_keep(monitored: Monitored, service: Site) -> None:
    monitoring = monitored()
    look(monitoring, service, page(100, 0))
    service.pages["/metrics"] = [page(200, 0)]
    with acting(WORKER), CaptureQueriesContext(connection) as asked:
        assert record_measurement(monitoring.pk, due=monitoring.started_at + timedelta(minutes=9)) is not None
    spoken = [query["sql"].split()[0] for query in asked.captured_queries]
    assert [word for word in spoken if word not in ("BEGIN", "COMMIT")] == ["SELECT", "INSERT"]


def test_the_targets_options_select_the_metric_sources(monitored: Monitored, service: Site, world: Any) -> None:
    monitoring = monitored({**ERRORS, "k": 1, "n": 1})
    service.pages["/own"] = [Page(json.dumps({"rate": 0.5}))]
    own = {"source": "json_http", "parameters": {"url": f"{service.base}/own", "values": {"error_rate": "rate"}}}
    alter(world.targets["development"], options={"private_networks": ["127.0.0.1"], "metric_sources": [own]})
    assert look(monitoring, service, page(0, 0))[0]["error_rate"]["value"] == 0.5
    assert Rollback.objects.get().cause == "error_rate"


def test_invalid_options_are_an_error_and_never_pass(monitored: Monitored, service: Site, world: Any) -> None:
    monitoring = monitored()
    alter(world.targets["development"], options={"metric_sources": [{"source": "graphite"}]})
    assert look(monitoring, service, page(0, 0))[0]["error_rate"]["result"] == "error"
    kept = Measurement.objects.get()
    assert "graphite" in kept.error and completeness(monitoring) == {"error_rate": 0.0}


def test_checks_are_kept_with_value_limit_result_and_output(monitored: Monitored, world: Any) -> None:
    state_check = {**LOGS, "key": "service", "type": "service_state", "parameters": {}}
    monitoring = started(world, monitored(checks=[LOGS, state_check]))
    later = (monitoring.started_at + timedelta(seconds=5)).isoformat()
    log(world, f"{later} INFO fine\n{later} ERROR bad\n")
    logs, state = check(monitoring)
    assert (logs.key, logs.result, logs.value, logs.limit) == ("monitoring_logs", "failed", "1", "≤ 0")
    assert "ERROR bad" in logs.output and logs.known
    assert (state.result, state.known) == ("no_data", False)
    assert (check(monitoring), MonitoringCheck.objects.count()) == ([], 2), "a second one for the same hour is dropped"


def test_a_failed_check_is_an_alarm_for_a_person(monitored: Monitored, world: Any) -> None:
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


def test_the_next_check_covers_the_hour_of_a_lost_one(monitored: Monitored, world: Any) -> None:
    """Its worker died, or the queue was unreachable: the next round reads from the last kept position."""
    monitoring = started(world, monitored(checks=[LOGS]))
    fine = f"{monitoring.started_at.isoformat()} INFO fine\n"
    log(world, fine)
    assert check(monitoring, 1)[0].result == "passed"
    log(world, f"{fine}{(monitoring.started_at + timedelta(minutes=90)).isoformat()} ERROR bad\n")
    assert check(monitoring, 3)[0].result == "failed"
    assert check(monitoring, 4)[0].result == "no_data", "it is counted once"


def test_the_next_check_covers_the_hour_of_an_unreachable_target(monitored: Monitored, world: Any) -> None:
    monitoring = started(world, monitored(checks=[LOGS]))
    log(world, f"{monitoring.started_at.isoformat()} ERROR bad\n")
    gone = alter(monitoring, checks=[{**LOGS, "type": "no_such_type"}])
    assert check(gone, 1)[0].result == "error"
    assert check(alter(gone, checks=[LOGS]), 2)[0].result == "failed"


def test_the_next_check_covers_a_lost_first_one(monitored: Monitored, world: Any) -> None:
    monitoring = started(world, monitored(checks=[LOGS]))
    log(world, f"{monitoring.started_at.isoformat()} ERROR bad\n")
    assert check(monitoring, 2)[0].result == "failed"


def test_events_during_a_pause_do_not_count_for_the_monitoring(monitored: Monitored, world: Any) -> None:
    """Lines before the first look after a pause belong to another deployment, and cannot be distinguished."""
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


def test_a_critical_trigger_does_not_wait_behind_a_minor_alarm(monitored: Monitored, service: Site, world: Any) -> None:
    monitoring = started(world, monitored({**ERRORS, "k": 1, "n": 1}, ODD, checks=[LOGS]))
    log(world, f"{monitoring.started_at.isoformat()} ERROR bad\n")
    check(monitoring)
    alarm = Rollback.objects.get()
    with acting(WORKER):
        pre_authorise(alarm.pk, rows={"dataset": 3})
    look(monitoring, service, page(100, 0), page(200, 50), page(300, 90))
    grave = world.fresh(alarm)
    assert (grave.cause, grave.critical, grave.facts["raised_as"]) == ("error_rate", True, "log_anomalies")
    assert "rows_total" not in grave.facts, "the pre-authorisation is examined again"
    woken = [job for job in jobs("development") if job[0].endswith("prepare_rollback")]
    assert len(woken) == 2 and first(monitoring.deployment).state == "ready"


def test_a_minor_assessed_alarm_that_becomes_critical_uses_the_pre_authorisation(
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
    approved_deployment = make(
        ApprovalRequest,
        subject="regular",
        release=monitoring.deployment.release,
        environment=monitoring.deployment.environment,
        document={"rollback_pre_authorised": {"on": True, "rows": 5}},
        digest="0" * 64,
        rules=[],
        requested_by=world.people["manager"],
    )
    alter(monitoring.deployment, approval_request=approved_deployment)
    look(monitoring, service, page(100, 0), page(200, 50), page(300, 90))
    with acting(WORKER):
        assert pre_authorise(alarm.pk, rows={"dataset": 3})
    assert world.fresh(alarm).state == "authorised"


def test_a_removed_check_type_is_an_error(monitored: Monitored) -> None:
    monitoring = monitored(checks=[{**LOGS, "type": "gone"}, {**LOGS, "key": "b", "parameters": {"nothing": 1}}])
    assert [made.result for made in check(monitoring)] == ["error", "error"]


def test_check_output_holds_no_secret_under_any_key(monitored: Monitored, world: Any) -> None:
    monitoring = started(world, monitored(checks=[LOGS]))
    where = {"application_id": world.application.pk, "environment_id": world.environments["development"].pk}
    with world.acting_as("manager"):
        version = create(**where, values={}, secrets={"SMTP_PASS": "sesame-441"}, reason="mail")
    deployment = monitoring.deployment
    alter(deployment, previous={**deployment.previous, "wanted_configuration": version.pk})
    log(world, f"{monitoring.started_at.isoformat()} ERROR login with sesame-441 \x00 refused\n")
    (made,) = check(monitoring)
    assert made.result == "failed" and "login with" in made.output and "sesame" not in made.output


def test_a_crashing_check_affects_no_other(monitored: Monitored, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.timeout(120)  # it would hang for hours
def test_a_hanging_check_ends_as_an_error_and_affects_no_other(
    monitored: Monitored, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line of the log is enough for a pattern that goes back and forth: it would keep the only worker for a day."""
    monkeypatch.setattr(monitoring_checks, "MARGIN_SECONDS", 0.5)
    monkeypatch.setattr(check_types.by_name("log"), "longest_seconds", 0)
    slow = {**LOGS, "key": "slow", "parameters": {"pattern": "(\\w+ ?)+ERROR$", "at_most": 0}}
    monitoring = started(world, monitored(ERRORS, ODD, checks=[slow, LOGS]))
    log(world, f"{monitoring.started_at.isoformat()} ERROR {'a' * 60}!\n")
    made, other = check(monitoring)
    assert made.result == "error" and "did not finish" in made.output
    assert other.result == "failed" and Rollback.objects.get().cause == "log_anomalies"


def test_a_hanging_source_leaves_a_measurement_with_the_error(
    monitored: Monitored, service: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitoring = monitored()
    monkeypatch.setattr(measurement, "LONGEST_SECONDS", 0.2)
    monkeypatch.setattr(source("prometheus_text"), "read", lambda *_given: threading.Event().wait(5))
    assert look(monitoring, service, page(0, 0))[0]["error_rate"]["result"] == "error"
    assert "did not finish" in Measurement.objects.get().error


def test_a_crashing_source_leaves_a_measurement_with_the_error(
    monitored: Monitored, service: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fall(*_arguments: Any) -> Any:
        raise KeyError("no such key")

    monitoring = monitored()
    monkeypatch.setattr(source("prometheus_text"), "read", fall)
    assert look(monitoring, service, page(0, 0))[0]["error_rate"]["result"] == "error"
    assert "KeyError" in Measurement.objects.get().error


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


def test_only_required_manual_checks_are_asked_at_the_end(monitored: Monitored) -> None:
    alerts = {**ERRORS, "key": "frequent_alerts", "critical": False, "metric": "alerts_per_hour", "required": False}
    monitoring = monitored(ERRORS, ODD, alerts, checks=[{**LOGS, "required": True}], seconds=7200, check_seconds=3600)
    assert completeness(monitoring) == {"error_rate": 0.0, "monitoring_logs": 0.0}
    make(MonitoringCheck, period=monitoring, key="monitoring_logs", due_at=now(), at=now(), result="passed")
    make(MonitoringCheck, period=monitoring, key="monitoring_logs", due_at=now(), at=now(), result="error")
    assert completeness(monitoring)["monitoring_logs"] == 1.0, (
        "in two hours one check is made: none is due at the very end"
    )


def test_the_procedure_defines_required_and_measured_checks(world: Any) -> None:
    content = procedure_of(world.planned())
    required = {t["key"]: t["required"] for t in triggers_of(content)}
    assert required == {
        "service_down": True,
        "response_time": True,
        "error_rate": True,
        "resource_use": True,
        "log_anomalies": False,
        "frequent_alerts": False,
        "failed_backups": False,
    }
    assert [row["key"] for row in checks_of(content)] == ["monitoring_logs", "monitoring_alerts", "monitoring_backups"]
