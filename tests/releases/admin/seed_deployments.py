"""Deployments, monitoring and rollbacks of the seed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

from audit.clock import now
from audit.operation import operation
from environments.models import Account, Environment
from releases.metric_sources.triggers import evaluate
from releases.models import (
    Deployment,
    FollowUp,
    Measurement,
    MonitoringCheck,
    MonitoringPeriod,
    Procedure,
    Release,
    Rollback,
    Step,
    StepAttempt,
    StepOutput,
)
from releases.operations.rollback.complete_manually import draft_documents
from releases.queries.monitoring import checks_of, triggers_of

ActingAs = Callable[..., AbstractContextManager[Any]]


def walk(row: Any, *verbs: str) -> Any:
    """Move a row along its edges and save each one, as the database's guard requires."""
    for verb in verbs:
        getattr(row, verb)()
        row.save()
    return row


def make_deployment(
    acting_as: ActingAs, release: Release, environment: str, *verbs: str, steps: str = "succeeded"
) -> Deployment:
    """Make a deployment with its journal and output, walked along `verbs`."""
    where = Environment.objects.get(slug=environment)
    people = {a.username: a for a in Account.objects.all()}
    with acting_as("operator"), operation("test:run") as op:
        made = Deployment.objects.create(
            release=release,
            application=release.application,
            environment=where,
            requested_by=people["manager"],
            procedure=Procedure.objects.get(state="in_effect"),
            scheduled_by=people["operator"],
            scheduled_start_at=now(),
            scheduled_end_at=now() + timedelta(hours=4),
            plan_digest="d" * 64,
            started_at=now(),
            previous={"deployed_version": {}, "wanted_tree": release.tree},
            measured={"verification": {"code": "b" * 40, "configuration": "c" * 64, "data": "d" * 64}},
        )
        op.about(made)
        ordinal = 0
        for phase in ("deployment", "verification"):
            for row in release.step_plan[phase]:
                ordinal += 1
                step = Step.objects.create(deployment=made, phase=phase, ordinal=ordinal, **row)
                if steps == "pending" or (steps == "running" and ordinal > 3):
                    continue
                walk(step, "mark_ready")
                step.fencing_token, step.owner, step.started_at = 1, "host:41", now()
                walk(step, "claim")
                StepAttempt.objects.create(
                    step=step, fencing_token=1, key=step.key, worker="host:41", started_at=now(), outcome="worker_lost"
                )
                StepOutput.objects.create(step=step, fencing_token=1, text=f"$ {step.step_type}\nok\n")
                if steps == "running" and ordinal == 3:
                    StepAttempt.objects.create(
                        step=step, fencing_token=2, key=step.key, worker="host:57", started_at=now(), probe="not_done"
                    )
                    continue
                step.result = (
                    {"result": "passed", "value": "0.01", "limit": "0.1", "output": ""}
                    if step.step_type == "check"
                    else {"done": True}
                )
                step.ended_at = now()
                walk(step, "succeed")
        walk(made, *verbs)
    return made


