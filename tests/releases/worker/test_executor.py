"""Steps run one after the other on the real target; a lost attempt is probed; a fault awaits a person."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection

from audit.actor import acting
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from audit.trace import hidden
from environments import key_ring
from environments.models import DeploymentTarget
from environments.targets.base import StepFailed
from releases import step_types
from releases.models import DeployedVersion, Deployment, Step, StepAttempt, StepOutput
from releases.operations.deployment import decide
from releases.operations.deployment.enqueue import enqueue
from releases.operations.step import resume
from releases.operations.step.claim import claim
from releases.operations.step.outcome import record_success
from releases.worker.context import context_of, facts_of
from releases.worker.executor import Leaving, run_from
from releases.worker.poll import stopping_deployments
from tests.releases.gates.asking import alter

from .conftest import TRUE, WORKER, at_work, expire, first, jobs, row, states


def appending(path: Path, line: str) -> list[str]:
    """A command whose effects can be counted."""
    return ["/usr/bin/env", "python3", "-c", f"open({str(path)!r}, 'a').write({line!r} + chr(10))"]


def lost_attempt(step: Step) -> None:
    """Make a step's effect like a worker that dies before it reports: no outcome, and the lease ends."""
    taken = claim(step.pk, worker="dies")
    assert taken is not None
    kind = step_types.by_name(step.step_type)
    context = context_of(taken.step, taken.fencing_token, lambda chunk: None, lambda: None, 60, facts_of(taken.step))
    try:
        kind.run(context, kind.parameters(**step.parameters))
    except StepFailed:
        pass  # the command failed and no process recorded that
    expire(step)


