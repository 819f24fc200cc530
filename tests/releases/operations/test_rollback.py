"""The decisions of a rollback: a complete form, the decision maker of the team, and no close without a report."""

from __future__ import annotations

from typing import Any

import pytest

from audit.actor import acting
from audit.operation import operation
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted, NotPossible
from releases.models import Deployment, Rollback, Step
from releases.operations.document import review
from releases.operations.rollback import decide
from releases.operations.rollback.complete_manually import draft_documents
from releases.queries.rollback_digests import digests
from tests.releases.gates.asking import COMMAND, alter, communicated, make, shown, walk


@pytest.fixture
def deployment(world: Any) -> Deployment:
    """A monitored deployment in production."""
    deployment: Deployment = walk(world.scheduled(), "enqueue", "start", "start_verification", "start_monitoring")
    return deployment


def test_impact_method_and_timing_come_first_and_the_team_names_the_decision_maker(
    world: Any, deployment: Deployment
) -> None:
    with world.acting_as("operator"):
        alarm = decide.raise_(deployment.pk, cause="data_inconsistent", note="two totals differ")
        with pytest.raises(NotPossible):
            decide.raise_(deployment.pk, cause="major_failure", note="again")
    with world.acting_as("second_operator"), pytest.raises(NotPossible):
        decide.authorise(alarm.pk, digest=shown(alarm), reason="at once")
    with world.acting_as("manager"):
        with pytest.raises(InvalidInput):
            decide.assess(alarm.pk, impact="all users", method=" ", timing="now")
        decide.assess(alarm.pk, impact="all users", method="the whole plan", timing="now")
    with acting(COMMAND):
        decide.pre_authorise(alarm.pk, rows={})
    communicated(alarm)
    for name in ("operator", "manager"):
        with world.acting_as(name), pytest.raises(NotPermitted, match="Second Operator"):
            decide.authorise(alarm.pk, digest=shown(alarm))
    with world.acting_as("second_operator"):
        decide.authorise(alarm.pk, digest=shown(alarm))
    assert (world.fresh(alarm).state, world.fresh(alarm).authorised_by.username) == ("authorised", "second_operator")


def test_a_dismissed_alarm_has_a_reason_and_may_be_raised_again(world: Any, deployment: Deployment) -> None:
    with world.acting_as("operator"):
        alarm = decide.raise_(deployment.pk, cause="performance_drop", critical=False, note="the lists")
        with pytest.raises(NotPermitted):
            decide.dismiss(alarm.pk, reason="no")
    with world.acting_as("manager"):
        with pytest.raises(InvalidInput):
            decide.dismiss(alarm.pk, reason=" ")
        decide.dismiss(alarm.pk, reason="the network")
    with world.acting_as("operator"):
        decide.raise_(deployment.pk, cause="performance_drop", critical=False, note="still")
    assert Rollback.objects.filter(deployment=deployment).count() == 2


def test_a_rollback_does_not_close_without_report_cause_prevention_and_assessment(
    world: Any, deployment: Deployment
) -> None:
    with world.acting_as("operator"):
        alarm = decide.raise_(deployment.pk, cause="major_failure", note="down")
    walk(alarm, "apply_pre_authorisation", "start", "start_verification", "start_reporting")
    with acting(COMMAND), operation("test:draft", (Rollback, alarm.pk)) as op:
        draft_documents(op.get(Rollback))
    assert [paper.kind for paper in alarm.documents.all()] == ["report", "cause", "prevention"]
    for paper in alarm.documents.all():
        with world.acting_as("manager"), pytest.raises(GateNotPassed, match="Not approved yet"):
            decide.close(alarm.pk)
        with world.acting_as("tester"):
            review.check_content(paper.pk, digest=shown(paper))
        with world.acting_as("manager"):
            review.approve(paper.pk, digest=shown(paper))
    with world.acting_as("manager"):
        with pytest.raises(GateNotPassed, match="assessment"):
            decide.close(alarm.pk)
        decide.assess(alarm.pk, impact="all users", method="the whole plan", timing="at once")
        communicated(alarm)
        decide.close(alarm.pk)
    assert world.fresh(alarm).state == "closed" and world.fresh(alarm).closed_at is not None


def test_a_rollback_raised_by_a_process_names_no_person(world: Any, deployment: Deployment) -> None:
    with acting(COMMAND):
        alarm = decide.raise_(deployment.pk, cause="error_rate", note="3 of 5")
    assert alarm.raised_by is None


BACKUP = {"configuration": "c", "data": "d", "schema": "s"}


@pytest.mark.parametrize(
    ("backup", "said", "expected"),
    [
        (BACKUP, {"restored": True, "data": "d"}, None),
        (BACKUP, {"restored": False, "data": "with what people wrote"}, {"data": "with what people wrote"}),
        (BACKUP, {"nothing": True, "data": "with what people wrote"}, {"data": "with what people wrote"}),
        (BACKUP, {"data": "with what people wrote", "schema": "s"}, {"data": "with what people wrote"}),
        (BACKUP, {"data": "with what people wrote", "schema": "another"}, None),
        (BACKUP, {}, None),
        (BACKUP, None, {"data": "after"}),
        (None, {"restored": False, "data": "as it is"}, {"data": "as it is"}),
    ],
)
def test_a_rollback_must_restore_the_previous_state_except_kept_data(
    world: Any, deployment: Deployment, backup: dict[str, str] | None, said: dict[str, Any] | None, expected: Any
) -> None:
    """backup: result of the backup step (None: failed); said: result of the rollback's database step, if any."""
    base = {"deployed_version": {"tree": "t", "configuration_digest": "c"}}
    deployment = alter(
        deployment, previous=base, measured={"rollback": {"code": "t", "configuration": "c", "data": "after"}}
    )
    for kind, phase, result in (("backup", "deployment", backup), ("database_update", "rollback", said)):
        if result is not None:
            row = make(
                Step,
                deployment=deployment,
                phase=phase,
                ordinal=len(kind),
                step_type=kind,
                parameters={},
                result=result,
            )
            walk(row, "mark_ready", "claim", "succeed")
    found = digests(deployment)
    before = {"code": "t", "configuration": "c", "data": "d" if backup else ""}
    assert found["before"] == before
    assert found.get("expected") == (before | expected if expected else None)
