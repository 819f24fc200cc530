"""Versions are ordered and suggested by the rules of SemVer, and one that does not fit is told why."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.utils import translation

from releases.procedures.load import default
from releases.sources.versions import (
    KINDS,
    BadVersion,
    compare,
    faults,
    is_pre_release,
    normalised,
    parse,
    part_for,
    suggest,
)


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    with translation.override("en"):
        yield


def test_the_order_of_the_semver_text_holds() -> None:
    order = [
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
    ]
    order += ["1.0.0-rc.1", "1.0.0", "1.9.0", "1.10.0"]
    for lower, higher in zip(order, order[1:], strict=False):
        assert (compare(lower, higher), compare(higher, lower)) == (-1, 1)
    assert compare("1.0.0+a", "1.0.0+b") == 0


def test_full_width_input_is_the_plain_version() -> None:
    assert normalised(" １．２．３－ｂｅｔａ．１ ") == "1.2.3-beta.1"


@pytest.mark.parametrize(
    "text", ["", "1.2", "v1.2.3", "1.2.3.4", "01.2.3", "1.2.3-", "1.2.3-01", "1" * 200 + ".0.0", "1.2.3\n4"]
)
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(BadVersion):
        parse(text)


@pytest.mark.parametrize(
    ("previous", "kinds", "wanted"),
    [
        (None, ["feature"], "1.0.0"),
        ("1.2.3", ["fix"], "1.2.4"),
        ("1.2.3", [], "1.2.4"),
        ("1.2.3", ["fix", "feature"], "1.3.0"),
        ("1.2.3", ["feature", "breaking"], "2.0.0"),
        ("1.3.0-beta.1", ["feature"], "1.3.0"),
        ("0.4.1", ["breaking"], "0.5.0"),
        ("1.2.3+build.5", ["fix"], "1.2.4"),
    ],
)
def test_the_next_version_follows_from_the_kinds_of_change(previous: str | None, kinds: list[str], wanted: str) -> None:
    assert suggest(previous, kinds) == wanted
    assert faults(wanted, previous, kinds, production=True) == []


@pytest.mark.parametrize(
    ("version", "previous", "kinds", "production", "words"),
    [
        ("1.3.0", "1.2.0", ["breaking"], True, "major"),
        ("1.2.1", "1.2.0", ["feature"], True, "minor"),
        ("1.2.0", "1.2.0", ["fix"], True, "not above"),
        ("1.2.0+later", "1.2.0", ["fix"], True, "not above"),
        ("1.1.9", "1.2.0", ["fix"], True, "not above"),
        ("1.3.0-beta.1", "1.2.0", ["feature"], True, "pre-release"),
        ("1.3.0", "1.2.0", ["mystery"], True, "mystery"),
        ("one", "1.2.0", [], True, "semantic"),
    ],
)
def test_a_version_that_does_not_fit_is_told_why(
    version: str, previous: str, kinds: list[str], production: bool, words: str
) -> None:
    found = faults(version, previous, kinds, production)
    assert len(found) == 1
    assert words in found[0]


def test_a_pre_release_may_go_below_production_and_be_followed_by_its_release() -> None:
    assert is_pre_release("1.3.0-beta.1")
    assert faults("1.3.0-beta.1", "1.2.0", ["feature"], production=False) == []
    assert faults("1.3.0-beta.2", "1.3.0-beta.1", ["feature"], production=False) == []
    assert faults("1.3.0", "1.3.0-beta.1", ["feature"], production=True) == []


def test_the_kinds_of_the_default_procedure_are_those_known_here() -> None:
    assert default().change_kinds() == KINDS
    assert part_for(["small", "breaking"]) == "major"
