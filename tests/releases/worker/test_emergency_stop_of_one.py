"""The emergency stop of one application, and the pausing one: deployments wait before their next step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from audit.actor import acting
from audit.refusals import GateNotPassed, InvalidInput, NotPossible
from releases.gates.evaluation import evaluate
from releases.models import DecisionRequest, Deployment, EmergencyStop
from releases.operations.deployment.enqueue import enqueue
from releases.operations.emergency_stop.activate import activate
from releases.operations.step.claim import claim
from releases.worker.executor import run_from
from releases.worker.poll import poll_once
from tests.releases.api.conftest import ask, managing

from .conftest import TRUE, WORKER, first, row, states
from .test_emergency_stop import activated, lifted

__all__ = ["managing"]


def other_application(world: Any) -> Any:
    from releases.operations.application.create import create_application

    with world.acting_as("manager"):
        return create_application(slug="other", name="Other", repository="/srv/other.git")


def test_programs_stop_or_pause_one_application(world: Any, managing: str) -> None:
    other_application(world)
    pause = {"reason": "alarm of the monitor", "application": "datasets", "pauses": True}
    answer = ask("post", "/emergency-stop/activate", pause, token=managing)
    assert [(stop["application"], stop["pauses"]) for stop in answer.json()["stops"]] == [("datasets", True)]
    assert ask("get", "/emergency-stop?application=datasets", token=managing).json()["stopped"]
    assert not ask("get", "/emergency-stop?application=other", token=managing).json()["stopped"]
    assert (
        ask("post", "/emergency-stop/activate", pause | {"application": "nothing"}, token=managing).status_code == 404
    )


def test_a_stop_of_one_application_stops_no_other(world: Any, approved_deployment: Callable[..., Deployment]) -> None:
    deployment = approved_deployment(row(TRUE))
    theirs = activated(world, application_id=other_application(world).pk)
    with acting(WORKER):
        enqueue(deployment.pk)
        assert claim(first(deployment).pk, worker="w") is not None
    assert world.fresh(deployment).state == "running", "the activation has not ended it"
    assert EmergencyStop.on(world.application.pk) == [] and EmergencyStop.on(theirs.application_id) == [theirs]
    ours = activated(world, application_id=world.application.pk)
    assert world.fresh(deployment).state == "stopping" and EmergencyStop.on() == [theirs, ours]
    reason = [
        answer.reason
        for answer in evaluate(deployment.release, deployment.environment)
        if answer.gate == "emergency_stop"
    ]
    assert len(reason) == 1 and reason[0].startswith("Production of Datasets has been stopped since")
    with world.acting_as("operator"), pytest.raises(InvalidInput, match="The selected application does not exist"):
        activate(reason="x", application_id=9999)


@pytest.mark.parametrize("worker", ["", "w"], ids=["offered", "followed"])
def test_a_pause_holds_a_deployment_before_its_next_step_until_it_is_lifted(
    world: Any, approved_deployment: Callable[..., Deployment], worker: str
) -> None:
    from audit.clock import now
    from releases.operations.step.outcome import record_success

    deployment = approved_deployment(row(TRUE), row(TRUE))
    with acting(WORKER):
        enqueue(deployment.pk)
        taken = claim(first(deployment).pk, worker="w")
        assert taken is not None
    stop = activated(world, pauses=True)
    with acting(WORKER):
        following = record_success(taken.step, fencing_token=1, result={}, worker=worker)
        assert following is not None and claim(following.pk, worker="w") is None
        poll_once(now())
        run_from(following.pk)
    assert (world.fresh(deployment).state, states(deployment)) == ("running", ["succeeded", "ready", "pending"]), (
        "neither ended nor lost"
    )
    assert not DecisionRequest.objects.filter(deployment=deployment).exists(), "no decision is needed"
    lifted(world, stop)
    with acting(WORKER):
        run_from(following.pk)
    assert (world.fresh(deployment).state, states(deployment)) == ("verifying", ["succeeded", "succeeded", "succeeded"])


def test_a_pause_lets_nothing_start(world: Any, approved_deployment: Callable[..., Deployment]) -> None:
    deployment = approved_deployment(row(TRUE))
    activated(world, pauses=True)
    with acting(WORKER), pytest.raises(GateNotPassed, match="has been paused since"):
        enqueue(deployment.pk)


def test_a_paused_production_can_still_be_stopped_and_each_stop_is_lifted_separately(
    world: Any, approved_deployment: Callable[..., Deployment]
) -> None:
    deployment = approved_deployment(row(TRUE))
    with acting(WORKER):
        enqueue(deployment.pk)
        assert claim(first(deployment).pk, worker="w") is not None
    pause = activated(world, pauses=True)
    assert world.fresh(deployment).state == "running"
    with world.acting_as("manager"), pytest.raises(NotPossible, match="already"):
        activate(reason="again", pauses=True)
    stop = activated(world)
    assert world.fresh(deployment).state == "stopping"
    assert EmergencyStop.on() == [stop, pause]
    lifted(world, stop)
    assert EmergencyStop.on() == [pause]


def test_notifications_name_the_stopped_application_and_the_lift(world: Any) -> None:
    from tests.releases.operations.notifying import forget, join, make_notifications, only

    only(*((event, "operations_team", "admin") for event in ("emergency_stop:activate", "emergency_stop:lift")))
    join("operations_team", world.people["operator"])
    forget()
    stop = activated(world, application_id=world.application.pk, pauses=True)
    (notification,) = make_notifications()
    assert notification.texts["en"]["subject"].endswith(
        "Production of Datasets: running deployments wait before their next step."
    )
    assert "次のステップの前で待機" in notification.texts["ja"]["subject"]
    lifted(world, stop)
    (lift,) = [notification for notification in make_notifications() if notification.event == "emergency_stop:lift"]
    assert "lifted" in lift.texts["en"]["subject"] and lift.inbox_items.count() == 1


def test_the_page_selects_the_application_and_a_pause(world: Any, browsers: Callable[[str], Any]) -> None:
    operator, address = browsers("operator"), reverse("operation-new", args=["emergency_stop", "activate"])
    html = operator.get(address).content.decode()
    assert "Hold running deployments before their next step" in html and "all applications" in html
    given = {"reason": "fire", "application_id": world.application.pk, "pauses": "1"}
    assert operator.post(address, given).status_code == 302
    (stop,) = EmergencyStop.on()
    assert stop.pauses and stop.application == world.application
    activated(world)
    html = operator.get(reverse("admin:index")).content.decode()
    assert "Production of Datasets has been paused since" in html and "All production has been stopped since" in html
    listed = operator.get(reverse("admin:releases_emergencystop_changelist")).content.decode()
    assert "pause before their next step" in listed and "are stopped" in listed
