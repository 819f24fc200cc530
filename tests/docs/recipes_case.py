"""What each recipe adds is used: test_recipes.py runs these tests in a copy of the tree with all recipes applied."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import translation

from audit.actor import acting
from audit.clock import now
from audit.refusals import GateNotPassed
from releases.api.clearing import clears
from releases.gates.evaluation import evaluate, require
from releases.models import Deployment, EmergencyStop, Procedure
from releases.notifications.templates.defaults import default_words
from releases.operations.evidence.upload import upload
from releases.operations.release.plan import edit
from releases.operations.release.prepare import lock_scope
from releases.procedures.document import Procedure as Content
from releases.procedures.load import default, default_text
from releases.queries.procedure_types import procedure_types
from releases.queries.step_plan import step_plan
from releases.worker.executor import run_from
from tests.docs.recipes import row
from tests.releases.conftest import sample_repository, world, world_template
from tests.releases.gates.asking import alter, ask, make
from tests.releases.operations.notifying import forget, join, make_notifications
from tests.releases.worker.conftest import TRUE, WORKER, first, queued, row as command, short_times, valkey

__all__ = ["queued", "sample_repository", "short_times", "valkey", "world", "world_template"]


def procedure_with(text: str) -> Content:
    """Return the default procedure with a row more, as `procedure load` takes it."""
    return Content.from_toml(default_text() + "\n" + text, **procedure_types())


def test_step_type(world: Any, queued: Callable[..., Deployment]) -> None:
    """A procedure plans the step, and a worker runs it in the folder of the target."""
    planned = step_plan(procedure_with(row("step type")), "", "")["verification"]
    (step,) = (step for step in planned if step["step_type"] == "clear_cache")
    cache = Path(world.targets["development"].root) / "shared" / "cache"
    cache.mkdir(parents=True)
    (cache / "page.html").write_text("old")
    deployment = queued(step)
    with acting(WORKER):
        run_from(first(deployment).pk)
    assert world.fresh(deployment).state == "succeeded"
    assert first(deployment).result["entries"] == 1 and list(cache.iterdir()) == []


@pytest.mark.parametrize(("ready", "result"), [(True, "passed"), (False, "failed")])
def test_check_type(world: Any, queued: Callable[..., Deployment], ready: bool, result: str) -> None:
    """A procedure names the check, and its result decides the verification of a deployment."""
    raw = default().model_dump(mode="json")
    raw["checks"][0] |= {"type": "ready_file", "parameters": {}}
    plan = step_plan(Content.checked(raw, **procedure_types()), "", "")
    (check,) = (step for steps in plan.values() for step in steps if step["parameters"].get("check") == "ready_file")
    file = Path(world.targets["development"].root) / "shared" / "ready"
    if ready:
        file.parent.mkdir()
        file.touch()
    deployment = queued(command(TRUE), verify=(check,))
    with acting(WORKER):
        run_from(first(deployment).pk)
    step = deployment.steps.get(step_type="check")
    assert (step.state == "succeeded") == ready and (world.fresh(deployment).state == "succeeded") == ready
    assert result in (step.result.get("result") or step.failure)


def test_gate(world: Any) -> None:
    """The gate of a procedure that names it refuses until the plan is written, and says what clears it."""
    release, where = world.planned(), world.environments["production"]
    assert "rollback_plan" not in [answer.gate for answer in evaluate(release, where)]
    alter(Procedure.objects.get(state="in_effect"), content=procedure_with(row("gate")).model_dump(mode="json"))
    answer = ask(world, release, "rollback_plan")
    assert answer.result == "not_passed" and clears(answer, release) == "Enter the rollback plan."
    with pytest.raises(GateNotPassed, match="The release does not describe its rollback"):
        require(world.fresh(release), where)
    with world.acting_as("author_on_committee"):
        edit(release.pk, fields={"rollback_plan": "Place the previous version and restore the backup."})
    assert ask(world, release, "rollback_plan").result == "passed"


def test_evidence_reader(world: Any) -> None:
    """An uploaded report is read, and its values count at the gate."""
    release = world.planned()
    for covered, result in ((949, "passed"), (500, "not_passed")):
        report = {"total": {"lines": {"total": 1000, "covered": covered, "skipped": 0, "pct": covered / 10}}}
        with world.acting_as("ci"):
            (evidence,) = upload(
                world.application.pk,
                environment_id=world.environments["development"].pk,
                kind="coverage",
                commit=world.built.commits["v1.3.0"],
                files=[("coverage-summary.json", json.dumps(report).encode())],
            )
        assert (evidence.tool, evidence.values["lines_covered"]) == ("Istanbul", covered)
        assert ask(world, release, "coverage").result == result


def test_page(people: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """A signed-in reader sees the page and finds it in the navigation; nobody else does."""
    stop = make(EmergencyStop, reason="disk failure", activated_by=people["operator"], activated_at=now())
    page = browsers("auditor").get("/admin/active-stops/")
    assert page.status_code == 200 and f"<p>{stop}</p>" in page.content.decode()
    assert 'href="/admin/active-stops/"' in browsers("auditor").get("/admin/calendar/").content.decode()
    assert browsers("outsider").get("/admin/active-stops/").status_code == 403
    assert Client().get("/admin/active-stops/").status_code == 302


def test_notification_event(world: Any) -> None:
    """The event has default templates, and its operation notifies the group of the rule in the reader's language."""
    subjects = [default_words("release:lock_scope", language).subject for language in ("en", "ja")]
    assert subjects[0].startswith("[Scope locked]") and subjects[1].startswith("【リリース内容確定】")
    release = world.planned()
    join("development_team", alter(world.people["developer"], language="ja"))
    join("development_team", alter(world.people["tester"], language="en"))
    forget()
    with world.acting_as("manager"):
        lock_scope(release.pk)
    (notification,) = (one for one in make_notifications() if one.event == "release:lock_scope")
    words = {item.name: item.words for item in notification.inbox_items.all()}
    assert words["Tester"]["body"] == "Manager locked the scope of Datasets 1.3.0."
    assert words["Developer"]["body"] == "ManagerさんがDatasets 1.3.0のリリース内容を確定しました。"
    with translation.override("ja"):
        assert words["Developer"]["subject"].endswith("Datasets 1.3.0")
