"""Pictures of the pages about deployment targets in each look, under var/test/pictures/: form, Test it, comparison,
drift.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse

from audit.clock import now
from environments.models import ConfigurationVersion, DeploymentTarget
from releases.models import Drift, TargetMeasurement
from tests.browser.person import Person
from tests.browser.test_pictures import LOOKS, PICTURES
from tests.releases.gates.asking import make


@pytest.mark.timeout(280)
@pytest.mark.parametrize("look", LOOKS)
def test_the_pages_of_a_target_are_sound(look: str, seeded: dict[str, Any], person: Callable[..., Person]) -> None:
    """No error in the console, and nothing reaches over the screen; the buttons that only look keep nothing."""
    folder = PICTURES / "targets" / look
    folder.mkdir(parents=True, exist_ok=True)
    target: Any = DeploymentTarget.objects.filter(environment__slug="production").order_by("pk").first()
    digests = {"expected": {"code": "a" * 40, "configuration": "b" * 64}, "found": {"code": "c" * 40}}
    hour = timedelta(hours=1)
    make(Drift, target=target, parts=["code"], found_at=now() - 40 * hour, ended_at=now() - 30 * hour, **digests)
    make(Drift, target=target, parts=["code", "configuration"], found_at=now() - hour, **digests)
    TargetMeasurement.objects.create(target=target, at=now(), result="drift")
    reader, wrong = person("operator", **LOOKS[look]), []

    def picture(name: str) -> None:
        if over := reader.wider_than_the_screen:
            wrong.append(f"{name}: wider than the screen: {over}")
        reader.page.screenshot(path=folder / f"{name}.png", full_page=True)

    for name, address in {
        "target": reverse("admin:environments_deploymenttarget_change", args=[target.pk]),
        "board": reverse("admin:index"),
        "new": reverse("operation-new", args=["target", "create"]),
        "lay": reverse("operation", args=["deployed_version", "place", target.pk]),
    }.items():
        assert reader.go(address).status == 200, name
        picture(name)
    reader.go(reverse("operation", args=["target", "set_options", target.pk]))
    ready = {"service.ready.url": "http://127.0.0.1:9/health", "metrics_url": "http://127.0.0.1:9/metrics"}
    reader.fill(**ready, **{"service.start": "{tree}/bin/app --config {config}", "reason": "第 1 版"})
    reader.press('form.r-form button[name="try"]')
    assert reader.page.locator("#tried tbody tr").count() == 6
    assert reader.page.locator("details.r-group summary").count() == 8
    assert reader.page.locator('[name="service.ready.url"]').input_value() == ready["service.ready.url"]
    picture("tried")
    reader.go(reverse("operation", args=["target", "set_options", target.pk]))
    reader.fill(**{"metrics_url": "127.0.0.1:9", "reason": "第 1 版"})
    reader.press("form.r-form button.main")
    picture("refused")
    reader.go(reverse("operation", args=["deployed_version", "register", target.pk]))
    chosen = ConfigurationVersion.objects.filter(application=target.application, environment=target.environment).first()
    assert chosen is not None
    repository = target.application.repository
    subprocess.run(["git", "-C", repository, "tag", "--force", "v1.2.0", "HEAD"], check=True)
    reader.fill(version="1.2.0", configuration_id=str(chosen.pk), service="runs", reason="手作業で導入済み")
    reader.press('form.r-form button[name="try"]')
    assert reader.page.locator("#tried tbody tr").count() == 5
    picture("compared")
    assert DeploymentTarget.objects.get(pk=target.pk).options == target.options
    wrong += [f"console: {heard}" for heard in reader.complaints if "status of 400" not in heard]
    assert not wrong, "\n".join(wrong)
