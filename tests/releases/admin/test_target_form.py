"""The form of a deployment target: typed fields, faults at the field, and one message for a duplicate."""

from __future__ import annotations

from typing import Any

from django import forms
from django.urls import reverse

from environments.models import DeploymentTarget
from environments.targets.landlock import landlock
from releases.admin.components.target_form import ELSEWHERE, fields_of, settings_of
from releases.queries.target_schema import faults_by_key, keys

HOST_LINE = "app1.example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFPa0x3cJ0tTQcD2yQ3cZ8o0Vd0e1Yx0h5mC3fQ0x3cJ"


def test_a_second_target_in_one_environment_is_refused_with_one_message(world: Any, browsers: Any) -> None:
    there: Any = DeploymentTarget.objects.select_related("environment").filter(environment__slug="production").first()
    form = {"application_id": there.application_id, "environment_id": there.environment_id, "root": "/srv/second"}
    answered = browsers("operator").post("/admin/operation/target/create/", {**form, "service.start": "{tree}/run"})
    assert answered.status_code == 400
    assert (
        f"This application already has a deployment target “main” in Production: {there.root}. Change the folder"
        in answered.text
    )


def made(browsers: Any, **given: Any) -> Any:
    """Post the form of a new target for an environment without one; return the answer."""
    there: Any = DeploymentTarget.objects.filter(environment__slug="production").first()
    there = {"application_id": there.application_id, "environment_id": there.environment_id}
    return browsers("operator").post("/admin/operation/target/create/", {**there, "root": "/srv/second", **given})


def test_the_form_has_a_field_for_each_option_without_its_own_page() -> None:
    assert sorted([*fields_of({}), *ELSEWHERE]) == sorted(keys())


def test_the_form_saves_the_shown_values() -> None:
    settings = {
        "service": {
            "start": ["{tree}/run", "--name", "two words", 'a"b', "--config", "{config}"],
            "stop_seconds": 5.0,
            "ready": {"url": "http://127.0.0.1:8000/health", "seconds": 20.0},
        },
        "configuration": {"format": "toml"},
        "ssh": {"host": "app1.example", "user": "deploy", "known_hosts": [HOST_LINE], "port": 2222},
        "ansible": {"inventory": {"all": {"hosts": {"web1": None}}}},
        "migrate": ["{tree}/migrate"],
    }
    form: Any = type("Form", (forms.Form,), fields_of(settings))
    shown = {name: form()[name].value() for name in form.base_fields}
    sent = form({name: value for name, value in shown.items() if value is not None})
    assert sent.is_valid(), sent.errors
    assert settings_of(sent.cleaned_data) == settings
    assert not faults_by_key(settings)


def test_an_error_is_shown_at_its_field_in_the_readers_language(world: Any, browsers: Any) -> None:
    answered = made(browsers, **{"metrics_url": "app:8000", "ansible.inventory": '{"all": ]}', "ssh.host": "app1"})
    assert answered.status_code == 400
    faults = answered.context["form"].errors
    assert faults["ansible.inventory"] == ["This is not valid JSON: line 1, column 9: Expecting value"]
    answered = made(browsers, **{"metrics_url": "app:8000", "ssh.host": "app1", "service.start": "a 'b"})
    faults = answered.context["form"].errors
    assert faults["service.start"] == ["A quotation mark is not closed, or a backslash ends the line."]
    answered = made(browsers, **{"metrics_url": "app:8000", "ssh.host": "app1"})
    faults = answered.context["form"].errors
    assert "write an http or https address" in faults["metrics_url"][0]
    assert "is missing" in faults["ssh.user"][0] and "is missing" in faults["ssh.known_hosts"][0]
    assert DeploymentTarget.objects.filter(root="/srv/second").count() == 0


def test_the_page_of_a_new_target_explains_each_field_with_an_example(world: Any, browsers: Any) -> None:
    page = browsers("operator").get("/admin/operation/target/create/").text
    assert "Exit status 0: the service runs" in page and 'placeholder="http://127.0.0.1:8000/health"' in page
    assert ">null<" not in page


def test_the_page_of_a_target_lists_the_paths_open_to_programs(world: Any, browsers: Any) -> None:
    there: Any = DeploymentTarget.objects.filter(environment__slug="production").first()
    page = browsers("operator").get(reverse("admin:environments_deploymenttarget_change", args=[there.pk]))
    expected = "Programs see only the folder, the system and the paths given here" if landlock() else "has no Landlock"
    assert "Paths visible to programs" in page.text and expected in page.text
