"""Merge requests are read from GitHub and GitLab: what they prove of reviews, and what they do not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audit.refusals import InvalidInput
from releases.models import Evidence, MergeRequest
from releases.operations.evidence.upload import upload
from releases.operations.release.refresh_from_git import refresh_from_git
from tests.releases.gates.asking import alter, ask, git
from tests.releases.operations.forging import AUTHOR, Forged, asked
from tests.releases.sources.forge_server import TOKEN, Asked, serving


def test_a_request_that_another_person_approved_meets_the_gate(forged: Forged) -> None:
    commit = forged.commit("one")
    release = forged.bring(commit, asked(commit, body="Fixes #12 and DS-7; not XDS-8", labels=["bug", "x"]))
    (row,) = release.merge_requests.all()
    assert (row.result, row.commits, row.tickets, row.labels) == ("approved", [commit], ["#12", "DS-7"], ["bug", "x"])
    assert (row.author, row.head) == ("dev", commit) and row.title == "feat: request 1"
    assert [(one["login"], one["state"], one["commit"]) for one in row.reviews] == [("rev", "approved", commit)]
    assert forged.gate == "passed" and forged.fact["uncovered"] == []
    evidence = Evidence.objects.get(suite="forge")
    assert (evidence.kind, evidence.source, evidence.uploaded_by) == ("review", "forge", forged.world.people["manager"])
    forged.again()
    assert Evidence.objects.filter(suite="forge").count() == 1, "the same again is no new evidence"


def test_all_pages_are_read(forged: Forged) -> None:
    commits = [forged.commit("c0")]
    for at in range(1, 5):
        commits.append(forged.commit(f"c{at}", commits[-1]))
    rows = [(commit, AUTHOR, "subject") for commit in commits]
    reviews = [("rev2", "APPROVED", commits[0]), ("x", "COMMENTED", commits[1]), ("rev", "APPROVED", commits[-1])]
    request = Asked(1, "Five", rows, heads=commits[:-1], reviews=reviews)
    forged.bring(commits[-1], request)
    assert forged.gate == "passed" and set(MergeRequest.objects.get().commits) == set(commits)
    assert any("page=3" in path for path in forged.server.paths)


def test_a_commit_without_a_request_is_named(forged: Forged) -> None:
    first = forged.commit("one")
    pushed = forged.commit("pushed directly", first)
    forged.bring(pushed, asked(first))
    assert [row[:2] for row in forged.fact["uncovered"]] == [[pushed, "pushed directly"]]
    assert forged.gate == "not_passed"
    assert "another person approved: 1." in ask(forged.world, forged.release, "review").reason


def test_an_unmerged_request_covers_nothing(forged: Forged) -> None:
    commit = forged.commit("one")
    forged.bring(commit, asked(commit, merged=False))
    assert forged.results == {} and forged.gate == "not_passed"


def test_a_request_that_changed_after_its_approval_is_not_reviewed(forged: Forged) -> None:
    first = forged.commit("one")
    second = forged.commit("two", first)
    rows = [(first, AUTHOR, "subject"), (second, AUTHOR, "subject")]
    request = Asked(1, "Two", rows, heads=[first], reviews=[("rev", "APPROVED", first)])
    forged.bring(second, request)
    assert forged.results == {1: "changed"} and forged.gate == "not_passed"
    forged.bring(second, replace(request, reviews=[*request.reviews, ("rev2", "APPROVED", second)]))
    assert forged.results == {1: "approved"} and forged.gate == "passed"


def test_an_approval_without_its_time_is_dated_by_the_note_of_the_system(forged: Forged) -> None:
    forged.server.names_times = False
    first = forged.commit("one")
    second = forged.commit("two", first)
    rows = [(first, AUTHOR, "subject"), (second, AUTHOR, "subject")]
    request = Asked(1, "Two", rows, heads=[first], reviews=[("rev", "APPROVED", first)])
    forged.bring(second, request)
    assert forged.results == {1: "changed"}
    forged.bring(second, replace(request, reviews=[("rev", "APPROVED", second)]))
    assert forged.results == {1: "approved"}


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({"reviews": []}, "not_approved"),
        ({"reviews": [("dev", "APPROVED", "")]}, "own_approval"),
        ({"author": "rev"}, "own_approval"),
        ({"words": "Co-authored-by: T <tester@datasets.example>"}, "own_approval"),
        ({"by": "tester@datasets.example"}, "own_approval"),
        ({"reviews": [("stranger", "APPROVED", "")]}, "unknown_reviewer"),
        ({"author": "stranger"}, "unknown_author"),
        ({"by": "stranger@datasets.example"}, "unknown_author"),
        ({"by": "nothing"}, "unknown_author"),
        ({"words": "Co-authored-by: a name alone"}, "unknown_author"),
        ({"reviews": [("rev", "APPROVED", ""), ("rev2", "CHANGES_REQUESTED", "")]}, "changes_requested"),
    ],
)
def test_what_is_no_review_by_another_known_person(forged: Forged, changes: dict[str, Any], result: str) -> None:
    commit = forged.commit("one")
    if "reviews" in changes:
        changes = changes | {"reviews": [(login, state, commit) for login, state, _commit in changes["reviews"]]}
    forged.bring(commit, asked(commit, **changes))
    assert forged.results == {1: result} and forged.gate == "not_passed"


def test_a_reviewer_who_also_has_another_account_of_the_author_is_the_author(forged: Forged) -> None:
    commit = forged.commit("one")
    for name in ("developer", "tester"):
        alter(forged.world.people[name], employee_id="E-1")
    forged.bring(commit, asked(commit))
    assert forged.results == {1: "own_approval"} and forged.gate == "not_passed"


def test_a_merge_by_the_forge_is_covered_and_one_with_more_in_it_is_not(forged: Forged) -> None:
    branch, main = forged.commit("one"), forged.commit("main")
    merge, evil = forged.merged(main, branch), forged.merged(main, branch, evil=True)
    other = asked(main, 2)
    forged.bring(merge, asked(branch, merge=merge), other)
    assert forged.gate == "passed" and forged.fact["uncovered"] == []
    forged.bring(evil, asked(branch, merge=evil), other)
    assert [row[0] for row in forged.fact["uncovered"]] == [evil] and forged.gate == "not_passed"
    elsewhere = forged.merged(main, forged.commit("another"))
    forged.bring(elsewhere, asked(branch, merge=elsewhere), other)
    assert elsewhere in [row[0] for row in forged.fact["uncovered"]], "a merge of another commit"


def test_a_squash_by_the_forge_is_covered(forged: Forged) -> None:
    squash = forged.commit("one")
    reviewed = [("1" * 40, AUTHOR, "a"), ("2" * 40, AUTHOR, "b")]
    request = Asked(1, "Two", reviewed, squash=squash, reviews=[("rev", "APPROVED", "2" * 40)])
    forged.bring(squash, request)
    assert forged.results == {1: "approved"} and forged.gate == "passed"
    by_reviewer = forged.commit("two", by="tester@datasets.example")
    forged.bring(by_reviewer, replace(request, squash=by_reviewer))
    assert forged.results == {1: "own_approval"}, "the author of the squash commit is an author"
    # What somebody put on top of the reviewed commit is no squash of it.
    top = forged.commit("top", squash)
    forged.bring(top, asked(squash, squash=top))
    assert [row[0] for row in forged.fact["uncovered"]] == [top] and forged.gate == "not_passed"


def test_a_squash_that_github_did_not_make_is_not_covered(world: Any, tmp_path: Path) -> None:
    with serving("github") as server:
        forged = Forged(world, tmp_path, server, "github")
        squash = forged.commit("one")
        request = Asked(1, "One", [("1" * 40, AUTHOR, "a")], squash=squash, reviews=[("rev", "APPROVED", "1" * 40)])
        forged.bring(squash, replace(request, made_by="dev"))
        assert [row[0] for row in forged.fact["uncovered"]] == [squash] and forged.gate == "not_passed"


def test_a_request_of_a_fork_and_a_dismissed_review_do_not_count(world: Any, tmp_path: Path) -> None:
    with serving("github") as server:
        forged = Forged(world, tmp_path, server, "github")
        commit = forged.commit("one")
        forged.bring(commit, asked(commit, project="somebody/datasets"))
        assert forged.results == {} and forged.gate == "not_passed"
        forged.bring(commit, asked(commit, reviews=[("rev", "APPROVED", commit), ("rev", "DISMISSED", commit)]))
        assert forged.results == {1: "not_approved"} and forged.gate == "not_passed"


def test_a_list_of_commits_that_github_cuts_proves_nothing(world: Any, tmp_path: Path) -> None:
    with serving("github") as server:
        forged = Forged(world, tmp_path, server, "github")
        commit = forged.commit("one")
        forged.bring(commit, asked(commit, counted=251))
        assert "#1 has 251 commits, and GitHub lists 1 of them" in forged.fact["fault"]
        assert forged.results == {} and forged.gate != "passed"


def test_several_requests_reviewed_apart_cover_what_one_of_them_brings_together(forged: Forged) -> None:
    one = forged.commit("one")
    two = forged.commit("two", one)
    everything = Asked(9, "Release", [(one, AUTHOR, "a"), (two, AUTHOR, "b")], reviews=[])
    forged.bring(two, everything, asked(one, 1), asked(two, 2))
    assert forged.results == {9: "not_approved", 1: "approved", 2: "approved"} and forged.gate == "passed"


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        ((401, {}, b"{}"), "FORGE_TOKEN is missing, or it is not accepted"),
        ((403, {"X-RateLimit-Remaining": "0", "Retry-After": "77"}, b"{}"), "again in 77 seconds"),
        ((429, {"Retry-After": "8"}, b"{}"), "rate limit is reached"),
        ((403, {}, b"{}"), "status 403"),
        ((404, {}, b"{}"), "status 404"),
        ((302, {"Location": "/"}, b""), "status 302"),
        ((200, {}, b'{"message": "an object"}'), "cannot be read"),
        ((200, {}, b"[{}]"), "not as documented"),
        ((200, {"Content-Length": "900"}, b"[{"), "cannot be read"),
        ((200, {}, b"[1"), "cannot be read"),
        ((500, {}, b""), "status 500"),
    ],
)
def test_a_call_that_fails_is_said_and_makes_nothing_green(forged: Forged, failure: Any, said: str) -> None:
    commit = forged.commit("one")
    part = "/pulls" if forged.provider == "github" else "/merge_requests"
    forged.server.fails = {part: failure}
    forged.bring(commit, asked(commit))
    assert said in forged.fact["fault"] and forged.gate != "passed"
    assert not Evidence.objects.filter(suite="forge").exists() and forged.results == {}


def test_a_later_failure_keeps_what_was_read_of_the_same_commits_only(forged: Forged) -> None:
    commit = forged.commit("one")
    forged.bring(commit, asked(commit))
    part = "/reviews" if forged.provider == "github" else "/approvals"
    forged.server.fails = {part: (503, {}, b"")}
    forged.again()
    assert "503" in forged.fact["fault"] and forged.fact["uncovered"] == []
    assert forged.gate == "passed" and forged.results == {1: "approved"}
    more = forged.commit("two", commit)
    forged.bring(more, asked(commit), asked(more, 2))
    assert forged.gate != "passed" and forged.results == {}


def test_a_review_counts_for_the_commits_it_was_read_for(forged: Forged) -> None:
    commit = forged.commit("one")
    forged.bring(commit, asked(commit))
    assert forged.gate == "passed"
    # The same tree in another commit, which nobody has reviewed.
    copy = forged.commit("copy", tree=git(forged.repository, "rev-parse", f"{commit}^{{tree}}"))
    git(forged.repository, "update-ref", "refs/heads/release/1.3", copy)
    release, forged.release = forged.release, alter(forged.release, commit=copy)
    assert forged.gate != "passed"
    forged.release = alter(release, commit=commit)
    assert forged.gate == "passed"
    # Another version came into production meanwhile: the release has other commits.
    mark_deployed_again(forged)
    assert forged.gate != "passed"


def mark_deployed_again(forged: Forged) -> None:
    from releases.models import DeployedVersion

    row = DeployedVersion.objects.get(environment=forged.world.environments["production"])
    alter(row.release, commit=forged.world.built.commits["v1.4.0"])


def test_a_review_that_somebody_uploads_is_none_of_the_forge(forged: Forged) -> None:
    commit = forged.commit("one")
    forged.bring(commit, asked(commit, reviews=[]))
    assert forged.gate == "not_passed"
    lie = {"forge": "github", "base": forged.base, "requests": [], "decision": "approved", "reviewer": "B"}
    place = forged.world.environments["staging"].pk
    named = {"environment_id": place, "kind": "review", "commit": commit, "suite": "forge"}
    with forged.world.acting_as("ci"):
        with pytest.raises(InvalidInput, match="reads the reviews of the forge itself"):
            upload(forged.world.application.pk, files=[("", json.dumps(lie).encode())], **named)
        upload(forged.world.application.pk, files=[("", json.dumps(lie).encode())], **named | {"suite": "another"})
    assert not any(row.from_forge for row in Evidence.objects.exclude(suite="forge"))
    assert forged.gate == "passed", "an uploaded review counts where the forge knows none, as without a forge"
    forged.bring(commit, asked(commit, reviews=[("rev", "CHANGES_REQUESTED", commit)]))
    assert forged.gate == "not_passed", "and not against what the forge says"


def test_the_server_is_down(world: Any, tmp_path: Path) -> None:
    with serving("gitlab") as server:
        forged = Forged(world, tmp_path, server, "gitlab")
        forged.token("of another project")
        commit = forged.commit("one")
        forged.bring(commit, asked(commit))
        assert "FORGE_TOKEN is missing, or it is not accepted" in forged.fact["fault"]
        forged.token("two\nlines")
        forged.again()
        assert "FORGE_TOKEN" in forged.fact["fault"] and "lines" not in forged.fact["fault"]
        forged.token(TOKEN)
    forged.again()
    assert "gives no answer" in forged.fact["fault"] and forged.gate != "passed"


def test_the_scheduler_reads_git_alone(forged: Forged) -> None:
    commit = forged.commit("one")
    forged.bring(commit, asked(commit, reviews=[]))
    before = len(forged.server.paths)
    with forged.world.acting_as("manager"):
        refresh_from_git(forged.release.pk)
    assert len(forged.server.paths) == before
