"""Thirty-two real connections at once: one starts, the refused ones learn why, and nothing dead-locks.

An error of the database (a dead lock, a broken constraint) that escapes an operation fails the test, and so does a race
without a success.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection

from audit.actor import acting
from audit.refusals import OperationRefused
from releases.models import ApprovalDecision, ApprovalRequest, Deployment, Procedure, Release, StepAttempt
from releases.operations.approval import decide
from releases.operations.approval.submit import submit
from releases.operations.deployment.enqueue import enqueue
from releases.operations.deployment.request import request
from releases.operations.deployment.schedule import cancel, schedule
from releases.operations.procedure import put_into_effect
from releases.operations.release.end_approval import invalidate_stale
from releases.operations.release.plan import edit
from releases.operations.release.prepare import reopen_scope
from releases.operations.release.reschedule import reschedule
from releases.operations.release.sign_final_check import sign
from releases.operations.release.withdraw_request import withdraw_request
from releases.operations.step.claim import claim
from tests.releases.gates.asking import COMMAND
from tests.scenarios.stock import Stock

MANY = 32
Racer = tuple[str, str, Callable[[], Any]]  # name, person (empty: a process), the operation
pytestmark = pytest.mark.timeout(600)


def race(stock: Stock, racers: list[Racer]) -> Counter[str]:
    """Let all go at once, each on its own connection; return how many of each type succeeded."""
    assert len(racers) == MANY
    ready, counting = threading.Barrier(MANY), threading.Lock()
    done, refused, faults = Counter[str](), [], []

    def attempt(what: str, who: str, call: Callable[[], Any]) -> None:
        try:
            with stock.world.acting_as(who) if who else acting(COMMAND):
                connection.ensure_connection()
                ready.wait(60)
                result = call()
            with counting:
                done[what] += result is not None and result != []
        except OperationRefused as no:
            refused.append(no)
        except Exception as fault:
            faults.append((what, who, repr(fault)))
        finally:
            connection.close()

    threads = [threading.Thread(target=attempt, args=racer) for racer in racers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert not any(thread.is_alive() for thread in threads), "somebody waits for ever"
    assert not faults, faults
    assert all(no.reasons and all(str(reason).strip() for reason in no.reasons) for no in refused), (
        "the reason is stated"
    )
    assert sum(done.values()), Counter(str(no) for no in refused)
    return done


def granted(stock: Stock) -> tuple[Any, ApprovalRequest]:
    """Return a release with the approval of two."""
    release = stock.take()
    with stock.world.acting_as("manager"):
        approval_request = submit(release.pk)
    for name in ("committee_a", "committee_b"):
        with stock.world.acting_as(name):
            decide.approve(approval_request.pk, digest=approval_request.digest)
    return release, ApprovalRequest.objects.get(pk=approval_request.pk)


def requested(stock: Stock) -> tuple[Any, ApprovalRequest, Deployment]:
    """Return a release after its final check with a deployment to production that nobody has scheduled."""
    release, approval_request = granted(stock)
    for name in ("manager", "operator"):
        with stock.world.acting_as(name):
            sign(release.pk)
    with stock.world.acting_as("operator"):
        deployment = request(release.pk, environment_id=stock.world.environments["production"].pk)
    return release, approval_request, deployment


def scheduled(stock: Stock) -> tuple[Any, ApprovalRequest, Deployment]:
    """Return a release after its final check with a due deployment."""
    release, approval_request, deployment = requested(stock)
    with stock.world.acting_as("operator"):
        schedule(deployment.pk)
    return release, approval_request, deployment


def queued(stock: Stock) -> tuple[Any, ApprovalRequest, Deployment, int]:
    """Return a release after its final check with a deployment whose first step is ready, and that step's number."""
    release, approval_request, deployment = scheduled(stock)
    with acting(COMMAND):
        enqueue(deployment.pk)
    return release, approval_request, deployment, deployment.steps.get(ordinal=1).pk


