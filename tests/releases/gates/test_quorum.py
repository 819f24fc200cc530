"""The quorum counts persons: the greatest matching, stages in order, and an empty quorum is not met."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings, strategies as st

from audit.actor import acting
from audit.operation import operation
from audit.refusals import GateNotPassed, InvalidInput
from releases.gates.authorship import excluded, require_known_authors, unknown_authors
from releases.gates.quorum import Rule, candidates, matched, standing
from releases.models import Fact, Release
from releases.operations.release.refresh_from_git import refresh_from_git

from .asking import COMMAND, alter, git, own_repository

ROLES = ("committee", "security", "owner")
PERSONS = st.lists(st.frozensets(st.sampled_from(ROLES), max_size=3), max_size=8).map(
    lambda held: [(f"person:{index}", roles) for index, roles in enumerate(held)]
)
RULES = st.lists(
    st.builds(Rule, stage=st.integers(1, 3), role=st.sampled_from(ROLES), number=st.integers(1, 2)), max_size=8
)


def most_filled(rules: list[Rule], persons: list[tuple[str, frozenset[str]]]) -> int:
    """Return by brute force how many slots can be filled: every set of persons that could be placed, slot by slot."""
    placed: set[frozenset[str]] = {frozenset()}
    for role in [rule.role for rule in rules for _ in range(rule.number)]:
        able = [key for key, roles in persons if role in roles]
        placed |= {chosen | {key} for chosen in placed for key in able if key not in chosen}
    return max(len(chosen) for chosen in placed)


@given(rules=RULES, persons=PERSONS)
@settings(max_examples=300, deadline=None)
def test_the_matching_is_the_greatest_possible(rules: list[Rule], persons: list[tuple[str, frozenset[str]]]) -> None:
    filled = matched(rules, persons)
    taken = [person for person in filled if person is not None]
    assert len(taken) == len(set(taken)), "no person counts twice"
    roles = dict(persons)
    slots = [rule.role for rule in rules for _ in range(rule.number)]
    assert all(person is None or role in roles[person] for role, person in zip(slots, filled, strict=True))
    assert len(taken) == most_filled(rules, persons)


@given(rules=RULES.filter(lambda rows: sum(row.number for row in rows) <= 5), persons=PERSONS)
@settings(max_examples=100, deadline=None)
def test_the_quorum_is_met_when_every_stage_is(rules: list[Rule], persons: list[tuple[str, frozenset[str]]]) -> None:
    where = standing(rules, persons)
    number = sum(rule.number for rule in rules)
    assert where.met == (bool(rules) and most_filled(rules, persons) == number)
    if rules and not where.met:
        upto = [rule for rule in rules if rule.stage <= where.stage]
        assert sum(where.missing.values()) == sum(r.number for r in upto) - most_filled(upto, persons)
        before = [rule for rule in rules if rule.stage < where.stage]
        assert most_filled(before, persons) == sum(rule.number for rule in before), "stages open one after the other"


def test_a_missing_rule_or_an_empty_quorum_is_never_met() -> None:
    """Cases 4 and 6: a missing policy and an empty quorum are no approval."""
    everybody = [(f"person:{i}", frozenset(ROLES)) for i in range(6)]
    assert not standing([], everybody).met
    assert not standing([], []).met
    assert not standing([Rule(1, "committee", 2)], []).met


def test_shared_people_do_not_block_each_other() -> None:
    """One person holds both roles, the other only one: whoever is counted first, both rules are met."""
    rules = [Rule(1, "committee", 1), Rule(1, "security", 1)]
    both, one = ("a", frozenset({"committee", "security"})), ("b", frozenset({"committee"}))
    assert standing(rules, [both, one]).met and standing(rules, [one, both]).met


@given(rules=RULES, persons=PERSONS, roles=st.frozensets(st.sampled_from(ROLES)))
@example([Rule(1, role, 1) for role in ROLES[:2]], [("both", frozenset(ROLES[:2]))], frozenset(ROLES[:1]))
@example([Rule(1, role, 1) for role in ROLES[:2]], [("both", frozenset(ROLES[:2]))], frozenset(ROLES[1:2]))
@settings(max_examples=200, deadline=None)
def test_a_person_who_increases_the_matching_is_a_candidate(
    rules: list[Rule], persons: list[tuple[str, frozenset[str]]], roles: frozenset[str]
) -> None:
    where = standing(rules, persons)
    upto = [rule for rule in rules if rule.stage <= where.stage]
    increases = most_filled(upto, [*persons, ("one more", roles)]) > most_filled(upto, persons)
    assert bool(where.wanted & roles) == (increases and not where.met)


def test_a_person_who_fits_only_the_other_place_is_a_candidate(world: Any, people: dict[str, Any]) -> None:
    """One of each role: a person who holds both and approves first may have filled either place."""
    from environments.operations.access.grant import request_role
    from releases.operations.approval.decide import approve, reject

    _release, approval_request = world.submitted()
    rules = [{"stage": 1, "role": role, "number": 1} for role in ("committee", "project_manager")]
    alter(approval_request, rules=rules)
    with acting(COMMAND):
        request_role(people["committee_a"].pk, role="project_manager", reason="two hats")
    with world.acting_as("committee_a"):
        approve(approval_request.pk, digest=approval_request.digest)
    assert {account.username for account in candidates(world.fresh(approval_request))} == {"committee_b"}, (
        "not who has no right"
    )
    with world.acting_as("committee_b"), pytest.raises(InvalidInput, match="Enter a reason"):
        reject(approval_request.pk, digest=approval_request.digest, comment="")
    with world.acting_as("committee_b"):
        approve(approval_request.pk, digest=approval_request.digest)
    assert world.fresh(approval_request).state == "approved"


def test_a_callers_earlier_reads_change_nothing(world: Any, people: dict[str, Any]) -> None:
    release = world.tested()
    rows = ("editors", "facts", "approval_requests", "waivers", "deployments", "author")
    read = Release.objects.prefetch_related(*rows).get(pk=release.pk)
    with acting(COMMAND), operation("test:edit", (Release, release.pk)) as op:
        op.get(Release).editors.add(people["committee_b"])
    alter(people["committee_a"], employee_id="7")
    alter(read.author, employee_id="7")
    kept_out = excluded(read)
    assert kept_out[people["committee_b"].person_key] == "editor"
    assert kept_out[world.fresh(people["committee_a"]).person_key] == "author"


def test_an_author_without_a_readable_address_blocks_every_approval(world: Any, people: dict[str, Any]) -> None:
    """The commit, the reason and the remedy are named; a committer's address counts where the procedure asks for it."""
    release, approval_request = world.submitted()
    commit = release.commit
    entry = f"{commit} Mallory"
    observed = Fact.objects.get(release=release, kind="authors")
    alter(observed, value=[*observed.value, entry])
    (fault,) = unknown_authors(release)
    assert (
        f"Commit {commit[:12]} gives no readable email address for Mallory, so the product cannot tell who may" in fault
    )
    assert "Write the commit anew with the address, select the new commit" in fault
    with world.acting_as("committee_a"), pytest.raises(GateNotPassed, match="no readable email address"):
        approve_(approval_request)
    alter(observed, value=[])
    assert "not known yet" in unknown_authors(release)[0]
    alter(observed, value=["developer@datasets.example"])
    alter(Fact.objects.get(release=release, kind="committers"), value=[f"{commit} Forge", "forge@x.example"])
    assert unknown_authors(release) == []
    strict = release.procedure.content | {
        "versions": {**release.procedure.content["versions"], "committers_are_authors": True}
    }
    alter(release.procedure, content=strict)
    names, stranger = unknown_authors(world.fresh(release))
    assert "no readable email address for Forge" in names and "forge@x.example" in stranger


