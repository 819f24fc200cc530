"""release:refresh_from_git: the repository is read, outside any transaction, and the facts are kept for the gates."""

import dataclasses
from pathlib import Path
from typing import Any

from audit.actor import current
from audit.clock import now
from audit.one_look import one_answer
from audit.operation import NothingToDo, operation
from environments import access
from environments.models import Environment
from releases.gates.base import Known
from releases.models import Fact, Release
from releases.queries import changes_since
from releases.queries.commit_people import people
from releases.queries.repository import place_of, refreshed
from releases.sources import git, migrations

RIGHTS = ("prepare", "plan", "edit_changes", "upload_evidence", "sign_final_check")
SOURCE = ("heads", "branch", "authors", "committers", "signature")


def refresh_from_git(release_id: int) -> dict[str, Any]:
    """Read tag, branches, authors and committers with git; store and return the facts by type.

    A repository on another host is fetched first.
    """
    release = Release.objects.select_related("application").get(pk=release_id)
    if current().account_id is not None:
        _may_refresh(release)
    seen = _look(release)
    keep(release_id, {(kind, None): value for kind, value in seen.items()} | _content(release, seen), release.commit)
    return seen


def keep(release_id: int, seen: changes_since.Facts, commit: str) -> None:
    """Store what was read of the repository about a release and its commit, with the present time; nothing once the
    release has another commit.
    """
    with operation("release:refresh_from_git", (Release, release_id)) as op:
        moment, release = now(), op.get(Release)
        if release.commit != commit:
            raise NothingToDo
        known = {(fact.kind, fact.environment_id): fact for fact in release.facts.all()}
        for (kind, environment), value in seen.items():
            place = environment.pk if environment is not None else None
            fact = known.get((kind, place)) or Fact(release=release, environment=environment, kind=kind)
            fact.value, fact.observed_at = value, moment
            fact.save()


@one_answer
def _content(release: Release, seen: dict[str, Any]) -> changes_since.Facts:
    """Read the commit's message and distance from the deployed version, once for a pair of commits; or the fault."""
    if not release.commit:
        return {}
    repository, places = place_of(release.application), changes_since.active(release)
    known = {row.environment for row in changes_since.kept(release, places) if row.known}
    wanted = [(environment, pointer) for environment, pointer in places if environment not in known]
    heads = seen.get("heads")
    if isinstance(heads, dict):
        bases = {
            e: pointer.release.commit for e, pointer in wanted if pointer is not None and pointer.release is not None
        }
        return {("since", e): {"base": base, "commit": release.commit, **heads} for e, base in bases.items()}
    found: changes_since.Facts = {}
    if changes_since.commit_of(release) is None:
        try:
            found["commit", None] = dataclasses.asdict(git.described(repository, release.commit))
        except (git.SourceUnavailable, git.NoSuchRevision):
            return {}
    return found | {
        ("since", key): value for key, value in changes_since.seen_of(repository, wanted, release.commit).items()
    }


def _may_refresh(release: Release) -> None:
    """Refuse a person who has none of the permissions, neither for all environments nor in one to which the release
    goes.
    """
    account = access.current_account()
    places = [None, *Environment.objects.of(release.application_id)]
    if not any(access.may(account, right, place, release.application_id) for place in places for right in RIGHTS):
        with operation("release:refresh_from_git", (Release, release.pk)):  # the refusal is an event
            access.require(RIGHTS[0])


def _look(release: Release) -> dict[str, Any]:
    try:
        repository = refreshed(release.application)
    except git.SourceUnavailable as fault:
        return dict.fromkeys(("tag", *SOURCE), {"fault": str(fault)})
    base = Known(release).base
    seen: dict[str, Any] = {}
    try:
        with git.known(release.application.allowed_signers) as signers:
            seen["signature"] = _signature(release, repository, signers)
            facts = git.facts(repository, tag=release.tag, signers=signers, version=release.version)
        seen["tag"] = dataclasses.asdict(facts)
    except git.NoSuchTag as fault:
        seen["tag"] = {"fault": str(fault), "missing": True}
    except (git.SourceUnavailable, git.BadKey) as fault:
        seen["tag"] = {"fault": str(fault)}
        seen.setdefault("signature", {"fault": str(fault)})
    try:
        seen["heads"] = git.contains(repository, release.commit) if release.commit else []
        seen["branch"] = {"name": release.branch, "there": git.has_branch(repository, release.branch)}
        for kind, reading in (("authors", git.authors), ("committers", git.committers)):
            brings = (release.application, repository, base, release.commit)
            seen[kind] = people(reading, *brings) if release.commit else []
    except (git.SourceUnavailable, git.NoSuchRevision) as fault:
        seen |= dict.fromkeys(SOURCE, {"fault": str(fault)})
    return seen | _migrations(release, repository, base)


def _signature(release: Release, repository: Path, signers: git.Signers) -> dict[str, Any]:
    """Return what git says of the signature of the commit itself; raises SourceUnavailable."""
    try:
        found = git.commit_signature(repository, release.commit, signers) if release.commit else None
    except git.NoSuchRevision as fault:
        return {"fault": str(fault)}
    return dataclasses.asdict(found or git.Signature(signed=False, good=False, signer=""))


def _migrations(release: Release, repository: Path, base: str | None) -> dict[str, Any]:
    """Read the migrations between the deployed version and the release, once for each pair of commits.

    They are part of what is approved. A failed read leaves the fact as it was, so that an unreachable repository
    invalidates no approval; `submit` asks for it.
    """
    known = Fact.objects.filter(release=release, kind="migrations", environment=None).values_list("value", flat=True)
    span = {"base": base, "commit": release.commit}
    if not release.commit or any(value.items() >= span.items() for value in known):
        return {}
    try:
        try:
            files = git.changed_files(repository, base, release.commit, migrations.is_migration)
        except git.NoSuchRevision:
            # The deployed version came from elsewhere: all migrations of the release are read then.
            files = git.changed_files(repository, None, release.commit, migrations.is_migration)
    except (git.SourceUnavailable, git.NoSuchRevision):
        return {}
    return {"migrations": {**span, "files": migrations.report(files)}}
