"""Sample rows for the pages: a release in every state that matters, deployments, a monitoring period and a rollback.

Operations make what needs no worker; the rest is walked along the edges of the state machines.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from audit.clock import now
from audit.operation import operation
from environments.models import Account, Application, Environment
from environments.operations.configuration.create import create as create_configuration
from environments.operations.window.create_freeze import freeze
from releases.metric_sources.triggers import evaluate
from releases.models import (
    ApprovalRequest,
    DeployedVersion,
    Deployment,
    Document,
    Evidence,
    Fact,
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
from releases.operations.application.create import create_application
from releases.operations.approval.decide import approve
from releases.operations.release import plan, prepare, reschedule, submit
from releases.operations.rollback.complete_manually import draft_documents
from releases.operations.target.set_settings import create_target
from releases.operations.team.assign import assign
from releases.operations.window.request import request_window
from releases.queries.monitoring import checks_of, triggers_of
from tests.conftest import seconded

ActingAs = Callable[..., AbstractContextManager[Any]]
TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"  # the empty tree of Git
COMMIT = "98b7679a904d201227d35a776bef53983088aa88"  # the commit that `repository` makes, always the same
FOLDER = tempfile.TemporaryDirectory(prefix="ringi-seed-")  # deleted when the process ends


def walk(row: Any, *verbs: str) -> Any:
    """Move a row along its edges and save each one, as the database's guard requires."""
    for verb in verbs:
        getattr(row, verb)()
        row.save()
    return row


@cache
def repository() -> Path:
    """Make a bare repository with one commit of the developer, COMMIT, on main."""
    folder = Path(FOLDER.name)
    who = {"NAME": "Developer", "EMAIL": "developer@datasets.example", "DATE": "2026-11-01T00:00:00Z"}
    names = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}

    def git(*arguments: str) -> str:
        environment = {**os.environ, **names}
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    git("init", "--quiet", "--bare", "--initial-branch=main")
    git("hash-object", "-t", "tree", "-w", "/dev/null")
    git("update-ref", "refs/heads/main", git("commit-tree", TREE, "-m", "first"))
    return folder


def application(acting_as: ActingAs, slug: str = "datasets", name: str = "データセット基盤") -> Application:
    """Make an application with a target and a configuration in each environment."""
    with acting_as("manager"):
        made = create_application(slug=slug, name=name, repository=str(repository()))
    with acting_as("operator"):
        for environment in Environment.objects.all():
            target = create_target(
                application_id=made.pk,
                environment_id=environment.pk,
                root=f"/srv/{slug}/{environment.slug}",
                settings={},
            )
            seconded(target, acting_as)
            create_configuration(
                application_id=made.pk,
                environment_id=environment.pk,
                values={"DATABASE_POOL": "8"},
                secrets={"DATABASE_PASSWORD": "hidden-from-everyone"},
                reason="first",
            )
    return made  # fmt: skip


def draft(acting_as: ActingAs, of: Application, version: str, title: str = "メタデータ検索の追加") -> Release:
    """Plan a release that is complete except for its date."""
    with acting_as("manager"):
        made = plan.plan(application_id=of.pk, version=version, title=title)
        plan.add_change(made.pk, kind="feature", text="タグでデータセットを絞り込める", ticket="DS-101")
        plan.edit(
            made.pk,
            fields={
                "branch": "main", "commit": COMMIT, "tree": TREE, "reason": "利用部門の要望", "ticket": "DS-100",
                "impact": "検索画面", "security_impact": "なし", "risk": "medium", "test_plan": "結合試験まで",
                "rollback_plan": "1.2.0へ戻す",
            },
        )  # fmt: skip
        for configuration in of.configurations.all():
            plan.set_configuration(made.pk, configuration_id=configuration.pk)
    return made


def next_window_start() -> Any:
    """Return the start of the next regular window in production."""
    from releases.gates.window import opening

    production = Environment.objects.get(slug="production")
    any_application = Application.objects.first()
    assert any_application is not None
    return opening(any_application, production, now() + timedelta(days=20)).next_start


