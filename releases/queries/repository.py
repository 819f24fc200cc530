"""The folder of an application's repository on this machine; read before an operation opens."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from environments.models import Application, ConfigurationVersion, Environment
from releases.sources import artefacts, git

_FULL = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?", re.ASCII)


def place_of(application: Application) -> Path:
    """Return the folder to read: the repository itself, or the mirror of one that lies elsewhere; asks no network."""
    if git.is_remote(application.repository):
        return Path(settings.STATE_DIR) / "mirrors" / application.slug
    return Path(application.repository)


def refreshed(application: Application) -> Path:
    """Return the folder to read after the mirror was brought up to date. Raises SourceUnavailable."""
    place = place_of(application)
    if git.is_remote(application.repository):
        git.refresh(application.repository, place, credentials_of(application))
    return place


def holding(application: Application, commit: str) -> Path:
    """Return the folder to read; a mirror that has the commit (full id) already is not brought up to date for it.
    Raises SourceUnavailable.
    """
    place = place_of(application)
    if git.is_remote(application.repository) and place.is_dir() and _FULL.fullmatch(commit):
        try:
            git.resolve(place, commit)
            return place
        except git.NoSuchRevision:
            pass
    return refreshed(application)


def commit_of(application: Application, named: str) -> tuple[Path, git.CommitFacts]:
    """Return the folder to read and the facts of the commit that a report or an artefact is about, by full id or tag.

    Raises SourceUnavailable and NoSuchRevision, also for a branch: since the build it may have got other commits.
    """
    repository = holding(application, named)
    if not _FULL.fullmatch(named) and git.has_branch(repository, named):
        text = _("“%(name)s” is a branch, which may have got other commits by now. Name the commit by its full id.")
        raise git.NoSuchRevision(text % {"name": named})
    return repository, git.commit_facts(repository, named)


def credentials_of(application: Application) -> git.Credentials:
    """Return the credentials from the newest configuration: production's, else that of the earliest environment having
    one.

    The keys are GIT_USERNAME, GIT_PASSWORD, GIT_SSH_KEY and GIT_KNOWN_HOSTS.
    """
    return git.Credentials.of(opened(application, git.Credentials.KEYS))


def artefact_access(application: Application) -> artefacts.Access:
    """Return the access to the files of artefacts, from the configuration as `credentials_of` finds it.

    The keys are ARTEFACT_USERNAME and ARTEFACT_PASSWORD.
    """
    return artefacts.Access.of(opened(application, artefacts.Access.KEYS))


def opened(application: Application, keys: Collection[str]) -> Mapping[str, str]:
    """Return the configuration in which the credentials of these keys are looked for; empty without any of them."""
    environments = list(
        Environment.objects.filter(configurations__application=application).distinct().order_by("order")
    )
    production = [row for row in environments if row.tier == Environment.Tier.PRODUCTION]
    for environment in [*reversed(production), *environments]:
        newest = (
            ConfigurationVersion.objects.filter(application=application, environment=environment)
            .order_by("-number")
            .first()
        )
        if newest is not None and {*newest.values, *newest.encrypted} & {*keys}:
            return newest.opened()
    return {}
