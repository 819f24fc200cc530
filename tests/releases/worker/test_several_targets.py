"""A deployment to several targets: batches, several workers, failures, decisions, rollback of what was touched."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from audit.actor import acting
from audit.clock import now
from audit.refusals import GateNotPassed
from environments.targets.base import Fenced
from environments.targets.target import journal_lines
from releases.models import DecisionRequest, DeployedVersion, Deployment, MonitoringPeriod
from releases.operations.deployment.decide import stop
from releases.operations.rollback import decide as rollbacks
from releases.operations.rollback.start import retry as retry_rollback, start_rollback
from releases.operations.step import resume
from releases.operations.step.claim import Claim, claim
from releases.operations.step.outcome import fail, record_success
from releases.queries.step_waves import NoSuchTargets, lay_out
from releases.queries.target_spec import spec_of
from releases.worker.executor import run_from
from releases.worker.monitoring_checks import run_checks
from tests.releases.gates.asking import alter, make, walk
from tests.releases.step_types.conftest import wait_for

from .conftest import TRUE, WORKER, at_work, expire, row
from .several import MARK, Site, below as below, production as production, run, seen, step_on


def test_one_first_then_the_others(below: Site) -> None:
    deployment = below.queued()
    waves = list(deployment.steps.filter(phase="deployment").order_by("ordinal").values_list("target__name", "wave"))
    assert waves == [("main", 1), ("b", 2), ("c", 2)]
    with acting(WORKER):
        taken = claim(step_on(deployment, "main").pk, worker="w")
        assert taken is not None
        assert [s.state for s in deployment.steps.filter(target__name="b")] == ["pending"] * 2
        record_success(taken.step, fencing_token=taken.fencing_token, result={})
    assert {name for _phase, name, state in seen(deployment) if state == "ready"} == {"b", "c"}
    deployment = run(deployment)
    assert deployment.state == "succeeded" and below.marks() == {"b": 1, "c": 1}, "the first was made by hand here"
    measured = deployment.measured["verification"]
    assert set(measured["targets"]) == {"main", "b", "c"}


def test_each_step_is_made_once_on_each_target_and_the_version_is_recorded(below: Site) -> None:
    deployment = run(below.queued(row(MARK), row(TRUE), pause_seconds=1))
    for _wait in range(40):
        if deployment.state == "succeeded":
            break
        time.sleep(0.1)
        with acting(WORKER):
            for step in deployment.steps.filter(state="running", owner="").order_by("ordinal"):
                run_from(step.pk)
        deployment = run(deployment)
    assert deployment.state == "succeeded" and below.marks() == {"main": 1, "b": 1, "c": 1}
    assert deployment.steps.filter(step_type="wait").count() == 1, "a pause between the two batches"
    for target in below.targets:
        assert len(journal_lines(spec_of(target), effect="command:done")) == 3
    pointer = DeployedVersion.established(below.world.application, below.world.environments["development"])
    assert pointer is not None and pointer.release == deployment.release


def test_two_workers_take_two_targets_at_once(below: Site) -> None:
    wait = (
        'touch "$RINGI_TARGET_ROOT/here"; for i in $(seq 100); do test -e %s/here && exit 0; sleep 0.05; done; exit 1'
    )
    meet = {"b": below.root("c"), "c": below.root("b"), "main": below.root("main")}
    script = 'case "${RINGI_TARGET_ROOT##*/}" in b) %s;; c) %s;; *) exit 0;; esac'
    deployment = below.queued(row(["/bin/sh", "-c", script % (wait % meet["b"], wait % meet["c"])]))
    threads = [at_work(step_on(deployment, "main").pk)]  # it goes on with b
    wait_for(lambda: step_on(deployment, "c").state == "ready")
    threads.append(at_work(step_on(deployment, "c").pk))
    for thread in threads:
        thread.join()
    assert run(deployment).state == "succeeded", [s.failure for s in deployment.steps.all()]


def test_a_failure_in_a_batch_leaves_the_rest_untouched(below: Site) -> None:
    below.broken("main")
    deployment = run(below.queued())
    assert deployment.state == "failed" and below.marks() == {}
    assert [state for phase, name, state in seen(deployment) if name != "main"] == ["cancelled"] * 4
    assert not (below.root("b") / ".ringi").exists(), "a target that was not touched has no trace"


def test_a_failure_is_asked_about_once_the_other_target_has_ended(production: Site) -> None:
    production.broken("b")
    deployment = production.approved()
    with acting(WORKER):
        first = claim(step_on(deployment, "main").pk, worker="w")
        assert first is not None
        record_success(first.step, fencing_token=1, result={})
        claims = [claim(step_on(deployment, name).pk, worker=name) for name in ("b", "c")]
        on_b, on_c = (one for one in claims if isinstance(one, Claim))
        fail(on_b.step, fencing_token=1, message="broken")
        assert Deployment.objects.get(pk=deployment.pk).state == "running", "c is still at work"
        record_success(on_c.step, fencing_token=1, result={})
    deployment = Deployment.objects.get(pk=deployment.pk)
    assert deployment.state == "awaiting_decision"
    assert DecisionRequest.objects.get(answered_at=None).step == step_on(deployment, "b")
    assert step_on(deployment, "c", "verification").state == "pending"
    production.broken("b", on=False)
    with production.world.acting_as("second_operator"):
        resume.retry(step_on(deployment, "b").pk, reason="it is mended")
    deployment = run(deployment)
    assert deployment.state == "verifying" and production.marks() == {"b": 1}
    assert {state for phase, _name, state in seen(deployment) if phase == "verification"} == {"succeeded"}


def test_two_failures_are_decided_one_after_the_other(production: Site) -> None:
    for name in ("b", "c"):
        production.broken(name)
    deployment = production.approved()
    with acting(WORKER):
        first = claim(step_on(deployment, "main").pk, worker="w")
        assert first is not None
        record_success(first.step, fencing_token=1, result={})
        both = [claim(step_on(deployment, name).pk, worker=name) for name in ("b", "c")]
        for one in both:
            assert one is not None
            fail(one.step, fencing_token=1, message="broken")
    for name in ("b", "c"):
        production.broken(name, on=False)
    with production.world.acting_as("second_operator"):
        resume.retry(step_on(deployment, "b").pk, reason="it is mended")
    deployment = run(deployment)
    assert deployment.state == "awaiting_decision", "c still waits"
    assert production.marks() == {"b": 1}
    asked = DecisionRequest.objects.get(answered_at=None)
    assert asked.step == step_on(deployment, "c")
    with production.world.acting_as("second_operator"):
        resume.retry(step_on(deployment, "c").pk, reason="it is mended too")
    assert run(deployment).state == "verifying" and production.marks() == {"b": 1, "c": 1}


def test_a_number_of_failures_may_be_tolerated_but_never_passes(below: Site) -> None:
    below.broken("b")
    deployment = run(below.queued(batches=["1"], max_failures=1))
    assert below.marks() == {"main": 1, "c": 1}, "the batch after the failure was made"
    assert deployment.state == "failed", "and the deployment is no success"


def test_more_failures_than_tolerated_end_it(below: Site) -> None:
    below.broken("main")
    below.broken("b")
    deployment = run(below.queued(batches=["1"], max_failures=1))
    assert deployment.state == "failed" and below.marks() == {}


def test_a_rollback_touches_what_was_touched_the_newest_first(production: Site, tmp_path: Path) -> None:
    production.broken("b")
    deployment = run(production.approved(row(MARK), batches=["1"]))
    assert deployment.state == "awaiting_decision" and production.marks() == {"main": 1}
    with production.world.acting_as("second_operator"):
        cause = deployment.content.rollback.reasons[0].key
        alarm = rollbacks.raise_(deployment.pk, cause=cause, note="it does not work")
    walked = alter(alarm, facts={**alarm.facts, "rows_total": 0})
    walk(walked, "assess", "authorise")
    with acting(WORKER):
        start_rollback(alarm.pk)
    back = deployment.steps.filter(phase="rollback").order_by("ordinal").values_list("target__name", "wave")
    assert list(back) == [("b", 1), ("main", 2)]
    deployment = run(deployment)
    assert {state for phase, _name, state in seen(deployment) if phase.startswith("rollback")} == {"succeeded"}
    order = (tmp_path / "production" / "order").read_text().split()
    assert order == ["b"] and production.marks() == {}
    assert deployment.state == "rolled_back"
    assert not (production.root("c") / ".ringi").exists()


def test_two_failures_of_a_rollback_are_retried_one_after_the_other(production: Site) -> None:
    deployment = run(production.approved(row(MARK), batches=["100%"]))
    assert deployment.state == "verifying"
    with production.world.acting_as("second_operator"):
        alarm = rollbacks.raise_(deployment.pk, cause=deployment.content.rollback.reasons[0].key, note="it is wrong")
    walk(alter(alarm, facts={**alarm.facts, "rows_total": 0}), "assess", "authorise")
    with acting(WORKER):
        start_rollback(alarm.pk)
        claims = [claim(step_on(deployment, name, "rollback").pk, worker=name) for name in ("main", "b", "c")]
        on_main, on_b, on_c = (one for one in claims if isinstance(one, Claim))
        for one in (on_b, on_c):
            fail(one.step, fencing_token=1, message="broken")
        record_success(on_main.step, fencing_token=1, result={})
    for _time in range(2):
        assert Deployment.objects.get(pk=deployment.pk).state == "rollback_failed"
        with production.world.acting_as("second_operator"):
            retry_rollback(alarm.pk, reason="it is mended")
        deployment = run(deployment)
    assert {state for phase, _name, state in seen(deployment) if phase == "rollback"} == {"succeeded"}


def test_a_lost_worker_in_the_middle_of_a_batch_loses_and_doubles_nothing(below: Site) -> None:
    deployment = below.queued(row(MARK, repeatable=True))
    with acting(WORKER):
        first = claim(step_on(deployment, "main").pk, worker="w")
        assert first is not None
        record_success(first.step, fencing_token=1, result={})
        lost = claim(step_on(deployment, "c").pk, worker="lost")
    assert lost is not None
    assert run(deployment).state == "running" and below.marks() == {"b": 1}, "the batch waits for c"
    expire(lost.step)
    with acting(WORKER):
        run_from(lost.step.pk)
        with pytest.raises(Fenced):
            record_success(lost.step, fencing_token=lost.fencing_token, result={})
    assert run(deployment).state == "succeeded" and below.marks() == {"b": 1, "c": 1}


def test_a_stop_ends_when_both_have_ended(production: Site) -> None:
    deployment = production.approved()
    with acting(WORKER):
        first = claim(step_on(deployment, "main").pk, worker="w")
        assert first is not None
        record_success(first.step, fencing_token=1, result={})
        claims = [claim(step_on(deployment, name).pk, worker=name) for name in ("b", "c")]
    with production.world.acting_as("operator"):
        stop(deployment.pk, reason="not now")
    on_b, on_c = (one for one in claims if isinstance(one, Claim))
    with acting(WORKER):
        record_success(on_b.step, fencing_token=1, result={})
        assert Deployment.objects.get(pk=deployment.pk).state == "stopping"
        record_success(on_c.step, fencing_token=1, result={})
    deployment = Deployment.objects.get(pk=deployment.pk)
    assert deployment.state == "stopped" and "ready" not in {state for *_rest, state in seen(deployment)}


def test_targets_with_other_code_are_no_success(below: Site) -> None:
    different = (
        'test "${RINGI_TARGET_ROOT##*/}" != c || { mkdir -p "$RINGI_TARGET_ROOT/releases/x"; '
        'echo other > "$RINGI_TARGET_ROOT/releases/x/f"; ln -s releases/x "$RINGI_TARGET_ROOT/current"; }'
    )
    deployment = run(below.queued(row(["/bin/sh", "-c", different])))
    assert deployment.state == "failed"
    failures = [step.failure for step in deployment.steps.all() if step.failure]
    assert len(failures) == 1 and "differ" in failures[0] and '"parts": "code"' in failures[0]


def test_steps_that_are_made_once_or_on_a_group(below: Site) -> None:
    once, web = row(MARK) | {"on": "first", "label_en": "Once"}, row(MARK) | {"on": "web", "label_en": "Web"}
    deployment = below.queued(once, row(TRUE), web)
    rows = deployment.steps.filter(phase="deployment").order_by("ordinal")
    assert [(s.label_en, s.target.name if s.target else "", s.wave, s.batch) for s in rows] == [
        ("Once", "main", 1, 0),
        ("Command", "main", 2, 1),
        ("Command", "b", 3, 2),
        ("Command", "c", 3, 2),
        ("Web", "b", 4, 1),
    ]
    assert run(deployment).state == "succeeded" and below.marks() == {"main": 1, "b": 1}


def test_a_variable_has_the_value_of_its_target(below: Site) -> None:
    """By name before by environment, by group alike; in steps, in checks of the deployment and in monitoring."""
    words = [
        {"name": "word", "value": "all"},
        {"name": "word", "value": "development", "environments": ["development"]},
        {"name": "word", "value": "web", "targets": ["web"]},
        {"name": "word", "value": "staging", "targets": ["c"], "environments": ["staging"]},
        {"name": "word", "value": "c", "targets": ["c"]},
    ]
    write = row(["/bin/sh", "-c", 'echo "#{word}" >> "$RINGI_TARGET_ROOT/mark"'])
    deployment = run(below.queued(write, variables=words))
    said = {target.name: (Path(target.root) / "mark").read_text().strip() for target in below.targets}
    assert said == {"main": "development", "b": "web", "c": "c"}
    check = {
        "key": "word",
        "type": "command",
        "parameters": {"argv": ["/bin/cat", "{root}/mark"], "value": "(#{word})"},
    }
    monitoring = make(
        MonitoringPeriod,
        deployment=deployment,
        purpose=MonitoringPeriod.Purpose.DEPLOYMENT,
        interval_seconds=60,
        duration_seconds=3600,
        triggers=[],
        checks=[{**check, "label_ja": "語", "label_en": "Word", "required": True}],
        started_at=now(),
        next_at=now(),
    )
    with acting(WORKER):
        (found,) = run_checks(monitoring.pk, due=monitoring.started_at)
    assert (found.result, found.value) == ("passed", "main: development, b: web, c: c"), found.output


def test_a_group_without_a_target_stops_the_deployment(below: Site) -> None:
    with pytest.raises(NoSuchTargets):
        lay_out([("deployment", row(TRUE) | {"on": "db"})], below.targets, None)
    with pytest.raises(GateNotPassed, match="belongs to the group “db”"):
        below.queued(row(TRUE) | {"on": "db"})
