"""A step has a deadline and, in some plans, a longest silence: TERM, then KILL, and the target's state is reported."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit.actor import acting
from releases.models import Deployment, StepOutput
from releases.operations.deployment import decide
from releases.operations.deployment.enqueue import enqueue
from releases.operations.step import resume
from releases.procedures.document import Procedure as Content
from releases.worker.executor import run_from

from .conftest import TRUE, WORKER, at_work, first, row, states


def python(*lines: str) -> list[str]:
    return [sys.executable, "-uc", "import os, pathlib, signal, sys, time\n" + "\n".join(lines)]


def limited(
    argv: list[str], *, deadline: float | None = None, silence: float | None = None, **more: Any
) -> dict[str, Any]:
    return {**row(argv, **more), "deadline_seconds": deadline, "no_output_timeout_seconds": silence}


def lives(pid: int) -> bool:
    """Tell whether a process runs; an ended one that was not reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def work(deployment: Deployment) -> float:
    began = time.monotonic()
    with acting(WORKER):
        run_from(first(deployment).pk)
    return time.monotonic() - began


def test_a_step_beyond_its_deadline_is_ended(world: Any, queued: Callable[..., Deployment], tmp_path: Path) -> None:
    ended, never = tmp_path / "told", tmp_path / "never"
    script = python(
        f"signal.signal(signal.SIGTERM, lambda *a: (pathlib.Path({str(ended)!r}).touch(), os._exit(1)))",
        "for n in range(600): print(n, flush=True); time.sleep(0.1)",
        f"pathlib.Path({str(never)!r}).touch()",
    )
    deployment = queued(limited(script, deadline=1.5, repeatable=True), row(TRUE))
    assert work(deployment) < 10
    assert ended.exists() and not never.exists()
    step = first(deployment)
    assert (
        re.search(r"did not end within [12] s", step.failure)
        and "The deployment target does not show that this step is complete" in step.failure
    )
    assert step.attempts.get().probe == "not_done"
    assert states(deployment)[1:] == ["cancelled", "cancelled"]


