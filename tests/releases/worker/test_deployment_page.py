"""The page of a deployment: what it does now, and a history in which steps that ran as planned are one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.urls import reverse

from audit.actor import acting
from releases.admin.components.change_history import History
from releases.models import Deployment
from releases.operations.deployment.enqueue import enqueue
from releases.operations.step.claim import claim
from releases.operations.team.assign import assign_all
from releases.worker.executor import run_from
from tests.releases.gates.asking import alter

from .conftest import TRUE, WORKER, first, row

Clients = Callable[[str], Any]


def lines(history: History) -> list[Any]:
    return [line for day in history.days for line in day.lines]


def test_steps_that_ran_as_planned_are_one_line(
    world: Any, queued: Callable[..., Deployment], browsers: Clients
) -> None:
    names = ("Stop", "Replace", "Start")
    deployment = queued(*(row(TRUE) | {"label_en": name} for name in names))
    with acting(WORKER):
        run_from(first(deployment).pk)
    page = browsers("operator").get(reverse("deployment", args=[deployment.pk]))
    found = lines(page.context["history"])
    (steps,) = [line.steps for line in found if line.steps]
    assert steps.succeeded == [*names, "Command"] and steps.begun == []
    assert {"deployment:request", "deployment:schedule", "deployment:enqueue"} <= {
        line.entry.operation for line in found if line.entry
    }
    assert "Stop → Replace → Start → Command" in page.content.decode()


def test_a_failed_step_has_a_line_of_its_own(world: Any, queued: Callable[..., Deployment], browsers: Clients) -> None:
    deployment = queued(row(TRUE) | {"label_en": "Stop"}, row(["/bin/false"]) | {"label_en": "Replace"})
    with acting(WORKER):
        run_from(first(deployment).pk)
    page = browsers("operator").get(reverse("deployment", args=[deployment.pk]))
    found = lines(page.context["history"])
    (steps,) = [line.steps for line in found if line.steps]
    assert (steps.succeeded, steps.begun) == (["Stop"], ["Replace"])
    (failed,) = [line.entry for line in found if line.entry and line.entry.operation == "step:fail"]
    assert failed.about == "step Replace"


def test_the_release_names_what_its_events_are_about(world: Any, browsers: Clients) -> None:
    release = world.planned()
    with world.acting_as("manager"):
        assign_all(release.pk, members={"implementer": (world.people["operator"].pk, "03-1")})
    page = browsers("manager").get(reverse("release", args=[release.pk]))
    (line,) = [one.entry for one in lines(page.context["history"]) if one.entry.operation == "team:assign"]
    assert str(world.people["operator"]) in line.about and line.classes.strip() == "by-person"
    assert line.about in page.content.decode()


def test_the_page_says_what_runs_and_what_is_left(
    world: Any, approved_deployment: Callable[..., Deployment], browsers: Clients
) -> None:
    deployment = approved_deployment(row(TRUE))
    page = browsers("operator").get(reverse("deployment", args=[deployment.pk]))
    assert page.context["present"] is None
    with acting(WORKER):
        enqueue(deployment.pk)
        claim(first(deployment).pk, worker="one")
    assert deployment.approval_request is not None
    agreed = deployment.approval_request.document["on_timeout"]
    alter(deployment.release, on_timeout="keep" if agreed == "roll_back" else "roll_back")
    page = browsers("operator").get(reverse("deployment", args=[deployment.pk]))
    present = page.context["present"]
    assert present.on_timeout == agreed  # what the release says since then does not count
    assert [str(step) for step, _seconds in present.steps] == ["Command"]
    decide, window = present.limits
    assert decide.at < window.at and 0 < decide.left < window.left
    assert [entry.telephone for entry in present.team]
    seen = {name: browsers(name).get(reverse("deployment", args=[deployment.pk])) for name in ("tester", "developer")}
    assert {name: page.context["sees"] for name, page in seen.items()} == {"tester": False, "developer": False}
    assert not any(page.context["present"].team for page in seen.values())
