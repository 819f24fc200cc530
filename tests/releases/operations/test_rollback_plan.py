"""The deployments that may be rolled back, the people who decide, and a missing rollback shown before any approval."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import translation

from audit.actor import acting
from audit.clock import now
from audit.models import Event
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted, NotPossible
from environments.operations.access.grant import request_role
from environments.targets.target import Layout
from releases.models import DeployedVersion, Deployment, Fact, Release, Rollback, Step, StepOutput
from releases.operations.approval.submit import submit
from releases.operations.deployment.resolve import resolve
from releases.operations.release.refresh_from_git import refresh_from_git
from releases.operations.rollback import decide
from releases.operations.rollback.complete_manually import complete_manually
from releases.operations.rollback.confirm_late import confirm_late
from releases.operations.rollback.start import not_possible, retry
from tests.releases.gates.asking import COMMAND, alter, communicated, make, shown, walk


def pointing(world: Any, release: Release, environment: str = "production") -> DeployedVersion:
    """Record that a release is deployed."""
    where = {"application": world.application, "environment": world.environments[environment]}
    pointer: DeployedVersion = make(DeployedVersion, **where, release=release, since=now(), basis="verified")
    return pointer


@pytest.fixture
def ended(world: Any) -> Deployment:
    """A deployment in production whose monitoring has ended; its release is deployed."""
    deployment: Deployment = walk(
        world.scheduled(), "enqueue", "start", "start_verification", "start_monitoring", "succeed"
    )
    pointing(world, deployment.release)
    return alter(deployment, started_at=now())


def assessed(world: Any, deployment: Deployment) -> Rollback:
    with world.acting_as("operator"):
        alarm = decide.raise_(deployment.pk, cause="data_inconsistent", note="two totals differ")
    with world.acting_as("manager"):
        decide.assess(alarm.pk, impact="all users", method="the whole plan", timing="tonight")
    communicated(alarm)
    return Rollback.objects.get(pk=alarm.pk)


def counted(alarm: Rollback, **rows: int) -> bool:
    with acting(COMMAND):
        return decide.pre_authorise(alarm.pk, rows=rows)


def test_after_monitoring_the_decision_maker_and_a_committee_member_authorise(world: Any, ended: Deployment) -> None:
    ended = alter(ended, approval_request=None)
    alarm = assessed(world, ended)
    counted(alarm)
    with world.acting_as("second_operator"), pytest.raises(GateNotPassed, match="still needed from: Release committee"):
        decide.authorise(alarm.pk, digest=shown(alarm))
    for name in ("operator", "second_operator", "manager", "developer"):
        with world.acting_as(name), pytest.raises(NotPermitted, match="your role"):
            confirm_late(alarm.pk, digest=shown(alarm))
    with world.acting_as("committee_a"):
        confirm_late(alarm.pk, digest=shown(alarm), reason="the totals are wrong")
    with world.acting_as("committee_a"), pytest.raises(NotPermitted):
        confirm_late(alarm.pk, digest=shown(alarm))
    with world.acting_as("committee_b"), pytest.raises(NotPermitted, match="your role"):
        confirm_late(alarm.pk, digest=shown(alarm))
    with world.acting_as("operator"), pytest.raises(NotPermitted, match="Second Operator"):
        decide.authorise(alarm.pk, digest=shown(alarm))
    with world.acting_as("second_operator"):
        decide.authorise(alarm.pk, digest=shown(alarm))
    assert world.fresh(alarm).state == "authorised"
    assert [entry["roles"] for entry in world.fresh(alarm).facts["agreed"]] == [["committee"]]


def test_a_person_who_fits_only_the_other_place_agrees_and_one_without_role_does_not_count(
    world: Any, ended: Deployment
) -> None:
    procedure = ended.procedure
    late = {
        "subject": "late_rollback",
        "tier": "production",
        "stage": 1,
        "number": 1,
        "origin": "default",
        "default_fields": [],
    }
    kept = [
        row
        for row in procedure.content["approval_rules"]
        if (row["subject"], row["tier"]) != (late["subject"], late["tier"])
    ]
    rows = [{**late, "role": role} for role in ("rollback_decision_maker", "committee", "project_manager")]
    ended = alter(
        alter(ended, approval_request=None),
        procedure=alter(procedure, content={**procedure.content, "approval_rules": kept + rows}),
    )
    alarm = assessed(world, ended)
    counted(alarm)
    with acting(COMMAND):
        grant = request_role(world.people["committee_a"].pk, role="project_manager", reason="two hats")
    for name in ("committee_a", "committee_b"):
        with world.acting_as(name):
            confirm_late(alarm.pk, digest=shown(alarm))
    alter(grant, revoked_at=now())
    with world.acting_as("second_operator"), pytest.raises(GateNotPassed, match="still needed from: Project manager"):
        decide.authorise(alarm.pk, digest=shown(alarm))
    with world.acting_as("project_manager"):
        confirm_late(alarm.pk, digest=shown(alarm))
    with world.acting_as("second_operator"):
        decide.authorise(alarm.pk, digest=shown(alarm))


def test_after_monitoring_no_rollback_is_pre_authorised(world: Any, ended: Deployment) -> None:
    """The approval allowed it for the hours of monitoring; later it needs a new one."""
    document = {**ended.approval_request.document, "rollback_pre_authorised": {"on": True, "rows": 10}}
    alter(ended.approval_request, document=document)
    with acting(COMMAND):
        alarm = decide.raise_(ended.pk, cause="error_rate", note="3 of 5")
    assert not counted(alarm)
    assert world.fresh(alarm).state == "raised"


def test_during_monitoring_the_committee_is_not_asked(world: Any) -> None:
    deployment = walk(world.scheduled(), "enqueue", "start", "start_verification", "start_monitoring")
    pointing(world, deployment.release)
    alarm = assessed(world, deployment)
    counted(alarm)
    with world.acting_as("committee_a"), pytest.raises(NotPossible, match="Monitoring has not ended"):
        confirm_late(alarm.pk, digest=shown(alarm))
    with world.acting_as("second_operator"):
        decide.authorise(alarm.pk, digest=shown(alarm))


def test_the_newest_deployment_is_rolled_back_first(world: Any, ended: Deployment) -> None:
    other = make(
        Release, application=world.application, version="1.9.0", title="newer", author=world.people["operator"]
    )
    alter(DeployedVersion.objects.get(), release=other)
    with world.acting_as("operator"), pytest.raises(NotPossible, match=r"with the newest version.*1\.9\.0; roll"):
        decide.raise_(ended.pk, cause="data_inconsistent", note="x")
    newer = make(
        Deployment,
        release=other,
        application=ended.application,
        environment=ended.environment,
        requested_by=world.people["operator"],
    )
    walk(newer, "schedule", "enqueue", "start")
    with world.acting_as("operator"), pytest.raises(NotPossible, match="A newer deployment is in progress"):
        decide.raise_(ended.pk, cause="data_inconsistent", note="x")


def test_the_later_of_two_deployments_of_one_release_is_rolled_back_first(world: Any, ended: Deployment) -> None:
    where = {"application": ended.application, "environment": ended.environment}
    again = make(Deployment, release=ended.release, **where, requested_by=world.people["operator"])
    walk(again, "schedule", "enqueue", "start", "start_verification", "start_monitoring")
    with world.acting_as("operator"):
        with pytest.raises(NotPossible, match="Rollbacks start with the newest version"):
            decide.raise_(ended.pk, cause="data_inconsistent", note="x")
        assert not_possible(world.fresh(again)) == ""
        decide.raise_(again.pk, cause="data_inconsistent", note="x")


def test_an_expired_dump_permits_only_a_higher_patch(world: Any, ended: Deployment) -> None:
    ended = alter(ended, started_at=now() - timedelta(days=89))
    with world.acting_as("operator"):
        alarm = decide.raise_(ended.pk, cause="data_inconsistent", note="x")
    alter(ended, started_at=now() - timedelta(days=91))
    assert "higher patch" in not_possible(world.fresh(ended)), "it is asked again when it begins"
    with world.acting_as("manager"):
        decide.dismiss(alarm.pk, reason="the dump is gone")
    with world.acting_as("operator"), pytest.raises(NotPossible, match="90 days. Release a higher patch"):
        decide.raise_(ended.pk, cause="data_inconsistent", note="x")
    plan = ended.release.step_plan
    plan["rollback"] = [row for row in plan["rollback"] if row["step_type"] != "database_update"]
    alter(ended.release, step_plan=plan)
    with world.acting_as("operator"):
        decide.raise_(ended.pk, cause="data_inconsistent", note="nothing is restored")


def test_a_rollback_is_not_rolled_back_and_says_what_to_do(world: Any, ended: Deployment) -> None:
    walk(ended, "start_rollback")
    with (
        world.acting_as("operator"),
        pytest.raises(NotPossible, match="retry the failed step, or complete the rollback manually"),
    ):
        decide.raise_(ended.pk, cause="data_inconsistent", note="x")
    walk(ended, "complete_rollback")
    with (
        world.acting_as("operator"),
        pytest.raises(NotPossible, match="is already rolled back.*release a higher patch"),
    ):
        decide.raise_(ended.pk, cause="data_inconsistent", note="x")


def test_a_rollback_is_authorised_only_after_rows_are_counted_or_uncountable(world: Any) -> None:
    deployment = walk(world.scheduled(), "enqueue", "start", "start_verification", "start_monitoring")
    pointing(world, deployment.release)
    alarm = assessed(world, deployment)
    with world.acting_as("second_operator"), pytest.raises(GateNotPassed, match="still counting the rows"):
        decide.authorise(alarm.pk, digest=shown(alarm))

    with acting(COMMAND):
        assert not decide.pre_authorise(alarm.pk, rows={}, exact=False, fault="connection refused")
    facts = world.fresh(alarm).facts
    assert (facts["rows_total"], facts["rows_fault"]) == (None, "connection refused")
    with world.acting_as("second_operator"):
        decide.authorise(alarm.pk, digest=shown(alarm))


def test_a_rehearsal_is_no_cause_in_production(world: Any, ended: Deployment) -> None:
    with (
        world.acting_as("operator"),
        pytest.raises(InvalidInput, match="The release procedure does not name this cause"),
    ):
        decide.raise_(ended.pk, cause="rehearsal", note="x")
    staged = world.verified_deployment(ended.release, "staging")
    pointing(world, ended.release, "staging")
    with world.acting_as("operator"):
        alarm = decide.raise_(staged.pk, cause="rehearsal", note="before production")
    assert not alarm.critical


@pytest.mark.parametrize("way", ["none", "reverse", "restore"])
def test_a_plan_without_a_rollback_is_shown_before_approval(world: Any, way: str) -> None:
    """1.4.0 brings a migration that is a program: reading it does not show whether it can be undone."""
    release = world.tested("1.4.0")
    plan = release.step_plan
    for row in plan["rollback"]:
        if row["step_type"] == "database_update":
            row["parameters"]["rollback_method"] = way
    release = alter(release, step_plan=plan)
    with world.acting_as("manager"):
        if way == "restore":
            assert submit(release.pk).document["migrations"]["commit"] == release.commit
            return
        with pytest.raises(GateNotPassed, match=r"0003_normalised_titles\.py"):
            submit(release.pk)
    assert world.fresh(release).state == "testing_completed"


def test_the_migrations_are_read_once_and_an_unreachable_repository_invalidates_no_approval(world: Any) -> None:
    release, approval_request = world.submitted()
    fact = Fact.objects.get(release=release, kind="migrations")
    paths = [row["path"] for row in fact.value["files"]]
    assert any(path.endswith("0002_tags.sql") for path in paths)
    alter(world.application, repository="/nowhere")
    with world.acting_as("manager"):
        refresh_from_git(release.pk)
    again = Fact.objects.get(pk=fact.pk)
    assert (again.value, again.observed_at) == (fact.value, fact.observed_at)
    assert approval_request.document["migrations"] == fact.value


LEFT: dict[str, Any] = {"maintenance": "off", "service": "none"}


def failed(world: Any) -> tuple[Deployment, Rollback]:
    deployment = walk(world.scheduled(), "enqueue", "start", "start_verification", "start_monitoring")
    pointing(world, deployment.release)
    alarm = assessed(world, deployment)
    walk(alarm, "apply_pre_authorisation", "start", "fail")
    return walk(deployment, "start_rollback", "fail_rollback"), alarm


def test_a_manual_rollback_takes_two_people_and_the_usual_report(world: Any) -> None:
    deployment, alarm = failed(world)
    with world.acting_as("manager"), pytest.raises(NotPermitted):
        complete_manually(alarm.pk, **LEFT, reason="I did it")
    with world.acting_as("operator"):
        with pytest.raises(InvalidInput):
            complete_manually(alarm.pk, **LEFT, reason=" ")
        complete_manually(alarm.pk, **LEFT, reason="restored from the dump by hand")
        with pytest.raises(NotPermitted, match="A different person from the one before"):
            complete_manually(alarm.pk, **LEFT, reason="and so say I")
    assert world.fresh(alarm).state == "failed"
    with world.acting_as("second_operator"):
        complete_manually(alarm.pk, **LEFT, reason="I compared the totals")
    assert world.fresh(alarm).state == "reporting"
    report = alarm.documents.get(kind="report").body
    assert "Operator" in report and "Second Operator" in report
    with world.acting_as("second_operator"), pytest.raises(NotPossible):
        complete_manually(alarm.pk, **LEFT, reason="again")
    with world.acting_as("second_operator"):
        resolve(deployment.pk, how="unknown", reason="by hand")
    assert world.fresh(deployment).state == "resolved"


def test_active_maintenance_is_measured_and_accepted_problems_need_a_tick(world: Any) -> None:
    _deployment, alarm = failed(world)
    flag = Layout(Path(world.targets["production"].root)).maintenance
    flag.parent.mkdir(parents=True, exist_ok=True)
    flag.touch()
    with world.acting_as("operator"):
        with pytest.raises(InvalidInput, match="still on .as measured"):
            complete_manually(alarm.pk, **LEFT, reason="restored by hand")
        complete_manually(alarm.pk, **LEFT, reason="restored by hand", accepted=True)
    (entry,) = world.fresh(alarm).facts["manual_completions"]
    assert (entry["maintenance"], entry["measured"]["maintenance"]) == ("off", "on")
    event = Event.objects.filter(kind="operation", operation="rollback:complete_manually").latest("at")
    assert event.contents["after"]["accepted_problems"] == ["Maintenance mode is still on (as measured)."]
    flag.unlink()
    with world.acting_as("second_operator"):
        with pytest.raises(InvalidInput, match="does not run as it should .as stated"):
            complete_manually(alarm.pk, maintenance="off", service="stopped", reason="compared")
        with pytest.raises(InvalidInput, match="still on .as stated"):
            complete_manually(alarm.pk, maintenance="on", service="none", reason="compared")
        complete_manually(alarm.pk, **LEFT, reason="compared")
    report = alarm.documents.get(kind="report").body
    assert "メンテナンスモード" in report and "⚠" in report


def test_a_stopped_service_is_measured_and_causes_a_warning(world: Any) -> None:
    _deployment, alarm = failed(world)
    alter(world.targets["production"], options={"service": {"start": ["/bin/true"]}})
    with world.acting_as("operator"), pytest.raises(InvalidInput, match="does not run as it should .as measured"):
        complete_manually(alarm.pk, maintenance="off", service="running", reason="restored by hand")
    assert "manual_completions" not in world.fresh(alarm).facts


def test_a_rollback_of_a_resolved_deployment_is_not_retried(world: Any) -> None:
    """Its steps cannot run in any state of the deployment; by hand it still comes to its end."""
    deployment, alarm = failed(world)
    step = make(Step, deployment=deployment, phase="rollback", ordinal=90, step_type="command", parameters={})
    walk(step, "mark_ready", "claim", "fail")
    with world.acting_as("second_operator"):
        resolve(deployment.pk, how="unknown", reason="by hand")
    with world.acting_as("operator"):
        with pytest.raises(NotPossible, match="Complete its rollback manually instead of retrying it"):
            retry(alarm.pk, reason="again")
        complete_manually(alarm.pk, **LEFT, reason="restored from the dump by hand")
    assert world.fresh(alarm).state == "failed"
    with world.acting_as("second_operator"):
        complete_manually(alarm.pk, **LEFT, reason="I compared the totals")
    assert world.fresh(alarm).state == "reporting"


def test_only_a_failed_rollback_is_completed_manually(world: Any) -> None:
    deployment = walk(world.scheduled(), "enqueue", "start", "start_verification", "start_monitoring")
    pointing(world, deployment.release)
    alarm = assessed(world, deployment)
    with world.acting_as("operator"), pytest.raises(NotPossible):
        complete_manually(alarm.pk, **LEFT, reason="by hand")
    assert "manual_completions" not in world.fresh(alarm).facts


def test_report_cause_and_prevention_are_drafted_from_records(world: Any) -> None:
    deployment, alarm = failed(world)
    step = make(
        Step,
        deployment=deployment,
        ordinal=90,
        phase="deployment",
        step_type="command",
        parameters={},
        label_ja="移行",
        label_en="Migrate",
        started_at=now(),
        failure="exit code 7",
    )
    walk(step, "mark_ready", "claim", "fail")
    with acting(COMMAND):
        StepOutput.objects.create(step=step, fencing_token=1, text="line one\nTraceback: totals differ\n")
    alter(deployment, started_at=alarm.raised_at - timedelta(minutes=5))
    alter(alarm, facts={**alarm.facts, "rows": {"dataset": 3}, "digests": {"after": {"code": "abc"}}})
    with translation.override("en"):  # in the organisation's language, whatever the language of the operation
        draft_documents_of(alarm)
    texts = {document.kind: document.body for document in alarm.documents.all()}
    report = texts["report"]
    assert "two totals differ" in report and "all users" in report and "dataset: 3" in report and "コード abc" in report
    assert "Traceback: totals differ" in report
    assert report.index("デプロイ開始（予約：") < report.index("警報：Operator")
    assert "exit code 7" in texts["cause"] and "Datasets can be tagged" in texts["cause"]
    assert "原因をもとに記入" in texts["prevention"]


def draft_documents_of(alarm: Rollback) -> None:
    from audit.operation import operation
    from releases.operations.rollback.complete_manually import draft_documents

    with acting(COMMAND), operation("test:draft", (Rollback, alarm.pk)) as op:
        draft_documents(op.get(Rollback))