def test_a_step_without_output_for_too_long_is_ended(
    world: Any, queued: Callable[..., Deployment], tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    script = python(
        "print('begun', flush=True)", f"pathlib.Path({str(pid)!r}).write_text(str(os.getpid()))", "time.sleep(60)"
    )
    deployment = queued(limited(script, silence=1.0, repeatable=True))
    assert work(deployment) < 15
    assert "wrote nothing for 1 s" in first(deployment).failure
    assert not lives(int(pid.read_text()))
    text = "".join(StepOutput.objects.values_list("text", flat=True))
    assert (
        "begun" in text
        and "wrote nothing" in text
        and "The deployment target does not show that this step is complete" in text
    )


def test_a_step_with_regular_output_continues(world: Any, queued: Callable[..., Deployment]) -> None:
    deployment = queued(limited(python("for n in range(8): print(n, flush=True); time.sleep(0.3)"), silence=1.5))
    work(deployment)
    assert world.fresh(deployment).state == "succeeded"


def test_a_step_without_a_silence_limit_may_be_silent(world: Any, queued: Callable[..., Deployment]) -> None:
    deployment = queued(row(python("time.sleep(2.5)")))
    work(deployment)
    assert world.fresh(deployment).state == "succeeded"


def test_a_step_that_ignores_term_is_killed(world: Any, queued: Callable[..., Deployment], tmp_path: Path) -> None:
    """It ignores TERM, and so do its children; five seconds later none of them lives."""
    pids = tmp_path / "pids"
    script = python(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "child = os.fork()",
        f"open({str(pids)!r}, 'a').write(str(os.getpid()) + chr(10))",
        "time.sleep(60)",
    )
    deployment = queued(limited(script, silence=1.0))
    assert 5 < work(deployment) < 25
    found = [int(line) for line in pids.read_text().split()]
    assert len(found) == 2
    assert not [pid for pid in found if lives(pid)]


def test_a_possible_effect_is_decided_by_a_person(
    world: Any, approved_deployment: Callable[..., Deployment], tmp_path: Path
) -> None:
    """Stopped in the middle of a step that must not run twice: its outcome is unknown, and a person decides."""
    deployment = approved_deployment(limited(python("time.sleep(60)"), deadline=1.0), row(TRUE))
    with acting(WORKER):
        enqueue(deployment.pk)
    work(deployment)
    step = first(deployment)
    assert (world.fresh(deployment).state, step.state) == ("awaiting_decision", "outcome_unknown")
    assert "The state of the deployment target is unknown" in step.failure


def test_an_existing_effect_is_confirmed_and_not_repeated(
    world: Any, approved_deployment: Callable[..., Deployment], tmp_path: Path
) -> None:
    effect = tmp_path / "effect"
    probe = python(f"sys.exit(0 if pathlib.Path({str(effect)!r}).exists() else 3)")
    script = python(f"open({str(effect)!r}, 'a').write('x')", "time.sleep(60)")
    deployment = approved_deployment(limited(script, silence=1.0, probe_argv=probe), row(TRUE))
    with acting(WORKER):
        enqueue(deployment.pk)
    work(deployment)
    assert (
        first(deployment).state == "outcome_unknown"
        and "The deployment target shows the effect of this step" in first(deployment).failure
    )
    with world.acting_as("second_operator"):
        resume.mark_succeeded(first(deployment).pk, reason="the command hung after its work")
    assert effect.read_text() == "x" and states(deployment)[:2] == ["succeeded", "ready"]


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (True, "The deployment target shows the effect of this step"),
        (False, "The deployment target does not show that this step is complete"),
    ],
)
def test_a_stop_reports_the_state_of_the_target(
    world: Any, queued: Callable[..., Deployment], tmp_path: Path, made: bool, words: str
) -> None:
    effect, ended = tmp_path / "effect", tmp_path / "told"
    probe = python(f"sys.exit(0 if pathlib.Path({str(effect)!r}).exists() else 3)")
    script = python(
        f"signal.signal(signal.SIGTERM, lambda *a: (pathlib.Path({str(ended)!r}).write_text('told'), os._exit(1)))",
        *([f"pathlib.Path({str(effect)!r}).touch()"] if made else []),
        f"pathlib.Path({str(tmp_path / 'begun')!r}).touch()",
        "time.sleep(60)",
    )
    deployment = queued(row(script, probe_argv=probe), row(TRUE))
    worker = at_work(first(deployment).pk)
    until = time.monotonic() + 20
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < until
        time.sleep(0.02)
    with world.acting_as("operator"):
        decide.stop(deployment.pk, reason="wrong version")
    worker.join(30)
    assert not worker.is_alive() and ended.read_text() == "told", "TERM comes before KILL"
    stopped = first(deployment)
    assert (stopped.state, stopped.attempts.get().outcome) == ("stopped", "stopped")
    assert words in stopped.failure and "A person stopped the step" in stopped.failure
    assert world.fresh(deployment).state == "stopped"


def test_limits_come_from_the_procedure(world: Any) -> None:
    """A step plan of the procedure sets them; the plan of a release and the approved content hold them."""
    from releases.models import Procedure
    from releases.queries.step_plan import step_plan

    row_ = Procedure.objects.get(state="in_effect")
    text = dict(row_.content)
    steps = [dict(step) for step in text["plans"]["deployment"]]
    steps[0] |= {"deadline_seconds": 900, "no_output_timeout_seconds": 120}
    text["plans"] = {**text["plans"], "deployment": steps}
    plan = step_plan(Content.model_validate(text), "", "")
    assert (plan["deployment"][0]["deadline_seconds"], plan["deployment"][0]["no_output_timeout_seconds"]) == (900, 120)
    assert "deadline_seconds" not in plan["deployment"][1]
