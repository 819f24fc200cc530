"""Counting persons: greatest matching, stages in order, nobody asked means no."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from releases.gates.quorum import Rule, candidates, excluded, matched, standing, unknown_authors
from releases.models import Fact

from .asking import alter

ROLES = ("committee", "security", "owner")
PERSONS = st.lists(st.frozensets(st.sampled_from(ROLES), max_size=3), max_size=8).map(
    lambda held: [(f"person:{index}", roles) for index, roles in enumerate(held)]
)
RULES = st.lists(
    st.builds(Rule, stage=st.integers(1, 3), role=st.sampled_from(ROLES), number=st.integers(1, 2)), max_size=8
)


def most_filled(rules: list[Rule], persons: list[tuple[str, frozenset[str]]]) -> int:
    """Return by trying everything how many slots can be filled: every set of persons that could be placed, slot by slot."""
    placed: set[frozenset[str]] = {frozenset()}
    for role in [rule.role for rule in rules for _ in range(rule.number)]:
        able = [key for key, roles in persons if role in roles]
        placed |= {chosen | {key} for chosen in placed for key in able if key not in chosen}
    return max(len(chosen) for chosen in placed)


@given(rules=RULES, persons=PERSONS)
@settings(max_examples=300, deadline=None)
def test_the_matching_is_the_greatest_there_is(rules: list[Rule], persons: list[tuple[str, frozenset[str]]]) -> None:
    filled = matched(rules, persons)
    taken = [person for person in filled if person is not None]
    assert len(taken) == len(set(taken)), "nobody counts twice"
    roles = dict(persons)
    slots = [rule.role for rule in rules for _ in range(rule.number)]
    assert all(person is None or role in roles[person] for role, person in zip(slots, filled, strict=True))
    assert len(taken) == most_filled(rules, persons)


@given(rules=RULES.filter(lambda rows: sum(row.number for row in rows) <= 5), persons=PERSONS)
@settings(max_examples=100, deadline=None)
def test_it_is_met_when_every_stage_is(rules: list[Rule], persons: list[tuple[str, frozenset[str]]]) -> None:
    where = standing(rules, persons)
    number = sum(rule.number for rule in rules)
    assert where.met == (bool(rules) and most_filled(rules, persons) == number)
    if rules and not where.met:
        upto = [rule for rule in rules if rule.stage <= where.stage]
        assert sum(count for _role, count in where.missing) == sum(r.number for r in upto) - most_filled(upto, persons)
        before = [rule for rule in rules if rule.stage < where.stage]
        assert most_filled(before, persons) == sum(rule.number for rule in before), "stages open one after the other"


def test_no_rule_and_nobody_asked_are_never_met() -> None:
    """Cases 4 and 6: a missing policy and an empty quorum are no consent."""
    everybody = [(f"person:{i}", frozenset(ROLES)) for i in range(6)]
    assert not standing([], everybody).met
    assert not standing([], []).met
    assert not standing([Rule(1, "committee", 2)], []).met


def test_shared_people_do_not_dead_lock() -> None:
    """One holds both roles, the other only one: whichever is counted first, both rules are met."""
    rules = [Rule(1, "committee", 1), Rule(1, "security", 1)]
    both, one = ("a", frozenset({"committee", "security"})), ("b", frozenset({"committee"}))
    assert standing(rules, [both, one]).met and standing(rules, [one, both]).met


def test_the_page_names_who_could_still_give_it(world: Any, people: dict[str, Any]) -> None:
    _release, round_ = world.submitted()
    assert {account.username for account in candidates(round_)} == {"committee_a", "committee_b"}, "not the author"
    from releases.actions.consent.decide import approve

    with world.acting_as("committee_a"):
        approve(round_.pk, digest=round_.digest)
    assert {account.username for account in candidates(world.fresh(round_))} == {"committee_b"}


def test_authors_editors_and_commit_authors_are_kept_out(world: Any, people: dict[str, Any]) -> None:
    release = world.tested()
    kept_out = excluded(release)
    assert kept_out[people["author_on_committee"].person_key] == "author"
    assert kept_out[people["developer"].person_key] in ("editor", "commit author")
    assert people["committee_a"].person_key not in kept_out
    alter(Fact.objects.get(release=release, kind="authors"), value=["COMMITTEE_A@datasets.example", "nobody@x.example"])
    assert excluded(release)[people["committee_a"].person_key] == "commit author"
    assert unknown_authors(release) == ["nobody@x.example"]


def test_who_committed_what_another_wrote_is_kept_out(world: Any, people: dict[str, Any]) -> None:
    """A forge that commits is nobody's account and holds nothing up; who wrote and committed is named as its author."""
    release = world.tested()
    person = people["committee_b"].person_key
    assert person not in excluded(release)
    observed = Fact.objects.get(release=release, kind="committers")
    assert observed.value == ["developer@datasets.example"]
    alter(observed, value=["Committee_B@datasets.example", "forge@x.example"])
    assert excluded(release)[person] == "committer" and unknown_authors(release) == []
    alter(Fact.objects.get(release=release, kind="authors"), value=["committee_b@datasets.example"])
    assert excluded(release)[person] == "commit author"