def monitored(
    acting_as: ActingAs, deployment: Deployment, count: int = 40, rollback: Rollback | None = None
) -> MonitoringPeriod:
    """Give a deployment a monitoring period whose error rate exceeds its limit, with half an hour of baseline."""
    with acting_as("operator"), operation("test:monitor") as op:
        began = now() - timedelta(minutes=count)
        procedure = deployment.release.procedure
        assert procedure is not None
        triggers, checks = triggers_of(procedure.document), checks_of(procedure.document)
        means = {"error_rate": 0.01, "response_time": 0.08, "resource_use": 0.4, "service_down": 0.0}
        monitoring = MonitoringPeriod.objects.create(
            deployment=deployment,
            rollback=rollback,
            interval_seconds=60,
            duration_seconds=86400,
            started_at=began,
            triggers=triggers,
            checks=checks,
            check_seconds=600,
            baseline={
                "metrics": {name: {"value": mean, "count": 30} for name, mean in means.items()},
                "source": "prometheus_text",
            },
        )
        op.about(monitoring)
        deployment.started_at = began - timedelta(minutes=4)
        deployment.save()
        before = MonitoringPeriod.objects.create(
            deployment=deployment,
            purpose="baseline",
            interval_seconds=60,
            duration_seconds=1800,
            triggers=triggers,
            started_at=began - timedelta(minutes=35),
            ended_at=began - timedelta(minutes=5),
            result="measured",
        )
        op.about(before)
    checked = {check["key"] for check in checks}
    measured = [trigger for trigger in triggers if trigger["metric"] not in checked]
    for index in range(30):
        at = before.started_at + timedelta(minutes=index)
        wave = {name: mean * (0.8 + 0.1 * (index % 5)) for name, mean in means.items()}
        Measurement.objects.create(period=before, due_at=at, at=at, up=True, values=evaluate(triggers, wave, {}))
    for index in range(count):
        at, climb = began + timedelta(minutes=index), max(0, index - 25)
        seen = {
            "error_rate": 0.01 + climb * 0.012,
            "response_time": 0.09 + climb * 0.006 + 0.02 * (index % 3),
            "resource_use": 0.42 + 0.05 * (index % 4),
            "service_down": 0.0,
        }
        stale = dict.fromkeys(seen, "stale") if index in (16, 17) else {}
        values = evaluate(measured, {} if index == 12 else seen, monitoring.baseline, stale)
        Measurement.objects.create(period=monitoring, due_at=at, at=at, up=True, values=values)
    for place, (result, value) in enumerate([("passed", "0"), ("passed", "0"), ("failed", "3")]):
        at = began + timedelta(minutes=10 * (place + 1))
        rows = [
            ("monitoring_logs", result, value, "≤ 0", "2026-12-16T01:40:12Z ERROR /datasets" if value == "3" else "")
        ]
        rows += [
            ("monitoring_alerts", "no_data", "", "–", ""),
            ("monitoring_backups", "passed", "0.6 h", "≤ 26 h, digest", ""),
        ]
        for key, said, found, limit, output in rows:
            MonitoringCheck.objects.create(
                period=monitoring, key=key, due_at=at, at=at, result=said, value=found, limit=limit, output=output
            )
    return monitoring


def rolled_back(acting_as: ActingAs, deployment: Deployment) -> Rollback:
    """Roll a deployment back as the monitoring would, up to the report."""
    measurement = {"error_rate": {"value": 0.16, "limit": 0.1, "result": "failed"}}
    three = {"code": "1" * 40, "configuration": "2" * 64, "data": "3" * 64}
    with acting_as("operator"), operation("test:rollback") as op:
        made = Rollback.objects.create(
            deployment=deployment,
            cause="error_rate",
            raised_at=now(),
            started_at=now(),
            restored_at=now(),
            note="3 of 5 measurements at or over the limit",
            facts={
                "trigger": {"metric": "error_rate", "k": 3, "n": 5},
                "measurements": [measurement] * 3,
                "rows": {"datasets": 12, "tags": 40},
                "rows_total": 52,
                "rows_limit": 500,
                "digests": {"before": three, "under": dict.fromkeys(three, "9" * 40), "after": three},
            },
        )
        op.about(made)
        walk(made, "apply_pre_authorisation", "start", "start_verification", "start_reporting")
        walk(deployment, "start_rollback", "complete_rollback")
        draft_documents(made)
        FollowUp.objects.create(
            application=deployment.application,
            release=deployment.release,
            key="full_review",
            label_ja="事前承認したロールバックの評価",
            label_en="Assessment of a pre-authorised rollback",
            due_at=now() + timedelta(hours=2),
        )
        FollowUp.objects.create(
            application=deployment.application,
            release=deployment.release,
            key="full_review",
            label_ja="緊急リリースの事後レビュー",
            label_en="Review after an emergency",
            due_at=now() - timedelta(hours=2),
        )
    return made
