"""The rollback is rehearsed when the same plan and content was deployed and rolled back before production."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from audit.clock import now
from releases.gates import rehearsal
from releases.gates.base import Answer, GateContext, Known, procedure_of
from releases.gates.content import digest
from releases.gates.evaluation import WAIVABLE
from releases.models import Release, Step
from releases.operations.release.sign_final_check import NOT_MEASURED, facts_now
from releases.procedures.parts import Gate

from .asking import alter, make, walk

GATE = Gate(
    key="rehearsed", type="rollback_rehearsal", tiers=("production",), ja="予行", en="Rehearsal", origin="default"
)


def asked(world: Any, release: Release) -> Answer:
    release = world.fresh(release)
    production = world.environments["production"]
    return rehearsal.ask(GateContext(release, production, procedure_of(release), now(), Known(release)), GATE)


def rehearse(world: Any, release: Release, environment: str = "staging") -> Any:
    deployment = world.verified_deployment(release, environment)
    began = now()
    for ordinal, phase, length in ((1, "deployment", 30), (2, "rollback", 20)):
        ended = began + timedelta(seconds=length)
        make(
            Step,
            deployment=deployment,
            ordinal=ordinal,
            phase=phase,
            step_type="command",
            parameters={},
            started_at=began,
            ended_at=ended,
            label_ja="x",
            label_en="x",
        )
    return alter(
        walk(deployment, "start_rollback", "complete_rollback"), plan_digest=digest(release.step_plan), ended_at=now()
    )


def test_a_rehearsal_needs_the_same_plan_forward_and_back(world: Any) -> None:
    release = world.tested()
    assert asked(world, release).result == "not_passed", "forward alone is no rehearsal"
    assert facts_now(release)["rollback_rehearsed"] == NOT_MEASURED
    rehearse(world, release)
    answer = asked(world, release)
    assert (
        answer.result == "passed" and "Staging" in answer.reason and "30 s" in answer.reason and "20 s" in answer.reason
    )
    assert facts_now(release)["rollback_rehearsed"] is True


def test_another_plan_or_content_does_not_count_as_rehearsed(world: Any) -> None:
    release = world.tested()
    deployment = rehearse(world, release)
    alter(deployment, previous={"wanted_tree": "0" * 40})
    assert asked(world, release).result == "not_passed"
    alter(deployment, previous={"wanted_tree": release.tree})
    assert asked(world, release).result == "passed"
    plan = release.step_plan
    plan["rollback"] = plan["rollback"][:-1]
    alter(release, step_plan=plan)
    assert asked(world, release).result == "not_passed"


def test_two_people_can_waive_the_rehearsal() -> None:
    assert "rollback_rehearsal" in WAIVABLE