def test_a_commit_without_an_author_address_blocks_approval(world: Any, tmp_path: Path) -> None:
    """Beside the commits of others: the author without an address is not among those who may not approve."""
    release = world.tested()
    repository = own_repository(world, tmp_path)
    lines = f"tree {release.tree}\nparent {release.commit}\nauthor Committee A <> 1790000000 +0000\n"
    lines += "committer Developer <developer@datasets.example> 1790000000 +0000\n\nmine\n"
    commit = git(repository, "hash-object", "-t", "commit", "-w", "--literally", "--stdin", words=lines)
    alter(release, commit=commit)
    with world.acting_as("manager"):
        refresh_from_git(release.pk)
    assert "developer@datasets.example" in Fact.objects.get(release=release, kind="authors").value
    with pytest.raises(GateNotPassed, match=f"Commit {commit[:12]} gives no readable email address for Committee A"):
        require_known_authors(world.fresh(release))


def approve_(approval_request: Any) -> None:
    """Approve the submitted request."""
    from releases.operations.approval.decide import approve

    approve(approval_request.pk, digest=approval_request.digest)


def test_the_page_names_the_possible_approvers(world: Any, people: dict[str, Any]) -> None:
    _release, approval_request = world.submitted()
    assert {account.username for account in candidates(approval_request)} == {"committee_a", "committee_b"}, (
        "not the author"
    )
    from releases.operations.approval.decide import approve

    with world.acting_as("committee_a"):
        approve(approval_request.pk, digest=approval_request.digest)
    assert {account.username for account in candidates(world.fresh(approval_request))} == {"committee_b"}


def test_authors_editors_and_commit_authors_are_kept_out(world: Any, people: dict[str, Any]) -> None:
    release = world.tested()
    kept_out = excluded(release)
    assert kept_out[people["author_on_committee"].person_key] == "author"
    assert kept_out[people["developer"].person_key] in ("editor", "commit author")
    assert people["committee_a"].person_key not in kept_out
    alter(Fact.objects.get(release=release, kind="authors"), value=["COMMITTEE_A@datasets.example", "nobody@x.example"])
    assert excluded(release)[people["committee_a"].person_key] == "commit author"
    assert unknown_authors(release) == [
        "No account has the Git email address nobody@x.example. Enter the address at the account of its owner."
    ]


def test_a_committer_of_anothers_work_is_kept_out(world: Any, people: dict[str, Any]) -> None:
    """A forge that commits belongs to no account and blocks nothing; one person who did both is named as author."""
    release = world.tested()
    person = people["committee_b"].person_key
    assert person not in excluded(release)
    observed = Fact.objects.get(release=release, kind="committers")
    assert observed.value == ["developer@datasets.example"]
    alter(observed, value=["Committee_B@datasets.example", "forge@x.example"])
    assert excluded(release)[person] == "committer" and unknown_authors(release) == []
    alter(Fact.objects.get(release=release, kind="authors"), value=["committee_b@datasets.example"])
    assert excluded(release)[person] == "commit author"
