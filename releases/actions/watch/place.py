"""What a watch looks at: the target as the leaves take it, and the configuration that is rolled out there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from environments.models import Application, ConfigurationVersion, Environment, Target
from releases.models import InForce, Watch
from releases.sources import git
from releases.steps.base import TargetSpec
from releases.steps.masking import passwords_in


def spec_of(target: Target) -> TargetSpec:
    """Return a target's row as the leaves take it."""
    return TargetSpec(target.application.slug, target.environment.slug, Path(target.root), target.settings)


def spec_for(watch: Watch) -> TargetSpec:
    """Return the target that a watch looks at."""
    target = Target.objects.select_related("application", "environment").get(
        application=watch.deployment.application, environment=watch.deployment.environment
    )
    return spec_of(target)


def configuration_for(watch: Watch) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the same of the configuration in force at the target."""
    deployment = watch.deployment
    if watch.purpose == Watch.Purpose.BEFORE:
        return configuration_in_force(deployment.application, deployment.environment)
    if watch.purpose == Watch.Purpose.BACK:
        return configuration_of(deployment.base.get("in_force", {}).get("configuration"))
    return configuration_of(deployment.base.get("wanted_configuration"))


def configuration_in_force(
    application: Application, environment: Environment
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the same of what the records say is in force."""
    pointer = InForce.established(application, environment)
    return configuration_of(pointer.configuration_id if pointer is not None else None)


def configuration_of(pk: Any) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return (values as the target gets them, secrets in clear; what no output may show); empty for none."""
    row = ConfigurationVersion.objects.filter(pk=pk).first() if pk else None
    if row is None:
        return {}, ()
    # The way into the repository is the product's own and no business of a target.
    values = {key: value for key, value in row.opened().items() if key not in git.Credentials.KEYS}
    return values, (*row.secret_values(), *passwords_in(values.values()))
