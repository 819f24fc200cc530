"""Between the final check and the deployment: people who may request it see it in My tasks and on the release page."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django.urls import reverse

from audit.actor import acting
from environments.operations.access.grant import request_role
from releases.operations.deployment.schedule import cancel
from releases.operations.release.sign_final_check import sign
from tests.conftest import enrolled
from tests.releases.conftest import World
from tests.releases.gates.asking import COMMAND

WORDS = "Request production deployment"


def _asked(browsers: Callable[[str], Any], name: str) -> str:
    """Return the link of the entry in My tasks; empty without one."""
    tasks = browsers(name).get(reverse("admin:index")).context["tasks"]
    return next((wait.url for wait in tasks if wait.what == WORDS), "")


def test_a_final_checked_release_asks_for_its_deployment_until_one_exists(
    world: World, browsers: Callable[[str], Any]
) -> None:
    """The operator's entry leads to the form, with production selected; a requested deployment removes the entry."""
    release, _request = world.approved()
    assert not _asked(browsers, "operator"), "the final check comes first"
    for name in ("manager", "operator"):
        with world.acting_as(name):
            sign(release.pk)
    form = reverse("operation", args=["deployment", "request", release.pk])
    page = reverse("release", args=[release.pk])
    assert _asked(browsers, "operator") == form
    html = browsers("manager").get(page).content.decode()
    assert "The production deployment has not been requested. Roles that can request it: Operator." in html
    for name in ("manager", "developer", "committee_a"):
        assert not _asked(browsers, name)
    production = world.environments["production"]
    chosen = re.search(r'<option value="(\d+)" selected', browsers("operator").get(form).content.decode())
    assert chosen and int(chosen[1]) == production.pk
    assert browsers("operator").post(form, {"environment_id": production.pk}).status_code == 302
    assert not _asked(browsers, "operator")
    deployment = release.deployments.get(environment=production)
    with world.acting_as("operator"):
        cancel(deployment.pk, reason="another hour")
    assert _asked(browsers, "operator") == form


def test_the_form_offers_environments_with_the_right_to_request(world: World, browsers: Callable[[str], Any]) -> None:
    """A developer may request for development and staging; production is refused; other people have no form."""
    release = world.planned()
    form = reverse("operation", args=["deployment", "request", release.pk])
    offered = browsers("developer").get(form).context["form"].fields["environment_id"].queryset
    assert [place.slug for place in offered] == ["development", "staging"]
    sent = {"environment_id": world.environments["production"].pk}
    assert browsers("developer").post(form, sent).status_code == 400
    assert browsers("manager").get(form).status_code == 403
    assert 'data-verb="deployment:request"' not in _release(browsers, "manager", release)
    assert 'data-verb="deployment:request"' in _release(browsers, "developer", release)
    with acting(COMMAND):
        request_role(
            world.people["outsider"].pk, role="operator", environment_id=sent["environment_id"], reason="a part"
        )
        enrolled(world.people["outsider"])
    offered = browsers("outsider").get(form).context["form"].fields["environment_id"].queryset
    assert [place.slug for place in offered] == ["production"]


def _release(browsers: Callable[[str], Any], name: str, release: Any) -> str:
    return str(browsers(name).get(reverse("release", args=[release.pk])).content.decode())
