"""Pictures of the pages of deployment processes, standard changes and documents with signatures of their own, in each
look, under var/test/pictures/.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from releases.admin.pages.deployment_process.page import template_text
from releases.operations.procedure import put_into_effect
from releases.operations.release.prepare import lock_scope
from releases.procedures.document import Procedure as Content
from tests.browser.person import Person
from tests.browser.test_pictures import LOOKS, PICTURES
from tests.releases.operations.test_deployment_processes import made, put, submitted
from tests.releases.operations.test_own_roles import in_effect
from tests.releases.operations.test_standard_changes import CHANGE, procedure


@pytest.mark.timeout(280)
@pytest.mark.parametrize("look", LOOKS)
def test_the_pages_of_processes_are_sound(look: str, world: Any, person: Callable[..., Person]) -> None:
    """No error in the console, and nothing reaches over the screen."""
    folder = PICTURES / "processes" / look
    folder.mkdir(parents=True, exist_ok=True)
    first = put(world, made(world))
    release, _request = world.approved()
    text = template_text("service").replace("parameters.seconds = 3", "parameters.seconds = 9")
    second = made(world, text)
    approval_request = submitted(world, second)
    application = world.application.pk
    reader = person("committee_a", **LOOKS[look])
    author = person("developer", **LOOKS[look])
    wrong = []

    def picture(who: Person, name: str, address: str) -> None:
        assert who.go(address).status == 200, name
        if over := who.wider_than_the_screen:
            wrong.append(f"{name}: wider than the screen: {over}")
        who.page.screenshot(path=folder / f"{name}.png", full_page=True)

    create = reverse("operation", args=["deployment_process", "create", application])
    picture(author, "application", reverse("admin:environments_application_change", args=[application]))
    picture(author, "create", f"{create}?template=static-files")
    author.fill(content="format = 1\n[[checks]]\nkey = 1\n", reason="try")
    author.press('form.r-form button[name="try"]')
    author.page.screenshot(path=folder / "checked.png", full_page=True)
    picture(author, "process", reverse("admin:releases_deploymentprocess_change", args=[first.pk]))
    picture(author, "list", reverse("admin:releases_deploymentprocess_changelist"))
    picture(reader, "request", reverse("approval-request", args=[approval_request.pk]))
    picture(reader, "release", reverse("release", args=[release.pk]))
    wrong += [
        f"console: {heard}" for one in (reader, author) for heard in one.complaints if "status of 400" not in heard
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.timeout(280)
@pytest.mark.parametrize("look", LOOKS)
def test_the_pages_of_a_procedure_with_standard_changes_are_sound(
    look: str, world: Any, person: Callable[..., Person]
) -> None:
    """A standard change, a document with three signatures, and a request that moves a release under way."""
    folder = PICTURES / "standard" / look
    folder.mkdir(parents=True, exist_ok=True)
    raw = procedure(CHANGE | {"per_week": 2}).model_dump(mode="json")
    signatures = [
        {"state": "content_checked", "role": "author", "ja": "作成者の署名", "en": "Signed by the author"},
        {"state": "approved", "role": "release_manager", "ja": "内容の承認", "en": "Content approved"},
    ]
    raw["documents"][0]["signatures"] = [row | {"origin": "default"} for row in signatures]
    in_effect(world, Content.checked(raw), office="")
    release = world.planned(kind="standard", criterion="text", risk="low")
    with world.acting_as("manager"):
        lock_scope(release.pk)
    other = procedure(CHANGE | {"per_week": 3}, version="9.1.0")
    with world.acting_as("manager"):
        version = put_into_effect.load(other, reason="three a week")
        request = put_into_effect.submit(version.pk, reason="three a week", moved=(release.pk,))
    manager, reader = person("manager", **LOOKS[look]), person("committee_a", **LOOKS[look])
    wrong = []

    def picture(who: Person, name: str, address: str) -> None:
        assert who.go(address).status == 200, name
        if over := who.wider_than_the_screen:
            wrong.append(f"{name}: wider than the screen: {over}")
        who.page.screenshot(path=folder / f"{name}.png", full_page=True)

    picture(manager, "plan", reverse("operation-new", args=["release", "plan"]))
    picture(manager, "release", reverse("release", args=[release.pk]))
    picture(reader, "procedure-request", reverse("approval-request", args=[request.pk]))
    wrong += [f"console: {heard}" for one in (reader, manager) for heard in one.complaints]
    assert not wrong, "\n".join(wrong)
