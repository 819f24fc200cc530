"""release:refresh_from_git as a person or CI calls it: after Git, the merge requests of the commits are read from the
forge, and what it says of their reviews becomes evidence. The scheduler reads Git alone: it keeps no evidence.
"""

import hashlib
from typing import Any

import rfc8785
from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from environments import access
from environments.language import listed
from environments.models import Application, Environment
from releases.evidence_readers.review import INCOMPLETE
from releases.gates.base import Known
from releases.models import Evidence, Fact, MergeRequest, Release
from releases.models.evidence import FORGE
from releases.operations.release.refresh_from_git import refresh_from_git
from releases.queries.repository import place_of
from releases.queries.reviewed_requests import Read, forge_of, read
from releases.sources import git
from releases.sources.forges import ForgeUnavailable, tickets_in


def refresh(release_id: int) -> dict[str, Any]:
    """Refresh a release from Git and from the forge of its application; return the facts of Git by type.

    A reading that fails is kept as a fault. It leaves what an earlier one found about the same commits.
    """
    seen = refresh_from_git(release_id)
    release = Release.objects.select_related("application").get(pk=release_id)
    if not release.application.forge or not release.commit:
        return seen
    span = {"base": Known(release).base or "", "commit": release.commit}
    requests: list[Read] | None = None
    value: dict[str, Any] = dict(span)
    try:
        repository = place_of(release.application)
        commits = git.listed_between(repository, span["base"] or None, release.commit)
        requests = read(forge_of(release.application), repository, commits)
    except (ForgeUnavailable, git.SourceUnavailable, git.NoSuchRevision) as fault:
        value["fault"] = str(fault)
    else:
        covered = {commit for one in requests for commit in one.commits}
        left = [
            (one.commit, one.subject[:120], one.author[:60]) for one, _parents in commits if one.commit not in covered
        ]
        value |= {"commits": len(commits), "uncovered": left}
    with operation("release:refresh_from_git", (Application, release.application_id), (Release, release_id)) as op:
        release = op.get(Release)
        if release.commit != span["commit"]:
            return seen
        fact = Fact.objects.filter(release=release, kind=FORGE, environment=None).first()
        if requests is None and fact is not None and span.items() <= fact.value.items():
            value = {**fact.value, **value}
        Fact.objects.update_or_create(
            release=release, environment=None, kind=FORGE, defaults={"value": value, "observed_at": now()}
        )
        if requests is not None or fact is None or not span.items() <= fact.value.items():
            _keep(release, requests or [])
        if requests is not None:
            _record(release, value, requests)
    return seen


def _keep(release: Release, requests: list[Read]) -> None:
    release.merge_requests.exclude(number__in=[one.request.number for one in requests]).delete()
    for one in requests:
        request = one.request
        reviews = [
            {"login": review.person.login, "state": review.state, "at": review.at, "commit": review.commit}
            for review in request.reviews
        ]
        MergeRequest.objects.update_or_create(
            release=release,
            number=request.number,
            defaults={
                "title": " ".join(request.title.split())[:300],
                "url": request.url[:500] if request.url.startswith(("https://", "http://")) else "",
                "author": request.author.login[:100],
                "merged_at": request.merged_at,
                "head": request.head[:40],
                "labels": list(request.labels),
                "tickets": tickets_in(request, release.application.ticket_formats),
                "commits": one.commits,
                "reviews": reviews,
                "result": one.result,
            },
        )


def _record(release: Release, value: dict[str, Any], requests: list[Read]) -> None:
    """Keep what the forge says as evidence of a review, unless the same counts already."""
    application = release.application
    approved = [one for one in requests if one.result == MergeRequest.Result.APPROVED]
    left = value["commits"] - len({commit for one in approved for commit in one.commits})
    decision = "approved" if value["commits"] and not left else INCOMPLETE
    if any(one.result == MergeRequest.Result.CHANGES_REQUESTED for one in requests):
        decision = "changes_requested"
    rows: list[Any] = [[one.request.number, one.request.head, one.result, one.commits] for one in requests]
    content = rfc8785.dumps(
        {"forge": application.forge, "project": application.forge_project, **value, "requests": rows}
    )
    digest = hashlib.sha256(content).hexdigest()
    counting = Evidence.objects.counting(application.pk, release.tree).filter(kind="review", suite=FORGE)
    before = [row for row in counting if row.from_forge]
    if before and before[0].digest == digest:
        return
    text = _("%(commits)d commits; reviewed merge requests: %(numbers)s; commits without a review: %(left)d.")
    numbers = listed(f"#{one.request.number}" for one in approved) or "—"
    made = Evidence.objects.create(
        application=application,
        environment=[*release.places, *Environment.objects.all()][0],
        kind="review",
        suite=FORGE,
        commit=release.commit,
        tree=release.tree,
        digest=digest,
        values={"reviewer": application.forge_project, "decision": decision, "commits": left, "base": value["base"]},
        summary=(text % {"commits": value["commits"], "numbers": numbers, "left": left})[:300],
        content=content,
        uploaded_by=access.current_account(),
    )
    for row in before:
        row.superseded_by = made
        row.save(update_fields=["superseded_by"])