def consistent(release: Any) -> None:
    """A live release has a live request, and only a used approval has started a deployment."""
    found = Release.objects.get(pk=release.pk)
    live = list(ApprovalRequest.objects.filter(release=release, state__in=["in_review", "approved"]))
    assert len(live) == (found.state in ("in_review", "approved", "final_check_completed")), (found.state, live)
    for deployment in Deployment.objects.filter(release=release, environment__slug="production", state="running"):
        assert (
            deployment.approval_request is not None
            and deployment.approval_request.state == "used"
            and found.state == "releasing"
        )


def test_one_of_all_concurrent_approvals_edits_and_starts_starts(stock: Stock) -> None:
    release, approval_request, deployment, step = queued(stock)
    racers: list[Racer] = [("claim", "", lambda: claim(step, worker="w")) for _ in range(12)]
    racers += [("edit", "manager", lambda: edit(release.pk, fields={"ticket": "T-9"})) for _ in range(7)]
    for name in ("committee_a", "committee_b", "author_on_committee"):
        racers += [
            ("approve", name, lambda: decide.approve(approval_request.pk, digest=approval_request.digest))
            for _ in range(2)
        ]
    racers += [("queue", "", lambda: enqueue(deployment.pk)) for _ in range(7)]
    assert race(stock, racers) == Counter(claim=1, edit=0, approve=0, queue=0)
    assert StepAttempt.objects.filter(step=step).count() == 1
    assert ApprovalRequest.objects.get(pk=approval_request.pk).state == "used"
    consistent(release)


def test_one_scheduler_queues_and_one_worker_starts(stock: Stock) -> None:
    _release, _request, deployment = scheduled(stock)
    assert race(stock, [("queue", "", lambda: enqueue(deployment.pk))] * MANY) == Counter(queue=1)
    step = deployment.steps.get(ordinal=1).pk
    assert race(stock, [("claim", "", lambda: claim(step, worker="w"))] * MANY) == Counter(claim=1)


@pytest.mark.parametrize("again", range(2))
def test_case_7_a_release_is_started_or_reopened_never_both(stock: Stock, again: int) -> None:
    release, approval_request, _deployment, step = queued(stock)
    racers: list[Racer] = [("claim", "", lambda: claim(step, worker="w"))] * 12
    racers += [("reopen", "manager", lambda: reopen_scope(release.pk, reason="a word"))] * 12
    racers += [("reschedule", "manager", lambda: reschedule(release.pk, start=datetime.now(UTC), reason="later"))] * 8
    done = race(stock, racers)
    assert done["reopen"] <= 1 and done["reschedule"] <= 1
    assert done["claim"] == (not done["reopen"] and not done["reschedule"]), done
    assert ApprovalRequest.objects.get(pk=approval_request.pk).state == ("used" if done["claim"] else "invalidated")
    consistent(release)


@pytest.mark.parametrize("again", range(2))
def test_case_7_a_concurrent_approval_and_change_leave_no_approval_of_other_content(stock: Stock, again: int) -> None:
    release = stock.take()
    with stock.world.acting_as("manager"):
        approval_request = submit(release.pk)
    said = {"digest": approval_request.digest}
    racers: list[Racer] = [
        ("approve", f"committee_{'ab'[n % 2]}", lambda: decide.approve(approval_request.pk, **said)) for n in range(12)
    ]
    racers += [("reopen", "manager", lambda: reopen_scope(release.pk, reason="a word"))] * 6
    racers += [("withdraw", "manager", lambda: withdraw_request(release.pk))] * 6
    racers += [("send_back", "committee_b", lambda: decide.send_back(approval_request.pk, comment="no", **said))] * 4
    racers += [("expire_stale", "", invalidate_stale)] * 4
    done = race(stock, racers)
    assert done["approve"] <= 2 and done["reopen"] <= 2 and done["expire_stale"] == 0, done
    assert (
        ApprovalDecision.objects.filter(approval_request=approval_request).count()
        == done["approve"] + done["send_back"]
    )
    assert ApprovalRequest.objects.get(pk=approval_request.pk).state != "in_review", "somebody ended it"
    consistent(release)


