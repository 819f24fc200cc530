"""release:set_source: take branch, commit and tree from the real repository into a draft."""

from __future__ import annotations

from typing import NoReturn

from django.utils.translation import gettext as _

from audit.change import change
from audit.refusals import Invalid
from environments import access
from releases.actions.release.plan import edit
from releases.actions.release.repository import refreshed
from releases.gates.base import procedure_of
from releases.gates.source import not_on, wrong_branch
from releases.models import Release
from releases.sources import git


def set_source(release_id: int, *, branch: str, revision: str = "", reason: str = "") -> Release:
    """Read the commit that `revision` (default: the release's tag) names, then edit the draft.

    Refused when the branch does not fit the kind of the release, is not there or does not hold the commit.
    """
    release = Release.objects.select_related("application", "procedure").get(pk=release_id)
    name = branch.strip()
    if not any(access.may(access.current_account(), right) for right in ("plan", "prepare")):
        with change("release:set_source", (Release, release_id), reason=reason):
            access.require("plan")
    if not name:
        _refuse(release, reason, _("Name the source branch."))
    if wrong := wrong_branch(release.kind, name, procedure_of(release)):
        _refuse(release, reason, wrong)
    try:
        repository = refreshed(release.application)
        seen = git.commit_facts(repository, revision.strip() or release.tag)
        if not git.has_branch(repository, name):
            _refuse(release, reason, _("There is no branch %(branch)s.") % {"branch": name})
        if name not in git.contains(repository, seen.commit):
            _refuse(release, reason, not_on(name))
    except (git.SourceUnavailable, git.NoSuchRevision) as fault:
        _refuse(release, reason, str(fault))
    return edit(release_id, fields={"branch": name, "commit": seen.commit, "tree": seen.tree}, reason=reason)


def _refuse(release: Release, reason: str, sentence: str) -> NoReturn:
    with change("release:set_source", (Release, release.pk), reason=reason):
        raise Invalid(sentence)
