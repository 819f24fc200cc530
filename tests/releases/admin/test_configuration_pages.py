"""The configuration pages: they compare without showing a secret, and never show a typed secret again."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from audit.actor import acting
from environments.models import Application, ConfigurationCheck, ConfigurationVersion, Environment
from environments.operations.access.grant import request_role
from environments.operations.configuration.create import create
from tests.releases.admin import seed
from tests.releases.gates.asking import COMMAND

LIST = "admin:environments_configurationversion_changelist"
WORDS = ("first-hidden-word", "second-hidden-word")


@pytest.fixture
def versions(people: dict[str, Any], acting_as: Callable[..., Any]) -> dict[str, ConfigurationVersion]:
    """Two versions of production and one of staging, beside those of the application."""
    application = seed.application(acting_as)
    where = {e.slug: {"application_id": application.pk, "environment_id": e.pk} for e in Environment.objects.all()}
    with acting_as("operator"):
        one = create(
            **where["production"],
            values={"PORT": "8080", "GONE": "was-here", "SAME": "kept"},
            secrets={"TOKEN": WORDS[0], "STAYS": "never-changed"},
            reason="one",
        )
        two = create(
            **where["production"],
            values={"PORT": "9090", "NEW": "came", "SAME": "kept"},
            secrets={"TOKEN": WORDS[1], "STAYS": ""},
            reason="two",
        )
        # A secret elsewhere is a plain value here, and has the same text.
        staging = create(**where["staging"], values={"TOKEN": WORDS[1], "PORT": "9090"}, secrets={}, reason="plain")
    return {"one": one, "two": two, "staging": staging}


def shown(html: str) -> dict[str, tuple[str, list[str]]]:
    """Return key → (mark, values) of the table."""
    rows = re.findall(r'<tr class="(\w+)" data-key="(\w+)">(.*?)</tr>', html, re.S)
    cell = re.compile(r'<td(?: data-of="[^"]*")?>\s*(?:<code>(.*?)</code>|(—))\s*</td>')
    cells = {key: cell.findall(row) for _mark, key, row in rows}
    return {key: (mark, [value or dash for value, dash in cells[key]]) for mark, key, _row in rows}


def test_two_versions_are_compared_side_by_side(versions: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    address = reverse("configuration-difference")
    html = browsers("operator").get(address, {"right": versions["two"].pk}).content.decode()
    assert shown(html) == {
        "GONE": ("removed", ["was-here", "—"]),
        "NEW": ("added", ["—", "came"]),
        "PORT": ("changed", ["8080", "9090"]),
        "SAME": ("same", ["kept", "kept"]),
        "STAYS": ("same", ["•••", "•••"]),
        "TOKEN": ("changed", ["•••", "•••"]),
    }, "the version before is taken when none is named"
    assert not any(word in html for word in (*WORDS, "never-changed"))


def test_two_environments_are_compared_side_by_side(versions: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """A plain value beside a secret is hidden too: an equal value would reveal the secret."""
    given = {"left": versions["staging"].pk, "right": versions["two"].pk}
    html = browsers("operator").get(reverse("configuration-difference"), given).content.decode()
    mark, texts = shown(html)["TOKEN"]
    assert mark == "changed" and sorted(texts) == ["•••", "•••, not secret"]
    assert shown(html)["PORT"] == ("same", ["9090", "9090"])
    assert not any(word in html for word in WORDS)


def test_configurations_are_hidden_without_access_to_their_environment(
    versions: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    for name in ("developer", "tester"):
        client, address = browsers(name), reverse("configuration-difference")
        assert client.get(address, {"right": versions["two"].pk}).status_code == 403
        assert client.get(address, {"left": versions["two"].pk}).status_code == 403
        html = client.get(address).content.decode()
        assert f'value="{versions["staging"].pk}"' in html
        assert f'value="{versions["two"].pk}"' not in html


@pytest.mark.parametrize("asked", ["x", "-1", "0", "9" * 30, "１", "1 OR 1=1", ""])
def test_an_invalid_number_compares_nothing(
    versions: dict[str, Any], browsers: Callable[[str], Any], asked: str
) -> None:
    answer = browsers("operator").get(reverse("configuration-difference"), {"left": asked, "right": asked})
    assert answer.status_code == 200


def test_the_page_is_japanese_for_japanese_readers(versions: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    client = browsers("operator")
    client.cookies["django_language"] = "ja"
    html = client.get(reverse("configuration-difference"), {"right": versions["two"].pk}).content.decode()
    assert "異なる設定：4件" in html and "秘密情報" in html


def test_typed_secrets_are_never_shown_again(versions: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """Neither after a fault of the form nor after a refusal by the operation."""
    where = {"application_id": versions["one"].application_id, "environment_id": versions["one"].environment_id}
    client, address = browsers("operator"), reverse("operation-new", args=["configuration", "create"])
    for secrets in ("TOKEN=typed-word\nno-equals-typed-word", "TOKEN=typed-word\nTOKEN2="):
        answer = client.post(address, {**where, "values": "A=1", "secrets": secrets, "reason": "r"})
        assert answer.status_code == 400
        html = answer.content.decode()
        assert "typed-word" not in html and "A=1" in html


def test_connectivity_is_checked_from_the_page(
    versions: dict[str, Any], browsers: Callable[[str], Any], acting_as: Callable[..., Any], tmp_path: Any
) -> None:
    where = {"application_id": versions["one"].application_id, "environment_id": versions["one"].environment_id}
    with acting_as("operator"):
        made = create(
            **where,
            values={"STORAGE_URL": f"file://{tmp_path}"},
            secrets={"CACHE_URL": "redis://:hidden-word@127.0.0.1:1/0"},
            reason="three",
        )
    client = browsers("operator")
    assert client.post(reverse("operation", args=["configuration", "check_connectivity", made.pk])).status_code == 302
    assert ConfigurationCheck.objects.get().version_id == made.pk
    page = client.get(reverse("admin:environments_configurationversion_change", args=[made.pk])).content.decode()
    assert "an object was stored, retrieved and deleted" in page and "not all reachable" in page
    assert "hidden-word" not in page
    refused = browsers("auditor").post(reverse("operation", args=["configuration", "check_connectivity", made.pk]))
    assert refused.status_code == 403 and Application.objects.count() == 1


def test_the_form_offers_only_permitted_environments(
    versions: dict[str, Any], people: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    """Each according to the matrix, also for a role in one environment; another environment is refused."""
    where = {place.slug: place.pk for place in Environment.objects.all()}
    with acting(COMMAND):
        request_role(people["outsider"].pk, role="developer", environment_id=where["development"], reason="a part")
        request_role(people["committee_a"].pk, role="developer", environment_id=where["production"], reason="a part")
    form, page = reverse("operation-new", args=["configuration", "create"]), reverse(LIST)
    for name, slugs in (
        ("developer", ["development"]),
        ("outsider", ["development"]),
        ("tester", ["staging"]),
        ("manager", ["development", "staging", "production"]),
    ):
        client = browsers(name)
        assert f'href="{form}"' in client.get(page).content.decode()
        offered = client.get(form).context["form"].fields["environment_id"].queryset
        assert [place.slug for place in offered] == slugs, name
    for name in ("auditor", "committee_a"):
        assert browsers(name).get(form).status_code == 403
        assert f'href="{form}"' not in browsers(name).get(page).content.decode()
    before = ConfigurationVersion.objects.count()
    sent = {"application_id": versions["one"].application_id, "values": "PORT=1", "secrets": "", "reason": "x"}
    for name, slug, status in (
        ("developer", "production", 400),
        ("developer", "staging", 400),
        ("tester", "development", 400),
        ("committee_a", "production", 403),
    ):
        assert browsers(name).post(form, sent | {"environment_id": where[slug]}).status_code == status
    assert ConfigurationVersion.objects.count() == before
    assert browsers("developer").post(form, sent | {"environment_id": where["development"]}).status_code == 302
    assert ConfigurationVersion.objects.latest("pk").environment.slug == "development"
