"""The forms for a deployment process: each makes the next version, a draft that differs in what was entered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from audit.refusals import InvalidInput
from releases.admin.operations.process_forms import PARTS, change, read
from releases.admin.pages.deployment_process.page import OWN, process_contents, sections_of, template_text
from releases.admin.pages.procedure.difference import differences
from releases.models import DeploymentProcess
from releases.operations.deployment_process.create import create
from releases.procedures.compare import changed
from releases.procedures.process import SECTIONS, Process


@pytest.fixture
def make(world: dict[str, Any], acting_as: Any) -> Callable[[str], DeploymentProcess]:
    """Return a function: create a version from TOML."""

    def made(text: str) -> DeploymentProcess:
        application = world["application"]
        with acting_as("developer"):
            return create(application_id=application.pk, content=read(application, text), reason="our own")

    return made


@pytest.fixture
def base(make: Callable[[str], DeploymentProcess]) -> DeploymentProcess:
    """A first version, a draft, with a variable and batches."""
    return make(template_text("static-files").replace("format = 1", 'format = 1\nstrategy.batches = ["1", "100%"]'))


def posted(browsers: Any, base: DeploymentProcess, part: str, **values: Any) -> Any:
    """Change fields of a form as the release manager; return its answer."""
    address = reverse("operation", args=["deployment_process", f"revise_{part}", base.pk])
    manager = browsers("manager")
    form = manager.get(address).context["form"]
    left_out = (None, "", False)
    sent = {n: f.initial for n, f in form.fields.items() if not any(f.initial is one for one in left_out)}
    sent |= {n: f.choices[0][0] for n, f in form.fields.items() if n in ("new_type", "new_place")}
    return manager.post(address, sent | {"reason": "as agreed"} | values)


def difference(base: DeploymentProcess) -> dict[str, tuple[str, str]]:
    """Return what the next version changes."""
    made_ = DeploymentProcess.objects.get(number=base.number + 1)
    assert (made_.state, made_.reason) == ("draft", "as agreed")
    assert DeploymentProcess.objects.get(pk=base.pk).state == "discarded"
    return {" › ".join(place): texts for place, texts in changed(base.content, made_.content).items()}


def plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows without their marks."""
    return [{name: row[name] for name in row if name not in ("origin", "default_fields")} for row in rows]


@pytest.mark.parametrize("part", PARTS)
def test_a_form_that_changes_nothing_makes_no_version(browsers: Any, base: DeploymentProcess, part: str) -> None:
    answer = posted(browsers, base, part)
    assert "Nothing differs from version 1" in answer.content.decode(), answer.context["form"].errors
    assert DeploymentProcess.objects.count() == 1


def test_steps_are_moved_changed_removed_and_added(browsers: Any, base: DeploymentProcess) -> None:
    new = {"new_name": "Warm up", "new_type": "wait", "new_place": "after_deployment"}
    values = {
        "deployment__0__place": 3,
        "deployment__1__estimate_seconds": 77,
        "rollback__1__parameters": 'action = "start"',
    }
    answer = posted(browsers, base, "steps", **values, **new, new_parameters="seconds = 5")
    assert answer.status_code == 302, answer.context["form"].errors
    plans = DeploymentProcess.objects.get(number=2).content["plans"]
    assert [row["key"] for row in plans["deployment"]] == ["service_restart", "code_deploy"]
    assert plans["deployment"][0]["estimate_seconds"] == 77
    assert plans["rollback"][1]["parameters"] == {"action": "start"}
    (added,) = plans["after_deployment"]
    assert (added["key"], added["en"], added["parameters"]) == ("wait_1", "Warm up", {"seconds": 5})
    second = DeploymentProcess.objects.get(number=2)
    assert posted(browsers, second, "steps", removed=[2]).status_code == 302
    assert difference(second).popitem()[0].startswith("plans › after_deployment")


