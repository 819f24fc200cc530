"""release:select_commit: branch, commit and tree are read from the repository into a draft."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from django.utils.translation import gettext as _

from audit.operation import operation
from audit.refusals import InvalidInput
from environments import access
from releases.gates.base import procedure_of
from releases.gates.source import not_on, wrong_branch
from releases.models import Release
from releases.operations.release.plan import edit
from releases.operations.release.refresh_from_git import keep
from releases.queries import changes_since
from releases.queries.repository import refreshed
from releases.queries.used_versions import rolled_back
from releases.sources import git


@dataclass(frozen=True)
class Seen:
    """A commit as it is shown before it is selected: its message, and the warnings about it.

    at: ISO 8601 with offset. rolled_back: a sentence for each time that it or its content was rolled back.
    tag_elsewhere: a sentence when the tag of the release's version names another commit; empty otherwise.
    """

    branch: str
    commit: str
    tree: str
    subject: str
    author: str
    at: str
    distances: tuple[changes_since.Since, ...]
    rolled_back: tuple[str, ...]
    tag_elsewhere: str
    facts: changes_since.Facts


def look(release_id: int, *, branch: str, revision: str = "") -> Seen:
    """Return the commit that `revision` names (default: the head of the branch), read from the repository.

    Raises InvalidInput when the branch does not fit the type of the release, does not exist or does not hold the
    commit.
    """
    release = Release.objects.select_related("application", "procedure").get(pk=release_id)
    name = branch.strip()
    if not name:
        raise InvalidInput(_("Name the branch of the commit."))
    if wrong := wrong_branch(release.kind, name, procedure_of(release)):
        raise InvalidInput(wrong)
    try:
        repository = refreshed(release.application)
        if not git.has_branch(repository, name):
            raise InvalidInput(_("The branch %(branch)s does not exist.") % {"branch": name})
        found = git.commit_facts(repository, revision.strip() or name)
        if name not in git.contains(repository, found.commit):
            raise InvalidInput(not_on(name))
        words, places = git.described(repository, found.commit), changes_since.active(release)
        distances = changes_since.seen_of(repository, places, found.commit)
        elsewhere = _elsewhere(release, repository, found.commit)
    except (git.SourceUnavailable, git.NoSuchRevision) as fault:
        raise InvalidInput(str(fault))
    return Seen(
        branch=name,
        tree=found.tree,
        **asdict(words),
        distances=tuple(changes_since.since(places, found.commit, distances)),
        rolled_back=rolled_back(release.application, found.commit, found.tree),
        tag_elsewhere=elsewhere,
        facts={("commit", None): asdict(words)} | {("since", key): value for key, value in distances.items()},
    )


def select_commit(
    release_id: int,
    *,
    branch: str,
    revision: str = "",
    expected_commit: str | None = None,
    accept_rolled_back: bool = False,
    reason: str = "",
) -> Release:
    """Read the commit that `revision` (default: the head of the branch) names, then edit the draft.

    expected_commit: full id of the commit that was shown; refused when the revision names another one by now.
    accept_rolled_back: required for content that was rolled back before. OperationRefused as `look` is.
    """
    application = Release.objects.values_list("application", flat=True).get(pk=release_id)
    may = [access.may(access.current_account(), right, application=application) for right in ("plan", "prepare")]
    if not any(may):
        with operation("release:select_commit", (Release, release_id), reason=reason):
            access.require("plan")
    try:
        seen = look(release_id, branch=branch, revision=revision)
    except InvalidInput as refused:
        _refuse(release_id, reason, *refused.reasons)
    if expected_commit and expected_commit != seen.commit:
        text = _(
            "The commit shown was %(shown)s, and %(branch)s now names %(commit)s, “%(subject)s” by %(author)s. "
            "Read it, then confirm that one."
        )
        named = {"branch": revision.strip() or seen.branch, "subject": seen.subject, "author": seen.author}
        _refuse(release_id, reason, text % {**named, "shown": expected_commit[:12], "commit": seen.commit[:12]})
    if seen.rolled_back and not accept_rolled_back:
        text = _("Confirm that you select this commit anyway (accept_rolled_back), or select another commit.")
        _refuse(release_id, reason, *seen.rolled_back, text)
    fields = {"branch": seen.branch, "commit": seen.commit, "tree": seen.tree}
    release = edit(release_id, fields=fields, reason=reason)
    keep(release_id, seen.facts, seen.commit)
    return release


def _elsewhere(release: Release, repository: Path, commit: str) -> str:
    tag = git.tag_object(repository, release.tag)
    try:
        tagged = git.resolve(repository, tag) if tag else commit
    except git.NoSuchRevision:
        tagged = tag
    if tagged == commit:
        return ""
    text = _("The tag %(tag)s of this version exists already, and it names another commit: %(commit)s.")
    return text % {"tag": release.tag, "commit": tagged[:12]}


def _refuse(release_id: int, reason: str, *sentences: str) -> NoReturn:
    with operation("release:select_commit", (Release, release_id), reason=reason):
        raise InvalidInput(*sentences)
