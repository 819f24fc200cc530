"""The consent gate: granted, about exactly this, unused, and not expired."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from audit.actor import acting
from audit.change import change
from audit.clock import now
from releases.gates.content import clause_labels, difference, digest, document
from releases.models import ConsentRound, Release

from .asking import COMMAND, alter, ask

COVERED = {
    "preauthorised": {"preauthorised": True},
    "unanswered": {"unanswered": "stay"},
    "version": {"version": "1.3.1"},
    "commit": {"commit": "0" * 40},
    "tree": {"tree": "0" * 40},
    "tag": {"tag": "v9"},
    "plan": {"plan": {"forward": [], "verify": [], "back": [], "back_verify": []}},
    "configuration": {"configurations": {}},
    "window": {"window_end": now},
}


def test_only_a_granted_round_opens_it(world: Any) -> None:
    release, round_ = world.submitted()
    assert ask(world, release, "consent").verdict == "fail"
    from releases.actions.consent.decide import approve

    for name in ("committee_a", "committee_b"):
        assert ask(world, release, "consent").verdict == "fail", "an open round is no consent"
        with world.acting_as(name):
            approve(round_.pk, digest=round_.digest)
    answer = ask(world, release, "consent")
    assert (answer.verdict, answer.reason) == ("pass", round_.digest[:12])


def test_any_difference_closes_it_and_is_named(world: Any) -> None:
    """Case 1: an approval is about one content; every key of it counts."""
    release, round_ = world.granted()
    for key, fields in COVERED.items():
        kept = {name: getattr(release, name) for name in fields}
        changed = alter(release, **{name: value() if callable(value) else value for name, value in fields.items()})
        answer = ask(world, changed, "consent")
        assert answer.verdict == "fail" and f"“{clause_labels()[key]}”" in answer.reason, key
        alter(release, **kept)
        assert ask(world, release, "consent").verdict == "pass", key


def test_a_change_added_or_what_is_in_force_changed_closes_it(world: Any) -> None:
    from releases.models import Change, InForce

    from .asking import make

    release, _round = world.granted()
    make(InForce, application=world.application, environment=world.environments["production"], code="0" * 40,
         since=now(), how="adopted")  # fmt: skip
    assert "“what is in force now”" in ask(world, release, "consent").reason
    with acting(COMMAND), change("test:clear"):
        InForce.objects.all().delete()
    make(Change, release=release, kind="fix", text="one more thing", author=world.people["developer"])
    assert "“changes”" in ask(world, release, "consent").reason


def test_a_used_or_expired_consent_is_none(world: Any) -> None:
    release, round_ = world.granted()
    answer = ask(world, release, "consent", at=round_.window_end + timedelta(seconds=1))
    assert answer.verdict == "fail" and "expired" in answer.reason
    with acting(COMMAND), change("test:use", (ConsentRound, round_.pk)) as act:
        act.get(ConsentRound).consume()
    answer = ask(world, release, "consent")
    assert answer.verdict == "fail" and "used" in answer.reason


def test_the_digest_is_of_the_canonical_form(world: Any) -> None:
    release = world.planned()
    content = document(Release.objects.get(pk=release.pk), world.environments["production"])
    assert digest(content) == digest(dict(reversed(content.items())))
    assert digest(content) != digest(content | {"version": "1.3.1"})
    assert difference(content, content) == ""
    assert difference(content, content | {"unanswered": "stay"}) == "unanswered"
    assert difference(content | {"gone": 1}, content) == "gone"
