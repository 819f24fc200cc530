"""The artefact that a release deploys in place of its commit's tree, and the version that it makes of the release."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from environments.models import Application
from environments.targets.base import StepFailed, Version
from releases.models import Artefact, Release
from releases.queries.repository import artefact_access
from releases.sources import artefacts


def wanted(release: Release) -> dict[str, Any]:
    """Return what a deployment of a release records: version, tag, commit, tree, and the facts of its artefact."""
    found = release.artefact_to_deploy
    content = {"version": release.version, "tag": release.tag, "commit": release.commit, "tree": release.tree}
    return content if found is None else content | {"artefact": found.facts}


def version_of(recorded: Mapping[str, Any]) -> Version | None:
    """Return the version of what a deployment recorded (`wanted`), or of a deployed version; None for nothing.

    The tree of an artefact is known of a version that was deployed; else `completed` finds it.
    """
    if not recorded:
        return None
    version, tag, commit = recorded["version"], recorded["tag"], recorded["commit"]
    built = recorded.get("artefact")
    if built is None:
        return Version(version, tag, commit, recorded["tree"])
    tree = "" if built["kind"] == Artefact.Kind.IMAGE else recorded.get("code", "")
    return Version(version, tag, commit, tree, built["kind"], built["reference"], built["digest"])


def completed(application: Application, version: Version, heartbeat: Callable[[], None] = lambda: None) -> Version:
    """Return a version with the Git tree hash of its artefact's files, which is fetched for it. Raises StepFailed."""
    if version.tree or version.artefact not in (Artefact.Kind.ARCHIVE, Artefact.Kind.FILE):
        return version
    try:
        return artefacts.with_tree(version, artefact_access(application), heartbeat)
    except artefacts.Unavailable as fault:
        raise StepFailed(str(fault)) from fault


def fetch_for(
    application: Application, version: Version | None, heartbeat: Callable[[], None]
) -> Callable[[Path], object] | None:
    """Return what writes the artefact of a version to a path (raises StepFailed); None where it deploys none."""
    if version is None or version.artefact not in (Artefact.Kind.ARCHIVE, Artefact.Kind.FILE):
        return None
    return partial(_give, application, version, heartbeat)


def _give(application: Application, version: Version, heartbeat: Callable[[], None], path: Path) -> None:
    try:
        artefacts.give(version, artefact_access(application), path, heartbeat)
    except artefacts.Unavailable as fault:
        raise StepFailed(str(fault)) from fault


def code_wanted(application: Application, recorded: Mapping[str, Any]) -> str:
    """Return the digest that a target must show where what was recorded is deployed. Raises StepFailed."""
    version = version_of(recorded)
    return completed(application, version).code if version is not None else ""
