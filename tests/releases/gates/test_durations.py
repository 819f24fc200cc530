"""The estimate for a window uses the durations of earlier steps, as soon as there are enough of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from audit.clock import now
from environments.models import ChangeWindow, Environment
from releases.gates.durations import ENOUGH, Durations, durations
from releases.models import Deployment, Procedure, Release, Step, StepAttempt
from releases.operations.step.hold import too_late
from releases.queries.decision_request import last_rollback_start

from .asking import alter, ask, make, walk

NAME = ("deployment", "code_deploy", "コードデプロイ")


def past(world: Any, *seconds: float, environment: str = "production", **fields: Any) -> None:
    """Let deployments have run, one for each length in seconds, with one step of that length."""
    place: Environment = world.environments[environment]
    given = {
        "phase": NAME[0],
        "step_type": NAME[1],
        "label_ja": NAME[2],
        "label_en": "Deploy the code",
        "outcome": "succeeded",
        **fields,
    }
    outcome, ends = given.pop("outcome"), given.pop("ends", "succeed")
    for number, lasted in enumerate(seconds):
        begun = now() - timedelta(days=30 + number)
        release = make(
            Release,
            application=world.application,
            version=f"0.{Release.objects.count()}.0",
            title="past",
            author=world.people["operator"],
        )
        deployment = make(
            Deployment,
            release=release,
            application=world.application,
            environment=place,
            started_at=begun,
            requested_by=world.people["operator"],
            procedure=Procedure.objects.get(state="in_effect"),
        )
        step = make(
            Step,
            deployment=deployment,
            ordinal=1,
            parameters={},
            estimate_seconds=60,
            fencing_token=1,
            started_at=begun,
            ended_at=begun + timedelta(seconds=lasted),
            **given,
        )
        walk(step, "mark_ready", "claim", ends)
        make(StepAttempt, step=step, fencing_token=1, key=str(step.pk), worker="w", started_at=begun, outcome=outcome)


def lasts(world: Any, environment: str = "production") -> Durations:
    release = Release(application=world.application)
    return durations(release, world.environments[environment].pk)


def test_the_estimate_is_the_90th_percentile_of_enough_earlier_steps(world: Any) -> None:
    past(world, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
    assert lasts(world).past == {NAME: (pytest.approx(91), 10)}
    assert lasts(world, "staging").past == {}, "another environment has another past"


def test_too_few_failed_or_other_steps_keep_the_planned_estimate(world: Any) -> None:
    past(world, *[500] * (ENOUGH - 1))
    past(world, 500, ends="fail", outcome="failed")
    past(world, 500, outcome="unknown")  # a person marked it as succeeded, hours later
    past(world, 500, phase="rollback")
    past(world, 500, environment="staging")
    step = {"step_type": NAME[1], "label_ja": NAME[2], "estimate_seconds": 60}
    assert lasts(world).seconds("deployment", step) == 60
    past(world, 500)
    assert lasts(world).seconds("deployment", step) == 500
    assert lasts(world).seconds("rollback", step) == 60


def planned(world: Any) -> Release:
    """A release whose plan has one step with known past durations, and one rollback step."""
    step = {"step_type": NAME[1], "label_ja": NAME[2], "label_en": "Deploy", "parameters": {}, "required": True}
    plan = {"deployment": [{**step, "estimate_seconds": 60}], "rollback": [{**step, "estimate_seconds": 120}]}
    return alter(world.planned(), step_plan=plan)


def test_the_window_gate_names_the_estimate_and_its_number_of_steps(world: Any) -> None:
    release = planned(world)
    ends = ChangeWindow.objects.get(rrule="").ends_at
    assert "3 minutes are needed, with the rollback (by the estimates" in ask(world, release, "change_window").reason
    assert ask(world, release, "change_window", at=ends - timedelta(seconds=180)).result == "passed"
    past(world, *[1800] * 6)
    said = ask(world, release, "change_window").reason
    assert "32 minutes are needed" in said and "1 of 2 steps by the 90th percentile of at least 6 earlier" in said
    late = ask(world, release, "change_window", at=ends - timedelta(seconds=1919))
    assert late.result == "not_passed" and "latest safe start" in late.reason and "90th percentile" in late.reason
    assert ask(world, release, "change_window", at=ends - timedelta(seconds=1920)).result == "passed"
    past(world, *[600] * 5, phase="rollback")
    both = ask(world, release, "change_window").reason
    assert "40 minutes are needed, with the rollback (by the 90th percentile of at least 5 earlier" in both


def test_a_step_and_the_decision_time_use_past_durations_too(world: Any) -> None:
    release = planned(world)
    ends = now() + timedelta(hours=1)
    deployment = make(
        Deployment,
        release=release,
        application=world.application,
        environment=world.environments["production"],
        scheduled_end_at=ends,
        requested_by=world.people["operator"],
        procedure=Procedure.objects.get(state="in_effect"),
    )
    step = Step(deployment=deployment, phase="deployment", step_type=NAME[1], label_ja=NAME[2], estimate_seconds=60)
    assert last_rollback_start(deployment) == ends - timedelta(seconds=120) and not too_late(step, deployment, now())
    past(world, *[600] * 5, phase="rollback")
    past(world, *[3000] * 5)
    fresh = Deployment.objects.get(pk=deployment.pk)
    assert last_rollback_start(fresh) == ends - timedelta(seconds=600)
    assert "the rollback decision time" in too_late(step, fresh, now() + timedelta(minutes=1))
