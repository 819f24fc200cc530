"""The environment overview shows the deployed versions and their differences from the plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.urls import reverse

from audit.clock import now
from audit.operation import operation
from environments.models import ConfigurationVersion, Environment
from environments.operations.configuration.create import create
from releases.admin.pages.my_tasks.environments import environment_overview, newer
from releases.models import DeployedVersion
from tests.releases.admin import seed


def test_versions_are_compared_as_versions() -> None:
    """Versions are not compared as texts; an invalid version is no drift."""
    assert newer("1.10.0", "1.9.0") and newer("1.0.0", "1.0.0-beta.1")
    assert not newer("1.0.0", "1.0.0") and not newer("later", "1.0.0")


def _drift(slug: str) -> list[str]:
    for application, places in environment_overview(now())["rows"]:
        if application.slug == "datasets":
            return next(place.drift for place in places if place.environment.slug == slug)
    raise AssertionError("no such application")


def test_drift_is_named(acting_as: Callable[..., Any], browsers: Callable[[str], Any]) -> None:
    """A skipped environment, a configuration that was never deployed, and unknown content are each named."""
    of = seed.application(acting_as)
    places = {e.slug: e for e in Environment.objects.all()}
    old, new = seed.draft(acting_as, of, "1.9.0"), seed.draft(acting_as, of, "1.10.0")
    configuration = {c.environment.slug: c for c in ConfigurationVersion.objects.select_related("environment")}
    with acting_as("operator"), operation("test:force") as op:
        op.about(old)
        for slug, release in (("development", new), ("staging", old), ("production", new)):
            DeployedVersion.objects.create(
                application=of,
                environment=places[slug],
                release=release,
                since=now(),
                basis="verified",
                configuration=configuration[slug],
                unknown=slug == "development",
            )
    assert _drift("staging") == ["older than Production"]
    assert _drift("development") == ["unknown content"]
    assert _drift("production") == []
    with acting_as("operator"):
        create(
            application_id=of.pk, environment_id=places["production"].pk, values={"A": "1"}, secrets={}, reason="more"
        )
    assert _drift("production") == ["configuration #2 is not deployed (in use: #1)"]
    assert "3 not as planned" in browsers("manager").get(reverse("admin:index")).content.decode()
