"""The commit of a release compared with the deployed version of each environment: what a deployment would bring."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _, ngettext

from environments.attach_related import related
from environments.models import ConfigurationVersion, Environment
from releases.models import DeployedVersion, Fact, Release
from releases.sources import git

type Active = list[tuple[Environment, DeployedVersion | None]]
# Kind of a fact and its environment (None: of the release itself) → its value.
type Facts = dict[tuple[str, Environment | None], Any]


@dataclass(frozen=True)
class Since:
    """One environment: the version that is active there (empty: none) and the commits between it and the release's.

    commits: the newest ones, each with commit, subject, author and at; more: how many there are beside these.
    words: the distance, or why it is not known (`known` is False then).
    """

    environment: Environment
    version: str
    words: str
    known: bool = True
    base: str = ""
    ahead: int = 0
    behind: int = 0
    commits: tuple[Mapping[str, str], ...] = field(default=())

    @property
    def more(self) -> int:
        """Return how many commits are not listed."""
        return max(0, self.ahead - len(self.commits))


def active(release: Release) -> Active:
    """Return each environment that a release can go to, with what is active there (None: nothing), in order."""
    places = release.places
    pointers = {row.environment_id: row for row in DeployedVersion.of(release.application_id) if row.counts}
    bound = [e for e in places if release.bound_for_production or e.tier != Environment.Tier.PRODUCTION]
    return [(environment, pointers.get(environment.pk)) for environment in bound]


def measured(repository: Path, base: str, commit: str) -> dict[str, Any]:
    """Read the distance between two commits in the form of a fact; a fault is a fact as well."""
    span = {"base": base, "commit": commit}
    try:
        return span | asdict(git.span(repository, base, commit))
    except git.NoSuchRevision:
        return span | {"missing": True}
    except git.SourceUnavailable as fault:
        return span | {"fault": str(fault)}


def seen_of(repository: Path, places: Active, commit: str) -> dict[Environment, dict[str, Any]]:
    """Return environment → distance of a commit from what is active there, read from the repository."""
    if not commit:
        return {}
    return {
        environment: measured(repository, pointer.release.commit, commit)
        for environment, pointer in places
        if pointer is not None and pointer.release is not None and not pointer.unknown
    }


def since(places: Active, commit: str, seen: Mapping[Environment, Mapping[str, Any]]) -> list[Since]:
    """Return a commit's distance from the active version of each environment, from the facts of the repository."""
    return [_since(environment, pointer, commit, seen.get(environment, {})) for environment, pointer in places]


def kept(release: Release, places: Active) -> list[Since]:
    """Return the same for the commit of a release, from the last reading of the repository."""
    facts = {fact.environment_id: fact.value for fact in related(release, "facts") if fact.kind == "since"}
    return since(places, release.commit, {place: facts[place.pk] for place, _pointer in places if place.pk in facts})


def commit_of(release: Release) -> Mapping[str, str] | None:
    """Return commit, subject, author and at of the release's commit as it was read; None when it was not."""
    fact: Fact | None = next((fact for fact in related(release, "facts") if fact.kind == "commit"), None)
    return fact.value if fact is not None and fact.value.get("commit") == release.commit else None


def written_at(commit: Mapping[str, str]) -> datetime | None:
    """Return when a commit was written; None where its date cannot be read."""
    try:
        return datetime.fromisoformat(commit["at"])
    except ValueError:
        return None


def chosen(release: Release) -> dict[int, ConfigurationVersion]:
    """Return environment's key → the version of its configuration that the release will bring."""
    return {row.environment_id: row for row in ConfigurationVersion.read(*sorted(release.configurations.values()))}


def _since(environment: Environment, pointer: DeployedVersion | None, commit: str, seen: Mapping[str, Any]) -> Since:
    if pointer is not None and pointer.unknown:
        return Since(environment, "", _("Unknown: the deployed version is not known."), known=False)
    if pointer is None or pointer.release is None:
        return Since(environment, "", _("No version is deployed there yet, so everything is new."))
    version, base = pointer.release.version, pointer.release.commit
    if not commit:
        return Since(environment, version, _("No commit has been selected yet."), known=False)
    if (seen.get("base"), seen.get("commit")) != (base, commit):
        text = _("Unknown: the repository has not been read since %(version)s was deployed. Refresh from Git.")
        return Since(environment, version, text % {"version": version}, known=False)
    if "missing" in seen:
        text = _("Unknown: the commit %(commit)s of the deployed version %(version)s is not in the repository.")
        return Since(environment, version, text % {"commit": base[:12], "version": version}, known=False)
    if "fault" in seen:
        text = _("Unknown: the repository could not be read. %(reason)s")
        return Since(environment, version, text % {"reason": seen["fault"]}, known=False)
    ahead, behind = int(seen["ahead"]), int(seen["behind"])
    return Since(
        environment, version, _distance(version, ahead, behind), True, base, ahead, behind, tuple(seen["commits"])
    )


def _distance(version: str, ahead: int, behind: int) -> str:
    named = {"version": version, "n": ahead, "ahead": ahead, "behind": behind}
    if ahead and behind:
        text = _("Diverged from the deployed version %(version)s: %(ahead)d ahead, %(behind)d behind.")
    elif ahead:
        text = ngettext(
            "%(n)d commit ahead of the deployed version %(version)s.",
            "%(n)d commits ahead of the deployed version %(version)s.",
            ahead,
        )
    elif behind:
        named["n"] = behind
        text = ngettext(
            "%(n)d commit behind the deployed version %(version)s.",
            "%(n)d commits behind the deployed version %(version)s.",
            behind,
        )
    else:
        text = _("The same commit as the deployed version %(version)s.")
    return text % named
