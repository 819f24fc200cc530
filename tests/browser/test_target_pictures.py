"""Pictures of the pages of several targets and of artefacts, in each look, under var/test/pictures/."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from audit.actor import acting
from releases.operations.deployment.enqueue import enqueue
from releases.operations.deployment.request import request
from releases.operations.deployment.schedule import schedule
from tests.browser.person import Person
from tests.browser.test_pictures import LOOKS, PICTURES
from tests.releases.gates.asking import alter
from tests.releases.operations.test_artefacts import ARCHIVE, registered
from tests.releases.operations.test_deployment_processes import made, put
from tests.releases.worker.conftest import WORKER, plan, row
from tests.releases.worker.several import MARK, Site, run


@pytest.mark.timeout(280)
@pytest.mark.parametrize("look", LOOKS)
def test_the_pages_of_targets_and_artefacts_are_sound(
    look: str, world: Any, person: Callable[..., Person], tmp_path: Path
) -> None:
    """No error in the console, and nothing reaches over the screen."""
    folder = PICTURES / "targets" / look
    folder.mkdir(parents=True, exist_ok=True)
    site = Site(world, tmp_path, "development")
    put(world, made(world, ARCHIVE))
    release = world.planned("1.3.0")
    artefact = registered(world)
    site.broken("c")
    labels = {"label_ja": "コードデプロイ", "label_en": "Deploy the code"}
    release = alter(
        release, step_plan=plan(row(MARK) | labels, row(MARK) | {"label_ja": "再起動", "label_en": "Restart"})
    )
    world.evidence("1.3.0")
    with world.acting_as("developer"):
        deployment = request(release.pk, environment_id=world.environments["development"].pk)
        schedule(deployment.pk)
    with acting(WORKER):
        enqueue(deployment.pk)
    # The archive lies nowhere, so that its first step says so.
    deployment = run(deployment)
    operator, developer = person("operator", **LOOKS[look]), person("developer", **LOOKS[look])
    wrong = []

    def picture(name: str, address: str, who: Person = operator) -> None:
        assert who.go(address).status == 200, name
        if over := who.wider_than_the_screen:
            wrong.append(f"{name}: wider than the screen: {over}")
        who.page.screenshot(path=folder / f"{name}.png", full_page=True)

    picture("deployment", reverse("deployment", args=[deployment.pk]))
    picture("dry-run", reverse("dry-run", args=[release.pk, "development"]))
    picture("release", reverse("release", args=[release.pk]))
    picture("artefacts", reverse("admin:releases_artefact_changelist"))
    picture("artefact", reverse("admin:releases_artefact_change", args=[artefact.pk]))
    picture("register", reverse("operation", args=["artefact", "register", world.application.pk]), developer)
    picture("target", reverse("operation-new", args=["target", "create"]))
    picture("list", reverse("admin:environments_deploymenttarget_changelist"))
    wrong += [f"console: {heard}" for who in (operator, developer) for heard in who.complaints]
    assert not wrong, "\n".join(wrong)