def in_review(acting_as: ActingAs, of: Application, version: str, start: Any = None) -> Release:
    """Bring a release to its approval request; the milestones of the tests are completed directly."""
    made = draft(acting_as, of, version)
    with acting_as("manager"):
        reschedule.set_scheduled_start(made.pk, start=start or next_window_start())
        prepare.lock_scope(made.pk)
        for role, who in (
            ("implementer", "operator"),
            ("verifier", "second_operator"),
            ("rollback_decision_maker", "manager"),
        ):
            assign(made.pk, team_role=role, account_id=Account.objects.get(username=who).pk, telephone="03-1234-5678")
        with operation("release:refresh_from_git", (Release, made.pk)) as op:
            moment = now()
            for kind, value in (("authors", ["developer@datasets.example"]), ("heads", ["main"])):
                Fact.objects.create(release=op.get(Release), kind=kind, value=value, observed_at=moment)
            Evidence.objects.create(
                application=of, environment=Environment.objects.get(slug="development"), kind="junit", test_type="unit",
                commit=COMMIT, tree=TREE, digest=version.ljust(64, "e"), values={"tests": 214}, summary="214 passed",
                content=b"<testsuite/>", uploaded_by=Account.objects.get(username="developer"),
            )  # fmt: skip
        with operation("release:complete_testing", (Release, made.pk)) as op:
            op.get(Release).complete_testing()
            prepare.done_milestone(op.get(Release), "complete_testing", Account.objects.get(username="manager"))
        submit.submit(made.pk)
    return Release.objects.get(pk=made.pk)


def make_deployment(
    acting_as: ActingAs, release: Release, environment: str, *verbs: str, steps: str = "succeeded"
) -> Deployment:
    """Make a deployment with its journal and output, walked along `verbs`."""
    where = Environment.objects.get(slug=environment)
    people = {a.username: a for a in Account.objects.all()}
    with acting_as("operator"), operation("test:run") as op:
        made = Deployment.objects.create(
            release=release, application=release.application, environment=where, requested_by=people["manager"],
            procedure=Procedure.objects.get(state="in_effect"),
            scheduled_by=people["operator"], scheduled_start_at=now(), scheduled_end_at=now() + timedelta(hours=4),
            plan_digest="d" * 64, started_at=now(), previous={"deployed_version": {}, "wanted_tree": release.tree},
            measured={"verification": {"code": "b" * 40, "configuration": "c" * 64, "data": "d" * 64}},
        )  # fmt: skip
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
    with acting_as("operator"), operation("test:watch") as op:
        began = now() - timedelta(minutes=count)
        procedure = deployment.release.procedure
        assert procedure is not None
        triggers, checks = triggers_of(procedure.document), checks_of(procedure.document)
        means = {"error_rate": 0.01, "response_time": 0.08, "resource_use": 0.4, "service_down": 0.0}
        monitoring = MonitoringPeriod.objects.create(
            deployment=deployment, rollback=rollback, interval_seconds=60, duration_seconds=86400, started_at=began,
            triggers=triggers, checks=checks, check_seconds=600,
            baseline={
                "metrics": {name: {"value": mean, "count": 30} for name, mean in means.items()},
                "source": "prometheus_text",
            },
        )  # fmt: skip
        op.about(monitoring)
        deployment.started_at = began - timedelta(minutes=4)
        deployment.save()
        before = MonitoringPeriod.objects.create(
            deployment=deployment, purpose="baseline", interval_seconds=60, duration_seconds=1800, triggers=triggers,
            started_at=began - timedelta(minutes=35), ended_at=began - timedelta(minutes=5), result="measured",
        )  # fmt: skip
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
            deployment=deployment, cause="error_rate", raised_at=now(), started_at=now(), restored_at=now(),
            note="3 of 5 measurements at or over the limit",
            facts={
                "trigger": {"metric": "error_rate", "k": 3, "n": 5}, "measurements": [measurement] * 3,
                "rows": {"datasets": 12, "tags": 40},
                "rows_total": 52, "rows_limit": 500,
                "digests": {"before": three, "under": dict.fromkeys(three, "9" * 40), "after": three},
            },
        )  # fmt: skip
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


