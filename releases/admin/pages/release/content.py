"""What a deployment would bring to each environment since the last one there, for the release page."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from environments.admin.rights import Rights
from environments.difference import Row, difference
from environments.models import ConfigurationVersion
from releases.models import Release
from releases.queries import changes_since as since


@dataclass(frozen=True)
class Content:
    """One environment: the commits since its deployed version, and what changes in its configuration.

    before, after: the current and the next configuration (None: none). keys: each that differs and how, for accounts
    that may see the environment; None for others.
    """

    since: since.Since
    before: ConfigurationVersion | None
    after: ConfigurationVersion | None
    keys: list[tuple[str, str]] | None


def content_of(release: Release, chosen: dict[int, ConfigurationVersion], rights: Rights) -> list[Content]:
    """Return what is new in each environment that the release can go to, as last read from the repository."""
    places = since.active(release)
    found = []
    for (environment, pointer), row in zip(places, since.kept(release, places), strict=True):
        before, after = pointer.configuration if pointer is not None else None, chosen.get(environment.pk)
        keys = _differing(before, after) if rights.sees(environment) and after is not None else None
        found.append(Content(row, before, after, keys))
    return found


def commit_shown(release: Release) -> dict[str, Any] | None:
    """Return subject, author and time of the release's commit; None when the repository was not read for it."""
    commit = since.commit_of(release)
    return {**commit, "at": since.written_at(commit)} if commit is not None else None


def _words(row: Row) -> tuple[str, str]:
    words = {"added": _("new"), "removed": _("removed"), "changed": _("changed")}
    return row.key, words[row.mark]


def _differing(before: ConfigurationVersion | None, after: ConfigurationVersion) -> list[tuple[str, str]]:
    if before is not None and before.pk == after.pk:
        return []
    return [_words(row) for row in difference(before, after) if row.mark != "same"]
