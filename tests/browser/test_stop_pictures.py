"""Pictures of the pages about configurations, the dry run and the emergency stop, in each look, under
var/test/pictures/.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from django.utils import translation

from audit.clock import now
from environments.models import ConfigurationVersion, Environment
from environments.operations.configuration.check_connectivity import check_connectivity
from environments.operations.configuration.create import create
from releases.models import DecisionRequest, TeamMember
from releases.operations.emergency_stop.activate import activate
from tests.browser.person import Person
from tests.browser.test_pictures import LOOKS, PICTURES
from tests.browser.walk import latin_words
from tests.releases.gates.asking import make


@pytest.fixture
def versions(
    seeded: dict[str, Any], acting_as: Callable[..., Any], tmp_path: Path
) -> tuple[ConfigurationVersion, ConfigurationVersion]:
    """Two versions of production that differ in each way; the second one's services have been looked at."""
    place = {
        "application_id": seeded["application"].pk,
        "environment_id": Environment.objects.get(tier="production").pk,
    }
    with acting_as("operator"):
        before = create(
            **place,
            values={"PORT": "8080", "STORAGE_URL": f"file://{tmp_path}", "CACHE_SECONDS": "5", "OLD_LIMIT": "10"},
            secrets={"API_TOKEN": "first", "SIGNING_WORD": "kept"},
            reason="one",
        )
        after = create(
            **place,
            values={"PORT": "9090", "STORAGE_URL": f"file://{tmp_path}", "CACHE_SECONDS": "5", "EXPORT_LIMIT": "1000"},
            secrets={"API_TOKEN": "second", "SIGNING_WORD": "", "CACHE_URL": "redis://:hidden-word@127.0.0.1:1/0"},
            reason="two",
        )
        with translation.override("ja"):
            check_connectivity(after.pk)
    return before, after


@pytest.mark.timeout(280)
@pytest.mark.parametrize("look", LOOKS)
def test_the_pages_are_sound(
    look: str,
    seeded: dict[str, Any],
    versions: tuple[ConfigurationVersion, ConfigurationVersion],
    person: Callable[..., Person],
    people: dict[str, Any],
    acting_as: Callable[..., Any],
) -> None:
    """No error in the console, nothing reaches over the screen, Japanese is Japanese, and no secret is on the
    picture.
    """
    folder = PICTURES / look
    folder.mkdir(parents=True, exist_ok=True)
    before, after = versions
    waiting = seeded["waiting"]
    for team_role, who in (("verifier", "second_operator"), ("release_lead", "manager")):
        TeamMember.objects.filter(release=waiting.release, team_role=team_role).exists() or make(
            TeamMember, release=waiting.release, team_role=team_role, account=people[who], telephone="+81-3-0000-0000"
        )
    make(
        DecisionRequest,
        deployment=waiting,
        step=waiting.steps.first(),
        requested_at=now(),
        roles_asked=2,
        due_at=now() + timedelta(minutes=15),
        on_timeout="roll_back",
    )
    difference = reverse("configuration-difference")
    shown = {
        "difference": f"{difference}?left={before.pk}&right={after.pk}",
        "difference-empty": difference,
        "configuration-looked-at": reverse("admin:environments_configurationversion_change", args=[after.pk]),
        "dry-run": reverse("dry-run", args=[seeded["review"].pk, "production"]),
        "deployment-question": reverse("deployment", args=[waiting.pk]),
        "verb-press": reverse("operation-new", args=["emergency_stop", "activate"]),
    }
    stopped = {"my-tasks-stopped": reverse("admin:index")}
    reader, wrong = person("second_operator", **LOOKS[look]), []

    def picture(name: str, address: str) -> None:
        status = reader.go(address).status
        if status != 200:
            wrong.append(f"{name}: {status}")
        if over := reader.wider_than_the_screen:
            wrong.append(f"{name}: wider than the screen: {over}")
        # Commands, what a service says of itself and people's own words are shown as they are.
        if (
            look == "ja-light"
            and name not in ("dry-run", "configuration-looked-at")
            and (left := latin_words(reader.page))
        ):
            wrong.append(f"{name}: not translated: {left}")
        if "hidden-word" in reader.page.content():
            wrong.append(f"{name}: a secret")
        reader.page.screenshot(path=folder / f"{name}.png", full_page=True)

    for name, address in shown.items():
        picture(name, address)
    with acting_as("operator"):
        stop = activate(reason="データセンターの火災")
    stopped["emergency-stop"] = reverse("admin:releases_emergencystop_change", args=[stop.pk])
    for name, address in stopped.items():
        picture(name, address)
    wrong += [f"console: {heard}" for heard in reader.complaints]
    assert not wrong, "\n".join(wrong)