def test_a_fault_names_its_place_and_stores_nothing(browsers: Any, base: DeploymentProcess) -> None:
    for part, values, said in (
        ("steps", {"deployment__1__parameters": 'action = "dance"'}, "plans.deployment[1].parameters"),
        ("steps", {"deployment__1__parameters": "action ="}, "The parameters are not TOML"),
        ("checks", {"removed": [], "1__parameters": 'path = "#{no}"'}, "which is no variable"),
        ("variables", {"0__targets": "nowhere"}, "has no value on other targets"),
        ("batches", {"batches": "half"}, "strategy.batches"),
        ("triggers", {"0__limit": "much"}, "triggers"),
    ):
        answer = posted(browsers, base, part, **values)
        assert answer.status_code == 400 and said in answer.content.decode(), (part, values, answer.status_code)
    assert DeploymentProcess.objects.count() == 1


def test_a_check_is_added_and_another_one_is_removed(browsers: Any, base: DeploymentProcess) -> None:
    new = {"new_name": "Robots", "new_type": "http", "new_place": "deployment", "removed": [2]}
    assert (
        posted(browsers, base, "checks", **new, new_parameters='path = "/robots.txt"\nstatus = 200').status_code == 302
    )
    assert set(difference(base)) == {"checks › http_1", "checks › missing_page"}


def test_a_variable_gets_a_value_for_a_target(browsers: Any, base: DeploymentProcess) -> None:
    new = {"1__name": "page", "1__value": "/staging", "1__environments": ["staging"], "1__targets": "main"}
    answer = posted(browsers, base, "variables", **new)
    assert answer.status_code == 302, answer.context["form"].errors
    assert plain(DeploymentProcess.objects.get(number=2).content["variables"]) == [
        {"name": "page", "value": "/", "environments": []},
        {"name": "page", "value": "/staging", "environments": ["staging"], "targets": ["main"]},
    ]


def test_batches_and_triggers(browsers: Any, base: DeploymentProcess) -> None:
    assert posted(browsers, base, "batches", batches="1, 25% 100%", pause_seconds=60).status_code == 302
    assert plain([DeploymentProcess.objects.get(number=2).content["strategy"]]) == [
        {"batches": ["1", "25%", "100%"], "max_failures": 0, "pause_seconds": 60}
    ]
    second = DeploymentProcess.objects.get(number=2)
    values = {"duration_seconds": 3600, "1__limit": "2", "1__dry_run": "", "removed": [2]}
    assert posted(browsers, second, "triggers", **values).status_code == 302
    assert set(difference(second)) == {
        "monitoring › duration_seconds",
        "triggers › response_time",
        "triggers › wrong_content",
    }


def test_an_approver_sees_every_section_of_a_process(browsers: Any, base: DeploymentProcess) -> None:
    assert {*OWN, *SECTIONS, "format"} == set(Process.model_fields)
    assert posted(browsers, base, "batches", batches="1, 25% 100%").status_code == 302
    second = DeploymentProcess.objects.get(number=base.number + 1)
    before, after = process_contents(second, str(base.number))
    assert [(row.section, row.place) for row in differences(before, after)] == [("Batches", "batches")]


def test_the_page_of_a_process_shows_each_of_its_sections(browsers: Any, make: Any) -> None:
    only = make(template_text("containers") + '\n[strategy]\nbatches = ["1", "25%"]\n')
    shown = {section.key for section in sections_of(only) if section.lines}
    assert shown == {key for key in (*OWN, *SECTIONS) if getattr(only.document, key)}
    assert {"artefact", "strategy"} <= shown
    page = browsers("committee_b").get(reverse("admin:releases_deploymentprocess_change", args=[only.pk])).text
    assert all(words in page for words in ("Batches", "25%", "Artefact", "image"))


def test_only_the_newest_version_is_changed(make: Any, base: DeploymentProcess, acting_as: Any) -> None:
    make(template_text("static-files"))
    with acting_as("manager"), pytest.raises(InvalidInput, match="Discarded"):
        change(base.pk, part="batches", reason="x", batches="1", max_failures=0, pause_seconds=0)


def test_a_section_of_the_procedure_is_not_changed_here(make: Any, browsers: Any) -> None:
    only = make("format = 1\n[strategy]\nmax_failures = 1")
    address = reverse("operation", args=["deployment_process", "revise_steps", only.pk])
    assert "the release procedure applies" in browsers("manager").get(address).content.decode()
