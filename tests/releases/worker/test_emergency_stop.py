"""The emergency stop: one person activates it, all production stops and stays stopped, two people lift it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.urls import reverse

from audit.actor import acting
from audit.models import Event
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted, NotPossible, SignatureRequired
from environments.models import AccessGrant
from releases.models import ApprovalRequest, Deployment, EmergencyStop, Procedure
from releases.operations.approval import decide as decisions
from releases.operations.deployment.enqueue import enqueue
from releases.operations.deployment.request import request
from releases.operations.deployment.schedule import schedule
from releases.operations.emergency_stop.activate import activate
from releases.operations.emergency_stop.request_lift import request_lift
from releases.operations.step import resume
from releases.operations.step.claim import claim
from releases.worker.executor import run_from
from releases.worker.poll import poll_once
from tests.releases.api.conftest import ask, managing, token_for
from tests.releases.gates.asking import alter, communicated, shown

from .conftest import TRUE, WORKER, at_work, first, row, states

__all__ = ["managing"]


def activated(world: Any, who: str = "operator", **fields: Any) -> EmergencyStop:
    with world.acting_as(who):
        return activate(reason="the data centre burns", **fields)


def lifted(world: Any, stop: EmergencyStop, requester: str = "operator", member: str = "committee_a") -> None:
    with world.acting_as(requester):
        approval_request = request_lift(stop.pk, reason="the fire is out")
    with world.acting_as(member):
        decisions.approve(approval_request.pk, digest=approval_request.digest)


@pytest.mark.parametrize("name", ["operator", "manager", "committee_a"])
def test_one_person_activates_the_stop_without_approval_or_signature(world: Any, name: str) -> None:
    with world.acting_as(name, proved=False):
        stop = activate(reason="the data centre burns")
    assert stop.activated_by == world.people[name] and EmergencyStop.on() == [stop]
    event = Event.objects.get(kind="operation", operation="emergency_stop:activate").contents
    assert event["object"] == f"releases.EmergencyStop:{stop.pk}" and event["reason"] == "the data centre burns"


def test_a_person_outside_releases_may_not_activate_the_stop(world: Any) -> None:
    for name in ("developer", "tester", "auditor", "outsider", "administrator", "ci"):
        with world.acting_as(name), pytest.raises(NotPermitted):
            activate(reason="for fun")
    with world.acting_as("operator"), pytest.raises(InvalidInput):
        activate(reason=" ")
    assert not EmergencyStop.on()
    assert Event.objects.filter(operation="emergency_stop:activate", kind="refusal").count() == 7


def test_an_operator_of_one_production_environment_may_activate_the_stop(
    world: Any, browsers: Callable[[str], Any]
) -> None:
    for grant in AccessGrant.objects.filter(account=world.people["second_operator"]):
        alter(grant, environment=world.environments["production"])
    for grant in AccessGrant.objects.filter(account=world.people["operator"]):
        alter(grant, environment=world.environments["staging"])
    page = reverse("admin:releases_emergencystop_changelist")
    assert "emergency_stop:activate" in browsers("second_operator").get(page).content.decode()
    assert "emergency_stop:activate" not in browsers("operator").get(page).content.decode()
    with world.acting_as("operator"), pytest.raises(NotPermitted):
        activate(reason="not mine")
    assert activated(world, "second_operator")


def test_the_stop_is_activated_once_at_a_time(world: Any) -> None:
    activated(world)
    with world.acting_as("manager"), pytest.raises(NotPossible, match="already"):
        activate(reason="me too")
    assert EmergencyStop.objects.count() == 1


def test_an_active_stop_prevents_every_start(world: Any, approved_deployment: Callable[..., Deployment]) -> None:
    """Neither scheduling, nor queueing a due deployment, nor the claim of a queued one."""
    deployment = approved_deployment(row(TRUE))
    stop = activated(world)
    with acting(WORKER), pytest.raises(GateNotPassed, match="data centre burns"):
        enqueue(deployment.pk)
    with world.acting_as("operator"):
        decide_cancel(deployment)
        other = request(deployment.release_id, environment_id=deployment.environment_id)
        with pytest.raises(GateNotPassed, match="All production has been stopped since"):
            schedule(other.pk)
    lifted(world, stop)
    with world.acting_as("operator"):
        schedule(other.pk)
    with acting(WORKER):
        enqueue(other.pk)
    activated(world)
    with acting(WORKER), pytest.raises(GateNotPassed, match="data centre burns"):
        claim(first(other).pk, worker="w")
    with acting(WORKER):
        run_from(first(other).pk)
    back = world.fresh(other)
    assert back.state == "scheduled" and "data centre burns" in back.blockers[0], "put back with its reason"
    assert world.fresh(back.approval_request).state == "approved", "the approval is not used up"


def decide_cancel(deployment: Deployment) -> None:
    from releases.operations.deployment.schedule import cancel

    cancel(deployment.pk, reason="another one")


def test_a_running_deployment_is_stopped_at_once(
    world: Any, approved_deployment: Callable[..., Deployment], tmp_path: Path
) -> None:
    """The process of a real step is told to end, and the following steps are dropped."""
    ended, running = tmp_path / "told", tmp_path / "running"
    script = (
        "import os, pathlib, signal, time\n"
        f"signal.signal(signal.SIGTERM, lambda *a: (pathlib.Path({str(ended)!r}).touch(), os._exit(1)))\n"
        f"pathlib.Path({str(running)!r}).write_text(str(os.getpid()))\n"
        "time.sleep(60)\n"
    )
    deployment = approved_deployment(row([sys.executable, "-c", script]), row(TRUE))
    with acting(WORKER):
        enqueue(deployment.pk)
    worker = at_work(first(deployment).pk)
    try:
        _until(lambda: running.exists() and running.read_text())
        activated(world)
        assert world.fresh(deployment).state == "stopping"
        worker.join(20)
        assert not worker.is_alive()
    finally:
        with suppress(ProcessLookupError, FileNotFoundError, ValueError):
            os.kill(int(running.read_text()), signal.SIGKILL)
            pytest.fail("the process went on")
        worker.join(30)
    assert ended.exists(), "it was asked to end before it was killed"
    stopped = world.fresh(deployment)
    assert (stopped.state, states(deployment)) == ("stopped", ["stopped", "cancelled", "cancelled"])
    event = Event.objects.filter(kind="operation", operation="deployment:stop").get().contents
    assert event["after"]["emergency_stop"] == EmergencyStop.objects.get().pk


def _until(condition: Callable[[], Any]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


@pytest.mark.parametrize("worker", ["", "w"], ids=["offered", "followed"])
def test_a_deployment_between_two_steps_is_stopped_even_after_a_killed_activation(
    world: Any, approved_deployment: Callable[..., Deployment], monkeypatch: pytest.MonkeyPatch, worker: str
) -> None:
    """The activating process was killed before it stopped the deployments: the claim refuses, and the poll stops it."""
    deployment = approved_deployment(row(TRUE), row(TRUE))
    with acting(WORKER):
        enqueue(deployment.pk)
        taken = claim(first(deployment).pk, worker="w")
        assert taken is not None
    monkeypatch.setattr("releases.operations.emergency_stop.activate.stop_runs", lambda: [])
    activated(world)
    from releases.operations.step.outcome import record_success

    with acting(WORKER):
        following = record_success(first(deployment), fencing_token=1, result={}, worker=worker)
        assert following is not None and following.state == "ready" and claim(following.pk, worker="w") is None
        monkeypatch.undo()
        assert world.fresh(deployment).state == "running"
        from audit.clock import now

        poll_once(now())
    assert (world.fresh(deployment).state, states(deployment)) == ("stopped", ["succeeded", "cancelled", "cancelled"])


def test_an_activation_waits_for_claims_under_way_and_later_claims_see_it(world: Any, database: str) -> None:
    """A claim that has seen no stop commits before the activation does; so the activation finds its deployment."""
    done = threading.Event()

    def activating() -> None:
        try:
            activated(world)
            done.set()
        finally:
            connection.close()

    with psycopg.connect(database) as claiming:
        claiming.execute("SELECT pg_advisory_xact_lock_shared(hashtext('ringi_emergency_stop'))")
        thread = threading.Thread(target=activating)
        thread.start()
        with psycopg.connect(database, autocommit=True) as looking:
            waiting = (
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = "
                "(SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            _until(lambda: looking.execute(waiting).fetchone() == (1,))
        assert not done.is_set() and not EmergencyStop.on()
        claiming.commit()
    thread.join(20)
    assert done.is_set() and EmergencyStop.on()


def test_a_waiting_deployment_is_not_continued(world: Any, approved_deployment: Callable[..., Deployment]) -> None:
    deployment = approved_deployment(row(["/bin/false"]), row(TRUE))
    with acting(WORKER):
        enqueue(deployment.pk)
        run_from(first(deployment).pk)
    stop = activated(world)
    assert world.fresh(deployment).state == "awaiting_decision", "none of its steps runs: it awaits a decision"
    with (
        world.acting_as("second_operator"),
        pytest.raises(GateNotPassed, match="All production has been stopped since"),
    ):
        resume.retry(first(deployment).pk, reason="again")
    lifted(world, stop)
    with world.acting_as("second_operator"):
        resume.retry(first(deployment).pk, reason="again")
    assert world.fresh(deployment).state == "running"


def test_a_rollback_is_never_stopped(world: Any, approved_deployment: Callable[..., Deployment]) -> None:
    from releases.operations.rollback import decide as rollbacks
    from releases.operations.rollback.start import start_rollback as begin

    deployment = approved_deployment(row(TRUE), row(["/bin/false"]))
    with acting(WORKER):
        enqueue(deployment.pk)
        run_from(first(deployment).pk)
    activated(world)
    with world.acting_as("operator"):
        rollback = rollbacks.raise_(deployment.pk, cause="major_failure")
    with world.acting_as("manager"):
        rollbacks.assess(rollback.pk, impact="i", method="m", timing="t")
    communicated(rollback)
    with world.acting_as("second_operator"):
        rollbacks.authorise(rollback.pk, digest=shown(rollback), reason="roll back")
    with acting(WORKER):
        run_from(begin(rollback.pk))
    assert set(deployment.steps.filter(phase="rollback").values_list("state", flat=True)) == {"succeeded"}


def test_lower_tiers_go_on(world: Any, queued: Callable[..., Deployment]) -> None:
    deployment = queued(row(TRUE))
    activated(world)
    with acting(WORKER):
        run_from(first(deployment).pk)
    assert world.fresh(deployment).state == "succeeded"


def test_lifting_the_stop_takes_two_people(world: Any) -> None:
    stop = activated(world, "committee_a")
    with world.acting_as("committee_a", proved=False), pytest.raises(SignatureRequired):
        request_lift(stop.pk, reason="over")
    with world.acting_as("committee_a"):
        approval_request = request_lift(stop.pk, reason="over")
        with pytest.raises(NotPossible, match="Lifting this emergency stop has already been requested"):
            request_lift(stop.pk, reason="over")
        with pytest.raises(NotPermitted, match="submitted it for approval"):
            decisions.approve(approval_request.pk, digest=approval_request.digest)
    for name in ("operator", "manager", "ci", "auditor"):
        with world.acting_as(name), pytest.raises((NotPermitted, SignatureRequired)):
            decisions.approve(approval_request.pk, digest=approval_request.digest)
    assert EmergencyStop.on() == [stop]
    with world.acting_as("committee_b"):
        decisions.approve(approval_request.pk, digest=approval_request.digest)
    assert not EmergencyStop.on() and world.fresh(stop).lifted_at is not None
    with world.acting_as("committee_a"), pytest.raises(NotPossible, match="The emergency stop was lifted already"):
        request_lift(stop.pk, reason="over")


def test_a_rejected_lift_leaves_the_stop_active_and_may_be_requested_again(world: Any) -> None:
    stop = activated(world)
    with world.acting_as("operator"):
        approval_request = request_lift(stop.pk, reason="over")
    with world.acting_as("committee_a"):
        decisions.reject(approval_request.pk, digest=approval_request.digest, comment="it still burns")
    assert EmergencyStop.on() == [stop]
    lifted(world, stop, member="committee_b")
    assert not EmergencyStop.on()


def test_without_a_rule_the_stop_cannot_be_lifted(world: Any) -> None:
    stop = activated(world)
    procedure = Procedure.objects.get(state="in_effect")
    text = dict(procedure.content)
    text["approval_rules"] = [rule for rule in text["approval_rules"] if rule["subject"] != "emergency_stop_lift"]
    alter(procedure, content=text)
    with world.acting_as("operator"), pytest.raises(GateNotPassed, match="no approval rule"):
        request_lift(stop.pk, reason="over")
    assert not ApprovalRequest.objects.filter(emergency_stop=stop).exists()


def test_every_page_shows_the_stop(world: Any, browsers: Callable[[str], Any]) -> None:
    client = browsers("operator")
    pages = [
        reverse("admin:index"),
        reverse("queues"),
        reverse("calendar"),
        reverse("timeline"),
        "/account/mfa/",
        reverse("admin:releases_release_changelist"),
        reverse("operation-new", args=["release", "plan"]),
    ]
    for address in pages:
        assert "data-emergency-stop" not in client.get(address).content.decode(), address
    stop = activated(world)
    for address in pages:
        html = client.get(address).content.decode()
        assert f'data-emergency-stop="{stop.pk}"' in html and "the data centre burns" in html, address
    client.cookies["django_language"] = "ja"
    assert "緊急停止中" in client.get(pages[0]).content.decode()
    assert "data centre" not in browsers("outsider").get("/account/login/").content.decode()


def test_the_stop_is_activated_and_lifted_on_its_pages(world: Any, browsers: Callable[[str], Any]) -> None:
    operator, member = browsers("operator"), browsers("committee_a")
    assert (
        operator.post(reverse("operation-new", args=["emergency_stop", "activate"]), {"reason": "fire"}).status_code
        == 302
    )
    stop = EmergencyStop.objects.get()
    page = reverse("admin:releases_emergencystop_change", args=[stop.pk])
    assert "emergency_stop:request_lift" in operator.get(page).content.decode()
    answer = operator.post(reverse("operation", args=["emergency_stop", "request_lift", stop.pk]), {"reason": "out"})
    approval_request = ApprovalRequest.objects.get(emergency_stop=stop)
    assert answer["location"] == reverse("approval-request", args=[approval_request.pk])
    shown = member.get(answer["location"]).content.decode()
    assert "fire" in shown and "approval:approve" in shown
    assert str(approval_request.emergency_stop) in member.get(reverse("admin:index")).content.decode(), (
        "it waits on My tasks"
    )
    member.post(
        reverse("operation", args=["approval", "approve", approval_request.pk]), {"digest": approval_request.digest}
    )
    assert not EmergencyStop.on()


def test_programs_activate_the_stop_within_their_rights(world: Any, managing: str) -> None:
    ci = token_for(world, world.people["ci"])
    assert ask("get", "/emergency-stop", token=ci).json() == {"stopped": False, "stops": []}
    assert ask("post", "/emergency-stop/activate", {"reason": "x"}, token=ci).status_code == 403
    assert ask("post", "/emergency-stop/activate", {"reason": ""}, token=managing).status_code in (400, 422)
    answer = ask("post", "/emergency-stop/activate", {"reason": "alarm of the monitor"}, token=managing)
    (stop,) = answer.json()["stops"]
    assert answer.status_code == 200 and answer.json()["stopped"] and stop["activated_by"] == "Managing"
    assert (stop["application"], stop["pauses"]) == (None, False)
    assert ask("post", "/emergency-stop/activate", {"reason": "again"}, token=managing).status_code == 409
    refused = ask("post", "/emergency-stop/request_lift", {"reason": "over"}, token=managing)
    assert refused.status_code in (401, 403) and EmergencyStop.on()
    with acting(WORKER), pytest.raises(NotPermitted):
        request_lift(EmergencyStop.objects.get().pk, reason="over")