def test_a_deployment_succeeds_through_all_its_steps(
    world: Any, queued: Callable[..., Deployment], tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    forward = [row(appending(seen, name)) for name in ("one", "two", "three")]
    deployment = queued(*forward, verify=(row(appending(seen, "check")),))
    with acting(WORKER):
        run_from(first(deployment).pk)
    assert seen.read_text().split() == ["one", "two", "three", "check"]
    assert states(deployment) == ["succeeded"] * 4
    deployment = world.fresh(deployment)
    assert deployment.state == "succeeded"
    assert DeployedVersion.objects.get(environment=deployment.environment).release_id == deployment.release_id
    assert set(StepAttempt.objects.values_list("fencing_token", "outcome")) == {(1, "succeeded")}


def test_a_worker_that_was_asked_to_end_hands_the_next_step_over(
    queued: Callable[..., Deployment], monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = queued(row(TRUE), row(TRUE))
    monkeypatch.setattr(Leaving, "requested", True)
    with acting(WORKER):
        run_from(first(deployment).pk)
    following = deployment.steps.get(ordinal=2)
    assert (states(deployment)[:2], following.owner) == (["succeeded", "ready"], "")
    assert jobs("development")[-1] == ("releases.jobs.run_step", {"step_id": following.pk})
    monkeypatch.setattr(Leaving, "requested", False)
    with acting(WORKER):
        run_from(following.pk)
    assert states(deployment) == ["succeeded"] * 3
    assert set(StepAttempt.objects.values_list("fencing_token", "outcome")) == {(1, "succeeded")}


def test_a_folder_that_became_another_targets_prevents_the_start(
    world: Any, queued: Callable[..., Deployment], tmp_path: Path
) -> None:
    deployment = queued(row(appending(tmp_path / "seen", "one")))
    own = Path(world.targets["development"].root)
    own.rename(own.with_name("kept"))
    own.symlink_to(world.targets["production"].root)
    with acting(WORKER):
        run_from(first(deployment).pk)
    assert (
        "Another deployment target is already there" in first(deployment).failure and not (tmp_path / "seen").exists()
    )


def test_a_deployment_uses_the_approved_target(world: Any, approved_deployment: Callable[..., Deployment]) -> None:
    deployment = approved_deployment(row(TRUE))
    with acting(WORKER):
        enqueue(deployment.pk)
    assert (
        facts_of(first(deployment)).target.settings
        == DeploymentTarget.objects.get(pk=world.targets["production"].pk).options
    )
    alter(world.targets["production"], options={"migrate": ["/bin/other"]})
    with pytest.raises(StepFailed, match="not those that were approved"):
        facts_of(first(deployment))


def test_step_output_is_kept_with_masked_secrets(world: Any, queued: Callable[..., Deployment], database: str) -> None:
    deployment = queued(row(["/bin/echo", "the word is hidden-development, said loudly"]))
    with acting(WORKER):
        run_from(first(deployment).pk)
    text = "".join(StepOutput.objects.filter(step=first(deployment)).values_list("text", flat=True))
    assert "said loudly" in text and "hidden-development" not in text
    assert "hidden-development" in hidden(), "nor does a line of the log show it"
    assert len(first(deployment).attempts.get().output_digest) == 64
    with psycopg.connect(database) as raw:
        found = raw.execute(
            "SELECT count(*) FROM releases_step WHERE result::text LIKE '%hidden-development%'"
        ).fetchone()
    assert found == (0,)


def test_a_finished_effect_of_a_lost_attempt_is_not_repeated(
    world: Any, queued: Callable[..., Deployment], tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    deployment = queued(row(appending(seen, "once")), row(appending(seen, "next")))
    with acting(WORKER):
        lost_attempt(first(deployment))
        run_from(first(deployment).pk)
    assert seen.read_text().split() == ["once", "next"]
    assert list(first(deployment).attempts.values_list("fencing_token", "outcome", "probe")) == [
        (1, "worker_lost", ""),
        (2, "succeeded", "done"),
    ]
    assert world.fresh(deployment).state == "succeeded"


def test_an_unstarted_effect_of_a_lost_attempt_is_made(
    world: Any, queued: Callable[..., Deployment], tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    deployment = queued(row(appending(seen, "once"), repeatable=True))
    with acting(WORKER):
        claim(first(deployment).pk, worker="dies at once")
        expire(first(deployment))
        run_from(first(deployment).pk)
    assert seen.read_text().split() == ["once"]
    assert first(deployment).attempts.last().probe == "not_done"


def test_an_uncertain_effect_is_not_repeated_and_awaits_a_decision(
    world: Any, approved_deployment: Callable[..., Deployment], tmp_path: Path
) -> None:
    """Begun, without a known end, and not repeatable: a person must look."""
    seen = tmp_path / "seen"
    script = f"open({str(seen)!r}, 'a').write('x'); raise SystemExit(1)"
    deployment = approved_deployment(row(["/usr/bin/env", "python3", "-c", script]), row(TRUE))
    with acting(WORKER):
        enqueue(deployment.pk)
        lost_attempt(first(deployment))
        run_from(first(deployment).pk)
    assert seen.read_text() == "x"
    assert states(deployment) == ["outcome_unknown", "pending", "pending"]
    assert world.fresh(deployment).state == "awaiting_decision"
    with (
        world.acting_as("operator"),
        pytest.raises(NotPermitted, match="You have scheduled this deployment; another person must decide"),
    ):
        resume.mark_succeeded(first(deployment).pk, reason="I saw it")
    with world.acting_as("second_operator"):
        resume.mark_succeeded(first(deployment).pk, reason="I saw it on the target")
    assert states(deployment) == ["succeeded", "ready", "pending"]
    assert first(deployment).decision["name"] == "Second Operator"
    with acting(WORKER):
        run_from(deployment.steps.get(ordinal=2).pk)
    assert (states(deployment), world.fresh(deployment).state) == (["succeeded"] * 3, "verifying")


def test_a_failed_step_fails_a_lower_tier_at_once(world: Any, queued: Callable[..., Deployment]) -> None:
    deployment = queued(row(["/bin/false"]), row(TRUE))
    with acting(WORKER):
        run_from(first(deployment).pk)
    assert (world.fresh(deployment).state, states(deployment)) == ("failed", ["failed", "cancelled", "cancelled"])
    assert first(deployment).failure


def test_a_failed_step_in_production_awaits_another_person(
    world: Any, approved_deployment: Callable[..., Deployment], tmp_path: Path
) -> None:
    flag = tmp_path / "repaired"
    command = ["/usr/bin/env", "python3", "-c", f"import os; raise SystemExit(not os.path.exists({str(flag)!r}))"]
    deployment = approved_deployment(row(command, repeatable=True), row(TRUE))
    with acting(WORKER):
        enqueue(deployment.pk)
        run_from(first(deployment).pk)
    assert (world.fresh(deployment).state, states(deployment)[0]) == ("awaiting_decision", "failed")
    flag.touch()
    with (
        world.acting_as("operator"),
        pytest.raises(NotPermitted, match="You have scheduled this deployment; another person must decide"),
    ):
        resume.retry(first(deployment).pk, reason="repaired")
    for name in ("manager", "committee_a", "developer", "auditor", "ci"):
        with world.acting_as(name), pytest.raises(NotPermitted):
            resume.retry(first(deployment).pk, reason="repaired")
    with world.acting_as("second_operator"):
        with pytest.raises(InvalidInput):
            resume.retry(first(deployment).pk, reason=" ")
        with pytest.raises(NotPossible, match="required"):
            resume.skip(first(deployment).pk, reason="no need")
        with pytest.raises(NotPossible):
            resume.mark_succeeded(first(deployment).pk, reason="it failed, its outcome is known")
        resume.retry(first(deployment).pk, reason="repaired")
    with acting(WORKER):
        run_from(first(deployment).pk)
    assert states(deployment) == ["succeeded"] * 3


def test_only_an_optional_step_is_skipped(world: Any, approved_deployment: Callable[..., Deployment]) -> None:
    deployment = approved_deployment(row(["/bin/false"], required=False), row(TRUE))
    with acting(WORKER):
        enqueue(deployment.pk)
        run_from(first(deployment).pk)
    with world.acting_as("second_operator"):
        resume.skip(first(deployment).pk, reason="the notification can wait")
    assert states(deployment) == ["skipped", "ready", "pending"]
    with acting(WORKER):
        run_from(deployment.steps.get(ordinal=2).pk)
    assert world.fresh(deployment).state == "verifying"


def test_marking_as_failed_ends_the_deployment_and_cancels_the_rest(
    world: Any, approved_deployment: Callable[..., Deployment]
) -> None:
    deployment = approved_deployment(row(["/bin/false"]), row(TRUE))
    with acting(WORKER):
        enqueue(deployment.pk)
        run_from(first(deployment).pk)
    with world.acting_as("operator"), pytest.raises(NotPermitted):
        decide.fail(deployment.pk, reason="hopeless")
    with world.acting_as("second_operator"):
        decide.fail(deployment.pk, reason="hopeless")
        with pytest.raises(NotPossible):
            resume.retry(first(deployment).pk, reason="after all")
    assert (world.fresh(deployment).state, states(deployment)) == ("failed", ["failed", "cancelled", "cancelled"])


def test_a_stop_ends_the_running_command(world: Any, queued: Callable[..., Deployment], tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(100)"
    deployment = queued(row(["/usr/bin/env", "python3", "-c", script]), row(TRUE))
    worker = at_work(first(deployment).pk)
    until = time.monotonic() + 20
    while not (pid.exists() and pid.read_text()):
        assert time.monotonic() < until and worker.is_alive()
        time.sleep(0.02)
    with world.acting_as("operator"):
        decide.stop(deployment.pk, reason="wrong version")
    worker.join(20)
    assert not worker.is_alive()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert (world.fresh(deployment).state, states(deployment)) == ("stopped", ["stopped", "cancelled", "cancelled"])


def test_the_outcome_is_recorded_although_the_connection_broke_meanwhile(
    world: Any, queued: Callable[..., Deployment], tmp_path: Path
) -> None:
    began, go = tmp_path / "began", tmp_path / "go"
    script = f"import os, time; open({str(began)!r}, 'w')\nwhile not os.path.exists({str(go)!r}): time.sleep(0.02)"
    deployment = queued(row(["/usr/bin/env", "python3", "-c", script]), row(TRUE))
    worker = at_work(first(deployment).pk)
    until = time.monotonic() + 20
    while not began.exists():
        assert time.monotonic() < until and worker.is_alive()
        time.sleep(0.02)
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE {others}")
        assert cursor.fetchone()[0] >= 1
    go.touch()
    worker.join(20)
    assert states(deployment) == ["succeeded"] * 3
    assert set(StepAttempt.objects.values_list("fencing_token", "outcome")) == {(1, "succeeded")}


def test_a_stop_without_its_worker_ends_with_the_lease(world: Any, queued: Callable[..., Deployment]) -> None:
    deployment = queued(row(TRUE), row(TRUE))
    with acting(WORKER):
        claim(first(deployment).pk, worker="dies")
    with world.acting_as("operator"):
        decide.stop(deployment.pk, reason="wrong version")
    from audit.clock import now

    with acting(WORKER):
        stopping_deployments(now())
        assert world.fresh(deployment).state == "stopping", "it may still live"
        expire(first(deployment))
        stopping_deployments(now())
    assert (world.fresh(deployment).state, states(deployment)) == ("stopped", ["stopped", "cancelled", "cancelled"])


def test_a_removed_step_type_refuses_to_run(world: Any, queued: Callable[..., Deployment]) -> None:
    deployment = queued({**row(TRUE), "step_type": "teleport"})
    with acting(WORKER):
        run_from(first(deployment).pk)
    assert world.fresh(deployment).state == "failed" and "teleport" in first(deployment).failure


def test_parameters_that_no_longer_fit_refuse_to_run(world: Any, queued: Callable[..., Deployment]) -> None:
    deployment = queued({**row(TRUE), "parameters": {"argv": [], "shell": "yes"}})
    with acting(WORKER):
        run_from(first(deployment).pk)
    assert world.fresh(deployment).state == "failed" and first(deployment).failure


def test_an_unreachable_target_has_an_unknown_outcome_and_no_endless_retry(
    world: Any, approved_deployment: Callable[..., Deployment]
) -> None:
    deployment = approved_deployment(row(TRUE))
    root = Path(world.targets["production"].root)
    root.rename(root.with_name("unmounted"))
    root.write_text("not a folder")
    with acting(WORKER):
        enqueue(deployment.pk)
        run_from(first(deployment).pk)
    assert (world.fresh(deployment).state, states(deployment)[0]) == ("awaiting_decision", "outcome_unknown")


@contextmanager
def another_ring() -> Iterator[None]:
    """Give this machine an encryption key that cannot decrypt existing values."""
    own = key_ring.path().read_bytes()
    key_ring.path().unlink()
    key_ring.read()
    try:
        yield
    finally:
        key_ring.path().write_bytes(own)


@pytest.mark.parametrize(("died", "state"), [(False, "failed"), (True, "outcome_unknown")])
def test_a_machine_that_cannot_decrypt_a_secret_asks_instead_of_claiming_forever(
    world: Any, approved_deployment: Callable[..., Deployment], died: bool, state: str
) -> None:
    """Nothing was done yet, so the step failed; unless an earlier attempt died, whose progress is unknown."""
    deployment = approved_deployment(row(TRUE), row(TRUE, repeatable=True))
    with acting(WORKER):
        enqueue(deployment.pk)
        taken = claim(first(deployment).pk, worker="has the keys")
        assert taken is not None
        record_success(taken.step, fencing_token=taken.fencing_token, result={})
        second = deployment.steps.get(ordinal=2)
        if died:
            claim(second.pk, worker="dies")
            expire(second)
        with another_ring():
            run_from(second.pk)
    assert (world.fresh(deployment).state, states(deployment)[1]) == ("awaiting_decision", state)
    assert "is not in the key ring of this server" in world.fresh(second).failure
    assert deployment.decision_requests.filter(answered_at=None).exists()
    with world.acting_as("second_operator"):
        resume.retry(second.pk, reason="the ring was copied")
    with acting(WORKER):
        run_from(second.pk)
    assert states(deployment) == ["succeeded"] * 3


def test_a_failed_check_fails_the_deployment(world: Any, queued: Callable[..., Deployment]) -> None:
    check = {"check": "http", "parameters": {"path": "/health", "status": 200}}
    deployment = queued(row(TRUE), verify=({**row(TRUE), "step_type": "check", "parameters": check},))
    with acting(WORKER):
        run_from(first(deployment).pk)
    assert (world.fresh(deployment).state, states(deployment)) == ("failed", ["succeeded", "failed"])
    assert not DeployedVersion.objects.exists()
