"""What a watch looks at: the target as the leaves take it, and the configuration that is rolled out there."""

from __future__ import annotations

from pathlib import Path

from environments.models import ConfigurationVersion, Target
from releases.models import Watch
from releases.sources import git
from releases.steps.base import TargetSpec


def spec_of(target: Target) -> TargetSpec:
    """Return a target's row as the leaves take it."""
    return TargetSpec(target.application.slug, target.environment.slug, Path(target.root), target.settings)


def spec_for(watch: Watch) -> TargetSpec:
    """Return the target that a watch looks at."""
    target = Target.objects.select_related("application", "environment").get(
        application=watch.deployment.application, environment=watch.deployment.environment
    )
    return spec_of(target)


def configuration_for(watch: Watch) -> dict[str, str]:
    """Return the values, secrets in clear, of the configuration in force at the target; empty for none."""
    base = watch.deployment.base
    before = watch.purpose in (Watch.Purpose.BEFORE, Watch.Purpose.BACK)
    pk = base.get("in_force", {}).get("configuration") if before else base.get("wanted_configuration")
    return values_of(ConfigurationVersion.objects.filter(pk=pk).first() if pk else None)


def values_of(row: ConfigurationVersion | None) -> dict[str, str]:
    """Return the values of a configuration as the target gets them, secrets in clear; empty for none."""
    if row is None:
        return {}
    # The way into the repository is the product's own and no business of a target.
    return {key: value for key, value in row.opened().items() if key not in git.Credentials.KEYS}
