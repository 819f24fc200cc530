"""First steps: what is lacking, who may add it, and the way there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from audit.actor import acting
from audit.operation import operation
from environments.models import AccessGrant, Application, DeploymentTarget
from environments.operations.account.create import create
from releases.admin.pages.first_steps.page import FirstStep, unfinished
from releases.operations.application.create import create_application
from tests.environments.conftest import COMMAND
from tests.releases.admin.seed_deployments import make_deployment
from tests.releases.admin.test_teams import limit

PAGE = "/admin/first-steps/"


def steps(answer: Any) -> dict[str, FirstStep]:
    """Return the steps of the page by title."""
    return {step.title: step for _title, found in answer.context["groups"] for step in found}


def test_an_empty_system_leads_each_reader_to_what_they_may_do(people: dict[str, Any], browsers: Any) -> None:
    assert PAGE in browsers("administrator").get("/admin/").text
    shown = steps(browsers("administrator").get(PAGE))
    assert shown["A second administrator"].done and shown["A release procedure in effect"].done
    application = shown["An application with its repository"]
    assert not application.done and not application.buttons, "an administrator enters none"
    assert str(people["manager"]) in application.who
    assert [b.key for b in shown["People for every rule of the procedure"].buttons] == ["account:create"]
    manager = steps(browsers("manager").get(PAGE))
    assert [b.key for b in manager["An application with its repository"].buttons] == ["application:create"]


def test_a_role_that_waits_is_named_with_what_it_waits_for(
    people: dict[str, Any], acting_as: Callable[..., Any], browsers: Any
) -> None:
    with acting_as("administrator"):
        create(username="sato", display_name="Sato", roles=("committee",), invite=True, reason="new member")
    says = steps(browsers("administrator").get(PAGE))["People for every rule of the procedure"].says
    assert any("Sato has not enrolled yet." in line for line in says), says


def test_a_service_waits_for_a_second_administrator_and_enrols_never(
    people: dict[str, Any], acting_as: Callable[..., Any], browsers: Any
) -> None:
    with acting_as("administrator"):
        create(username="robot", display_name="Robot", kind="service", roles=("ci",), reason="builds")
    says = steps(browsers("administrator").get(PAGE))["People for every rule of the procedure"].says
    assert any("a second administrator confirms the grant of Robot" in line for line in says), says


def test_a_reader_of_one_application_learns_nothing_of_the_people_of_another(
    world: Any, people: dict[str, Any], browsers: Any
) -> None:
    portal, datasets = (Application.objects.get(slug=slug) for slug in ("portal", "datasets"))
    limit(people, portal, "tester")
    with acting(COMMAND), operation("test:waits"):
        AccessGrant.objects.filter(account=people["committee_a"]).update(
            application=datasets, confirmed_by=None, confirmed_at=None
        )
    name = str(people["committee_a"])
    title = "People for every rule of the procedure"
    assert any(name in line for line in steps(browsers("administrator").get(PAGE))[title].says)
    says = steps(browsers("tester").get(PAGE))[title].says
    assert not any(name in line or str(datasets) in line for line in says), says


def test_a_new_application_lacks_everything_and_the_buttons_fill_in_its_forms(
    world: Any, people: dict[str, Any], acting_as: Callable[..., Any], browsers: Any
) -> None:
    with acting_as("manager"):
        wiki = create_application(slug="wiki", name="Wiki", repository="https://git.example/wiki.git")
    browser = browsers("manager")
    shown = steps(browser.get(PAGE))  # the newest application comes by itself
    targets = shown["A deployment target in each environment"]
    assert not targets.done and targets.says == ["Not yet: Development, Staging, Production"]
    form = browser.get(targets.buttons[0].url).context["form"]
    assert form["application_id"].value() == str(wiki.pk)
    configurations = shown["A configuration of each environment"]
    assert str(people["developer"]) in configurations.who, "who may edit those of development"
    assert str(people["developer"]) not in targets.who
    assert not shown["A verified deployment in Development"].done
    known = steps(browser.get(f"{PAGE}{Application.objects.get(slug='datasets').pk}/"))
    assert known["A deployment target in each environment"].done and known["A first release"].done
    missing = DeploymentTarget.objects.filter(application__slug="datasets", environment__slug="staging").get()
    with acting(COMMAND), operation("test:retired"):
        DeploymentTarget.every.filter(pk=missing.pk).update(retired=True)
    known = steps(browser.get(f"{PAGE}{Application.objects.get(slug='datasets').pk}/"))
    assert known["A deployment target in each environment"].says == ["Not yet: Staging"]


def test_the_hint_ends_with_the_first_deployment_to_a_protected_environment(
    world: Any, acting_as: Callable[..., Any], browsers: Any
) -> None:
    assert unfinished()
    verbs = ("schedule", "enqueue", "start", "start_verification", "start_monitoring")
    make_deployment(acting_as, world["released"], "production", *verbs)
    assert not unfinished() and PAGE + '"><b>' not in browsers("manager").get("/admin/").text


@pytest.mark.parametrize("name", ["manager", "auditor", "administrator", "developer"])
def test_the_page_is_there_in_both_languages_for_all_who_may_look(world: Any, browsers: Any, name: str) -> None:
    for language in ("en", "ja"):
        assert browsers(name).get(PAGE, headers={"accept-language": language}).status_code == 200
