"""Changed triggers are replayed on the last monitoring periods before anybody approves them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from audit.clock import now
from releases.admin.components.trigger_replay import replay_lines
from releases.metric_sources.triggers import evaluate
from releases.models import Deployment, Measurement, MonitoringCheck, MonitoringPeriod, Rollback
from releases.operations.procedure.put_into_effect import load, submit
from releases.operations.release.plan import active_procedure
from releases.procedures.document import Procedure as Content
from releases.queries import trigger_replay
from releases.queries.monitoring import triggers_of
from releases.queries.rollback_causes import NO_RESPONSE
from tests.releases.gates.asking import make, walk


def edited(version: str, **triggers: dict[str, Any]) -> Content:
    """The procedure in effect with other fields of some triggers."""
    raw = active_procedure().document.model_dump(mode="json")
    raw["version"] = version
    raw["history"].append({**raw["history"][-1], "version": version})
    for row in raw["triggers"]:
        row.update(triggers.get(row["key"], {}))
    return Content.checked(raw)


def missed(rows: list[dict[str, Any]]) -> list[str]:
    """Return the runs whose real alarm would not have been raised."""
    return [row["deployment"] for row in rows if row["missed"]]


@pytest.fixture
def monitored(world: Any) -> Callable[..., MonitoringPeriod]:
    """Return a function: a monitoring period under the procedure in effect with a given error rate for each minute."""

    def lay(rates: list[float | None], **fields: Any) -> MonitoringPeriod:
        release = world.planned()
        deployment = make(
            Deployment,
            release=release,
            application=release.application,
            environment=world.environments["development"],
            requested_by=world.people["ci"],
        )
        walk(deployment, "schedule", "enqueue", "start", "start_verification", "start_monitoring")
        triggers, began = triggers_of(active_procedure().document), now() - timedelta(hours=3)
        monitoring = make(
            MonitoringPeriod,
            deployment=deployment,
            interval_seconds=60,
            duration_seconds=600,
            started_at=began,
            triggers=triggers,
            checks=[{"key": "monitoring_logs", "required": False}],
            **fields,
        )
        for place, rate in enumerate(rates):
            values = evaluate(triggers, {"error_rate": rate, "service_down": 0.0}, {})
            due = began + timedelta(minutes=place)
            make(Measurement, period=monitoring, due_at=due, at=due, up=True, values=values)
        return monitoring

    return lay


def test_only_changed_measured_triggers_count_as_changed(world: Any) -> None:
    active = active_procedure().document
    assert trigger_replay.changed(active, edited("9.0.0")) == []
    assert trigger_replay.changed(active, edited("9.0.0", error_rate={"ja": "別の名"})) == []
    assert trigger_replay.changed(active, edited("9.0.0", error_rate={"limit": "0.2"}, display={"ja": "x"})) == [
        "error_rate"
    ]
    without = {"metric": "", "comparison": "", "limit": None, "k": 0, "n": 0}
    assert trigger_replay.changed(active, edited("9.0.0", log_anomalies=without)) == ["log_anomalies"]


def test_the_replay_compares_past_and_new_alarms(monitored: Callable[..., MonitoringPeriod]) -> None:
    monitoring = monitored([0.0, 0.15, 0.15, 0.15, 0.15])
    (same,) = trigger_replay.report(edited("9.0.0"))
    assert (
        same["was"]
        == same["would"]
        == [["error_rate", True, f"{monitoring.started_at + timedelta(minutes=3):%Y-%m-%dT%H:%M:%SZ}"]]
    )
    (deaf,) = trigger_replay.report(edited("9.0.0", error_rate={"limit": "0.2"}))
    assert (deaf["would"], deaf["missed"], deaf["measurements"]) == ([], False, 5), "no rollback happened"
    (quick,) = trigger_replay.report(edited("9.0.0", error_rate={"k": 1, "n": 1}))
    assert quick["would"][0][2] < same["would"][0][2] and not quick["additional"]


def test_a_missed_alarm_is_named(monitored: Callable[..., MonitoringPeriod]) -> None:
    monitoring = monitored([0.15] * 5)
    alarm = make(Rollback, deployment=monitoring.deployment, cause="error_rate", critical=True, raised_at=now())
    rows = trigger_replay.report(edited("9.0.0", error_rate={"limit": "0.2"}))
    assert missed(rows) == [str(monitoring.deployment)]
    assert missed(trigger_replay.report(edited("9.0.0"))) == []
    walk(alarm, "dismiss")
    assert missed(trigger_replay.report(edited("9.0.0", error_rate={"limit": "0.2"}))) == []


def test_a_former_or_repeated_trigger_is_not_counted_as_missed(monitored: Callable[..., MonitoringPeriod]) -> None:
    monitoring = monitored([0.0] * 3)
    alarm = make(Rollback, deployment=monitoring.deployment, cause=NO_RESPONSE, critical=True, raised_at=now())
    assert missed(trigger_replay.report(edited("9.0.0"))) == [], "no one responded, which no trigger measures"
    walk(alarm, "dismiss")
    make(
        MonitoringCheck,
        period=monitoring,
        key="monitoring_logs",
        due_at=monitoring.started_at,
        at=now(),
        result="failed",
    )
    make(Rollback, deployment=monitoring.deployment, cause="log_anomalies", critical=False, raised_at=now())
    assert missed(trigger_replay.report(edited("9.0.0"))) == []
    assert missed(trigger_replay.report(edited("9.0.0", log_anomalies={"k": 2, "n": 2}))) == [
        str(monitoring.deployment)
    ]


def test_a_new_alarm_is_named(monitored: Callable[..., MonitoringPeriod]) -> None:
    monitored([0.05] * 5)
    (row,) = trigger_replay.report(edited("9.0.0", error_rate={"limit": "0.05"}))
    assert row["additional"] and row["was"] == []
    (mild,) = trigger_replay.report(edited("9.0.0", error_rate={"limit": "0.05", "critical": False}))
    assert not mild["additional"] and mild["would"][0][:2] == ["error_rate", False]


def test_checks_are_replayed_too(monitored: Callable[..., MonitoringPeriod]) -> None:
    monitoring = monitored([0.0] * 3)
    for hour in (1, 2):
        make(
            MonitoringCheck,
            period=monitoring,
            key="monitoring_logs",
            due_at=monitoring.started_at + timedelta(hours=hour),
            at=now(),
            result="failed",
        )
    (row,) = trigger_replay.report(edited("9.0.0", log_anomalies={"k": 2, "n": 2}))
    assert [key for key, _critical, _at in row["was"]] == ["log_anomalies"]
    assert row["would"][0][2] > row["was"][0][2]


def test_the_request_holds_the_replay_and_shows_it(
    monitored: Callable[..., MonitoringPeriod], world: Any, browsers: Any
) -> None:
    monitoring = monitored([0.15] * 5)
    make(Rollback, deployment=monitoring.deployment, cause="error_rate", critical=True, raised_at=now())
    with world.acting_as("manager"):
        draft = load(edited("9.0.0", error_rate={"limit": "0.2"}), reason="less noise")
        same = load(edited("9.1.0"), reason="words only")
    page = browsers("manager").get(f"/admin/operation/procedure/submit/{draft.pk}/")
    assert "A REAL ALARM WOULD HAVE BEEN MISSED" in page.content.decode()
    with world.acting_as("manager"):
        approval_request = submit(draft.pk, reason="less noise")
        assert "replay" not in submit(same.pk, reason="words").document
    kept = approval_request.document["replay"]
    assert kept["triggers"] == ["error_rate"] and kept["monitoring_periods"][0]["missed"]
    lines = replay_lines(kept)
    assert "MISSED" in lines[1] and "Error rate of 10% or more" in lines[0]
    shown = browsers("committee_a").get(f"/admin/approval-request/{approval_request.pk}/")
    assert "A REAL ALARM WOULD HAVE BEEN MISSED" in shown.content.decode()
