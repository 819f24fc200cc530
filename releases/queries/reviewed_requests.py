"""The merge requests of the commits that a release brings: which commits each covers, and whether another person than
its authors approved what was merged. Whatever is unknown does not count as reviewed.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.utils.translation import gettext as _

from environments.models import Account, Application
from releases.gates.authorship import writers
from releases.gates.base import Known
from releases.models import MergeRequest
from releases.models.evidence import FORGE
from releases.queries.repository import opened
from releases.sources import forges, git
from releases.sources.forges import Forge, ForgeUnavailable, Person, Request

Result = MergeRequest.Result


@dataclass(frozen=True)
class Read:
    """One request: the commits of the release that it covers, and how it was reviewed."""

    request: Request
    commits: list[str]
    result: Result


@dataclass(frozen=True)
class Reading:
    """The last reading of a release. fault: why it is not a complete one of the commits of the release, else
    empty. uncovered: (commit, subject, author) of those that no request covers.
    """

    fault: str
    uncovered: list[list[str]]


def reading_of(known: Known) -> Reading:
    """Return the last reading of the merge requests of a release."""
    fact = known.facts.get(FORGE)
    if fact is None:
        return Reading(_("The merge requests have not been read yet. Refresh from Git."), [])
    fault = fact.value.get("fault", "")
    if (fact.value["commit"], fact.value["base"]) != (known.release.commit, known.base or ""):
        fault = _("The merge requests were read for other commits. Refresh from Git.")
    return Reading(fault, fact.value.get("uncovered", []))


def forge_of(application: Application) -> Forge:
    """Return the forge of an application, with the token from its newest configuration."""
    token = opened(application, (forges.TOKEN,)).get(forges.TOKEN, "").strip()
    return forges.PROVIDERS[application.forge](application.forge_url, application.forge_project, token)


def read(forge: Forge, repository: Path, span: Sequence[tuple[git.Commit, tuple[str, ...]]]) -> list[Read]:
    """Read the merged requests of commits (each with its parents, the newest first).
    Raises ForgeUnavailable, SourceUnavailable, NoSuchRevision.
    """
    parents = {commit.commit: others for commit, others in span}
    everybody = list(Account.objects.all())
    found: dict[int, Read] = {}
    reviewed = set[str]()
    try:
        for commit in parents:
            for number in forge.numbers(commit) if commit not in reviewed else ():
                if number not in found:
                    request = forge.request(number)
                    commits = _covered(forge, repository, request, parents)
                    squashed = [one for one in commits if one not in request.commits and len(parents[one]) == 1]
                    result = _result(repository, request, squashed, everybody)
                    found[number] = Read(request, commits, result)
                    reviewed.update(commits if result == Result.APPROVED else ())
    except (KeyError, TypeError, AttributeError, ValueError) as fault:
        raise ForgeUnavailable(_("The answer of the forge is not as documented: %(why)s") % {"why": fault}) from fault
    return list(found.values())


def _covered(forge: Forge, repository: Path, request: Request, parents: Mapping[str, Collection[str]]) -> list[str]:
    """Return the commits that a request covers: its own, the clean merge of its last one, and the squash commit that
    the forge made of it. A commit that somebody made by hand while merging is not among them.
    """
    found = [commit for commit in parents if commit in request.commits]
    for commit in {request.merge, request.squash} - {*found}:
        of = parents.get(commit, ())
        if len(of) == 2:
            made = bool({request.head, request.squash} & {*of}) and git.is_clean_merge(repository, commit)
        else:
            squashed = len(of) == 1 and commit == request.squash
            made = squashed and not git.is_ancestor(repository, request.head, commit) and forge.made(commit)
        found += [commit] if made else []
    return found


def _result(repository: Path, request: Request, squashed: Sequence[str], everybody: Sequence[Account]) -> Result:
    """Judge a request. A reviewer is known by the forge's private Git address at the account. A person who merges it
    is no author: a clean merge adds nothing.
    """
    addresses = {address for one in request.commits.values() for address in one}
    for commit in squashed:
        addresses.update(git.commit_facts(repository, commit).authors)
    known = {str(address).lower() for account in everybody for address in account.git_addresses}
    opener = _person(request.author, everybody)
    wrote = {*writers(everybody, addresses), *([opener] if opener is not None else [])}
    own = {identity for account in wrote for identity in account.identities}
    if any(review.state == "changes_requested" for review in request.reviews):
        return Result.CHANGES_REQUESTED
    if opener is None or not request.commits or addresses - known:
        return Result.UNKNOWN_AUTHOR
    results = {Result.NOT_APPROVED}
    for review in request.reviews:
        if review.state != "approved":
            continue
        reviewer = _person(review.person, everybody)
        if reviewer is None:
            results.add(Result.UNKNOWN_REVIEWER)
        elif reviewer.is_among(own):
            results.add(Result.OWN)
        elif not request.head or review.commit != request.head:
            results.add(Result.CHANGED)
        else:
            results.add(Result.APPROVED)
    return next(result for result in Result if result in results)


def _person(person: Person, everybody: Sequence[Account]) -> Account | None:
    """Return the account of a user of the forge; None for no person, and for several."""
    found = [
        account
        for account in everybody
        if account.kind == Account.Kind.PERSON
        and person.addresses & {str(address).lower() for address in account.git_addresses}
    ]
    return found[0] if len({account.person_key for account in found}) == 1 else None