@pytest.mark.parametrize("again", range(3))
def test_concurrent_scheduling_and_changing_do_not_dead_lock(stock: Stock, again: int) -> None:
    """Each of them needs the release, its approval request and its deployment."""
    release, _request, deployment = requested(stock)
    racers: list[Racer] = [
        ("schedule", f"{'second_' * (n % 2)}operator", lambda: schedule(deployment.pk)) for n in range(12)
    ]
    racers += [("reopen", "manager", lambda: reopen_scope(release.pk, reason="a word"))] * 7
    racers += [("reschedule", "manager", lambda: reschedule(release.pk, start=datetime.now(UTC), reason="later"))] * 6
    racers += [("cancel", "manager", lambda: cancel(deployment.pk, reason="no"))] * 3
    racers += [("expire_stale", "", invalidate_stale)] * 4
    done = race(stock, racers)
    assert done["schedule"] <= 1 and done["reopen"] == 1, done
    assert Deployment.objects.get(pk=deployment.pk).state == "cancelled", (
        "a waiting deployment does not outlive its approval"
    )
    consistent(release)


def wait_for_lock() -> None:
    """Return when a connection waits for a row that another has locked."""
    with connection.cursor() as cursor:
        for _look in range(2000):
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            if cursor.fetchone()[0]:
                return
    raise AssertionError("nobody waits")


def test_a_change_waits_for_a_scheduling_under_way_without_a_dead_lock(
    stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reopening starts while the deployment is locked and its approval not yet written on it; both end."""
    from releases.operations.deployment import schedule as scheduling

    release, approval_request, deployment = requested(stock)
    inside, book, faults = threading.Event(), scheduling._book, []

    def book_late(*arguments: Any) -> Any:
        inside.set()
        wait_for_lock()
        return book(*arguments)

    def change_it() -> None:
        try:
            inside.wait(60)
            with stock.world.acting_as("manager"):
                reopen_scope(release.pk, reason="a word")
        except Exception as fault:
            faults.append(repr(fault))
        finally:
            connection.close()

    monkeypatch.setattr(scheduling, "_book", book_late)
    other = threading.Thread(target=change_it)
    other.start()
    with stock.world.acting_as("operator"):
        schedule(deployment.pk)
    other.join(120)
    assert not faults, faults
    assert Deployment.objects.get(pk=deployment.pk).state == "cancelled"
    assert ApprovalRequest.objects.get(pk=approval_request.pk).state == "invalidated"
    consistent(release)


def test_a_requested_deployment_waits_for_a_procedure_that_takes_effect(
    stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both need the environment and the release, in one order: the version takes effect while the other waits."""
    release, _request, deployment = requested(stock)
    place = {"environment_id": deployment.environment_id}
    put, faults = put_into_effect.put_into_effect, []
    inside = threading.Event()
    with stock.world.acting_as("manager"):
        active = Procedure.objects.get(state="in_effect")
        draft = put_into_effect.load(
            active.document.model_validate(active.content | {"version": "1.8.0"}), reason="a word"
        )
        applied = put_into_effect.submit(draft.pk, reason="a word", moved=(release.pk,))
    with stock.world.acting_as("committee_a"):
        decide.approve(applied.pk, digest=applied.digest)

    def put_late(procedure: Any) -> None:
        inside.set()
        wait_for_lock()
        put(procedure)

    def ask_for_it() -> None:
        try:
            inside.wait(60)
            with stock.world.acting_as("operator"), pytest.raises(OperationRefused):
                request(release.pk, **place)
        except BaseException as fault:
            faults.append(repr(fault))
        finally:
            connection.close()

    monkeypatch.setattr(put_into_effect, "put_into_effect", put_late)
    other = threading.Thread(target=ask_for_it)
    other.start()
    with stock.world.acting_as("committee_b"):
        decide.approve(applied.pk, digest=applied.digest)
    other.join(120)
    assert not faults, faults
    assert Release.objects.get(pk=release.pk).procedure.version == "1.8.0"
