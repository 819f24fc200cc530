"""Pictures of the form that grants access, of the grants and of what one team sees, under var/test/pictures/."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from audit.actor import acting
from environments.models import Application
from environments.operations.access.grant import request_role
from releases.operations.application.create import create_application
from tests.browser.person import Person
from tests.browser.test_pictures import LOOKS, PICTURES
from tests.browser.walk import latin_words
from tests.releases.admin.test_teams import limit
from tests.releases.gates.asking import COMMAND


@pytest.mark.timeout(280)
@pytest.mark.parametrize("look", LOOKS)
def test_the_pages_of_teams_are_sound(
    look: str,
    seeded: dict[str, Any],
    people: dict[str, Any],
    person: Callable[..., Person],
    acting_as: Callable[..., Any],
) -> None:
    portal = Application.objects.get(slug="portal")
    with acting_as("manager"):
        create_application(slug="viewer", name="画像ビューア", repository="/srv/git/viewer", group="g1")
    with acting(COMMAND):
        request_role(people["outsider"].pk, role="tester", reason="画像チームへの参加", application_group="g1")
    limit(people, portal, "tester", "operator")
    folder = PICTURES / look
    folder.mkdir(parents=True, exist_ok=True)
    administrator, operator = person("administrator", **LOOKS[look]), person("operator", **LOOKS[look])
    wrong = []
    for who, name, address in (
        (administrator, "team-grant", reverse("operation", args=["access", "grant", people["developer"].pk])),
        (administrator, "team-access", reverse("access")),
        (
            person("manager", **LOOKS[look]),
            "team-application",
            reverse("operation-new", args=["application", "create"]),
        ),
        (operator, "team-releases", reverse("admin:releases_release_changelist")),
        (operator, "team-my-tasks", reverse("admin:index")),
    ):
        status = who.go(address).status
        if status != 200:
            wrong.append(f"{name}: {status}")
        if over := who.wider_than_the_screen:
            wrong.append(f"{name}: wider than the screen: {over}")
        # The form of an application names the schemes of addresses.
        if look == "ja-light" and name != "team-application" and (left := latin_words(who.page)):
            wrong.append(f"{name}: not translated: {left}")
        who.page.screenshot(path=folder / f"{name}.png", full_page=True)
    assert not wrong