def world(acting_as: ActingAs) -> dict[str, Any]:
    """Make all rows; return those that tests ask for by name."""
    of = application(acting_as)
    production = Environment.objects.get(slug="production")
    start = next_window_start()
    with acting_as("manager"):
        freeze(
            production.pk,
            name="年末年始",
            starts_at=now() + timedelta(days=30),
            ends_at=now() + timedelta(days=40),
            reason="繁忙期",
        )
        extra = request_window(
            production.pk, application_id=of.pk, name="臨時", starts_at=now() + timedelta(days=2),
            ends_at=now() + timedelta(days=2, hours=4), reason="取引先の依頼",
        )  # fmt: skip
    review = in_review(acting_as, of, "1.3.0", start)
    with acting_as("committee_a"):
        approval_request = ApprovalRequest.objects.get(release=review, state="in_review")
        approve(approval_request.pk, digest=approval_request.digest, comment="内容を確認した")
    other = application(acting_as, "portal", "ポータル")
    released = in_review(acting_as, other, "2.0.0", start)
    with (
        acting_as("operator"),
        operation("test:granted", (ApprovalRequest, released.approval_requests.get().pk), (Release, released.pk)) as op,
    ):
        op.get(ApprovalRequest).mark_approved()
        release = op.get(Release)
        release.mark_approved()
    with acting_as("operator"), operation("test:running", (Release, released.pk)) as op:
        walk(op.get(Release), "complete_final_check", "start")
        op.states[Release, released.pk] = "releasing"
    staging = make_deployment(acting_as, review, "staging", "schedule", "enqueue", "start", steps="running")
    back = make_deployment(
        acting_as, released, "production", "schedule", "enqueue", "start", "start_verification", "start_monitoring"
    )
    monitoring = monitored(acting_as, back)
    with acting_as("operator"), operation("test:force") as op:
        for environment in Environment.objects.all():
            DeployedVersion.objects.create(
                application=other, environment=environment, release=released, since=now(), basis="verified"
            )
        op.about(released)
    rollback = rolled_back(acting_as, back)
    waiting = make_deployment(
        acting_as, review, "development", "schedule", "enqueue", "start", "await_decision", steps="running"
    )
    plain = draft(acting_as, of, "1.4.0", "重複登録の修正")
    return {
        "application": of, "review": review, "released": released, "draft": plain, "round": approval_request, "extra": extra,
        "running": staging, "back": back, "waiting": waiting, "rollback": rollback, "metric_sources": monitoring,
        "step": staging.steps.get(ordinal=3), "document": Document.objects.filter(release=review).first(),
    }  # fmt: skip


def more(acting_as: ActingAs, world_: dict[str, Any], count: int) -> None:
    """Add `count` of the rows that lists and pages repeat."""
    production = Environment.objects.get(slug="production")
    of, draft_ = world_["application"], world_["draft"]
    developer = Account.objects.get(username="developer")
    with acting_as("manager"):
        for index in range(count):
            plan.plan(application_id=of.pk, version=f"3.0.{index}", title="another")
            plan.add_change(draft_.pk, kind="fix", text=f"fix {index}")
            request_window(
                production.pk, application_id=of.pk, name=f"extra {index}", starts_at=now() + timedelta(days=3 + index),
                ends_at=now() + timedelta(days=3 + index, hours=1), reason="more",
            )  # fmt: skip
        with operation("test:more") as op:
            op.about(draft_)
            for index in range(count):
                FollowUp.objects.create(
                    application=of,
                    release=world_["released"],
                    key="full_review",
                    label_ja=f"owed {index}",
                    label_en=f"owed {index}",
                    due_at=now() + timedelta(days=index + 1),
                )
                proof = Evidence.objects.create(
                    application=of, environment=production, kind="junit", test_type="unit", commit=COMMIT, tree=TREE,
                    digest=str(index).ljust(64, "f"), values={}, summary="ok", content=b"", uploaded_by=developer,
                )  # fmt: skip
                Evidence.objects.filter(environment=production, superseded_by=None).exclude(pk=proof.pk).update(
                    superseded_by=proof
                )
                made = Deployment.objects.create(
                    release=world_["review"], application=of, environment=Environment.objects.get(slug="staging"),
                    requested_by=developer, procedure=Procedure.objects.get(state="in_effect"),
                )  # fmt: skip
                walk(made, "cancel")
