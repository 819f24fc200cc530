"""release:set_source: take branch, commit and tree from the real repository into a draft."""

from __future__ import annotations

from pathlib import Path

from django.utils.translation import gettext as _

from audit.refusals import Invalid
from releases.actions.release.plan import edit
from releases.models import Release
from releases.sources import git


def set_source(release_id: int, *, branch: str, revision: str = "", reason: str = "") -> Release:
    """Read the commit that `revision` (default: the release's tag) names, then edit the draft."""
    release = Release.objects.select_related("application").get(pk=release_id)
    try:
        seen = git.commit_facts(Path(release.application.repository), revision or release.tag)
    except (git.SourceUnavailable, git.NoSuchRevision) as fault:
        raise Invalid(str(fault))
    if not branch.strip():
        raise Invalid(_("Name the source branch."))
    return edit(release_id, fields={"branch": branch, "commit": seen.commit, "tree": seen.tree}, reason=reason)
