"""Specification of a target for step and check types, with the configuration that is deployed there."""

from pathlib import Path
from typing import Any

from environments.models import Application, ConfigurationVersion, DeploymentTarget, Environment
from environments.targets.base import TargetSpec
from environments.targets.masking import passwords_in
from environments.targets.ssh import place as ssh
from releases.models import DeployedVersion, MonitoringPeriod
from releases.sources import artefacts, forges, git
from releases.sources.git.remote import as_lines


def spec_of(target: DeploymentTarget, wanted: int | None = None) -> TargetSpec:
    """Return a target's row as the leaves take it, with the key to its host where it lies on another one. wanted: the
    configuration that a deployment was approved with.
    """
    key = ssh_key_of(target, wanted) if target.options.get("ssh") else ""
    return TargetSpec(target.application.slug, target.environment.slug, Path(target.root), target.options, key)


def ssh_key_of(target: DeploymentTarget, wanted: int | None = None) -> str:
    """Return the private key for the target's host, empty for none: from the secrets of the wanted configuration, else
    of the deployed one, and before there is one from the newest, which has no approval.

    It may be written on one line, with `\\n` or in base64. One that is no secret there is not taken.
    """
    versions = ConfigurationVersion.objects.filter(application=target.application, environment=target.environment)
    pointer = DeployedVersion.established(target.application, target.environment)
    agreed = [pk for pk in (wanted, pointer.configuration_id if pointer is not None else None) if pk is not None]
    known = versions.in_bulk(agreed)
    candidates = [known[pk] for pk in agreed if pk in known]
    if pointer is None and (newest := versions.order_by("-number").first()) is not None:
        candidates.append(newest)
    return next((as_lines(one.opened()[ssh.KEY]) for one in candidates if ssh.KEY in one.encrypted), "")


def specs_for(monitoring: MonitoringPeriod, on: str = "") -> dict[str, TargetSpec]:
    """Return the monitored targets by name, in the order in which they were made; on: `first`, or those of a group."""
    rows = list(
        DeploymentTarget.objects.select_related("application", "environment")
        .filter(application=monitoring.deployment.application, environment=monitoring.deployment.environment)
        .order_by("pk")
    )
    if len(rows) > 1 and on:
        rows = rows[:1] if on == "first" else [target for target in rows if target.group == on]
    return {target.name: spec_of(target) for target in rows}


def configuration_for(monitoring: MonitoringPeriod) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the same of the configuration deployed at the target."""
    deployment = monitoring.deployment
    if monitoring.purpose == MonitoringPeriod.Purpose.BASELINE:
        return configuration_deployed(deployment.application, deployment.environment)
    if monitoring.purpose == MonitoringPeriod.Purpose.ROLLBACK:
        return configuration_of(deployment.previous.get("deployed_version", {}).get("configuration"))
    return configuration_of(deployment.previous.get("wanted_configuration"))


def configuration_deployed(
    application: Application, environment: Environment
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the same of the deployed version in the records."""
    pointer = DeployedVersion.established(application, environment)
    return configuration_of(pointer.configuration_id if pointer is not None else None)


def configuration_of(pk: Any) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return (values as the target gets them, secrets in clear; what no output may show); empty for none."""
    rows = ConfigurationVersion.read(pk) if pk else ()
    return contents_of(rows[0]) if rows else ({}, ())


def contents_of(row: ConfigurationVersion) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the same of a version."""
    # Credentials of the repository and the host are for the product alone; a target does not get them.
    own = {*git.Credentials.KEYS, *artefacts.Access.KEYS, ssh.KEY, forges.TOKEN}
    values = {key: value for key, value in row.opened().items() if key not in own}
    return values, (*row.secret_values(), *passwords_in(values.values()))
