"""Versions are ordered and suggested by the rules of SemVer, and a refusal says why."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.utils import translation
from hypothesis import given, strategies as st

from releases.procedures.load import default
from releases.sources.versions import (
    KINDS,
    BadVersion,
    compare,
    faults,
    is_pre_release,
    next_pre_release,
    next_version,
    normalised,
    of_tag,
    parse,
    part_for,
    wrong_pattern,
)

# The precedence examples of paragraph 11 of the specification, lowest first.
PARAGRAPH_11 = [
    ["1.0.0", "2.0.0", "2.1.0", "2.1.1"],
    ["1.0.0-alpha", "1.0.0"],
    [
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
    ],
]
NUMBER = st.integers(0, 30).map(str)
WORD = st.text("0129abzABZ-", min_size=1, max_size=4)
IDENTIFIER = NUMBER | WORD.filter(lambda text: not text.isdigit())
CORE = st.tuples(NUMBER, NUMBER, NUMBER).map(".".join)
PRE = st.lists(IDENTIFIER, max_size=4).map(".".join)


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    with translation.override("en"):
        yield


def by_the_text(version: str) -> tuple[object, ...]:
    """Return a key that sorts as paragraph 11 says, from its text: numbers below words, fewer fields below more, a
    pre-release below its release, build metadata nowhere.
    """
    core, _dash, pre = version.partition("+")[0].partition("-")
    fields = [(0, int(f), "") if f.isdigit() else (1, 0, f) for f in pre.split(".")] if pre else []
    return (*map(int, core.split(".")), not pre, fields)


@pytest.mark.parametrize("row", PARAGRAPH_11)
def test_versions_follow_the_order_of_the_semver_text(row: list[str]) -> None:
    for low, lower in enumerate(row):
        for higher in row[low + 1 :]:
            assert (compare(lower, higher), compare(higher, lower)) == (-1, 1)
    backwards = row[::-1]
    assert sorted(backwards, key=parse) == row


def test_build_metadata_does_not_affect_the_order() -> None:
    assert compare("1.0.0+a", "1.0.0+b") == compare("1.0.0+20130313144700", "1.0.0") == 0
    assert compare("1.0.0-alpha+001", "1.0.0-alpha") == 0
    assert compare("1.0.0-alpha+z", "1.0.0+a") == -1


@given(CORE, PRE, CORE, PRE)
def test_any_two_versions_compare_as_the_text_says(one: str, pre: str, other: str, other_pre: str) -> None:
    left, right = (core + ("-" + p if p else "") for core, p in ((one, pre), (one if pre < "b" else other, other_pre)))
    a, b = by_the_text(left), by_the_text(right)
    assert compare(left, right) == (a > b) - (a < b)


@given(CORE, PRE, st.lists(st.sampled_from(sorted(KINDS)), max_size=3))
def test_a_suggested_version_is_higher_and_never_refused(core: str, pre: str, kinds: list[str]) -> None:
    previous = core + ("-" + pre if pre else "")
    wanted = next_version(previous, kinds)
    assert compare(wanted, previous) == 1
    assert faults(wanted, previous, kinds, production=True) == []


@given(CORE, st.lists(PRE, max_size=4))
def test_the_next_pre_release_is_above_used_ones_and_below_its_release(core: str, taken: list[str]) -> None:
    rows = [f"{core}-{pre}" for pre in taken if pre] + ["99.0.0-beta.7", core]
    wanted = next_pre_release(core, rows)
    assert is_pre_release(wanted) and compare(wanted, core) == -1
    assert all(compare(wanted, row) == 1 for row in rows[:-2])


def test_full_width_input_is_the_plain_version() -> None:
    assert normalised(" １．２．３－ｂｅｔａ．１ ") == "1.2.3-beta.1"
    assert normalised("１.２.３－ＲＣ．１＋ｂｕｉｌｄ．５") == "1.2.3-RC.1+build.5"


@pytest.mark.parametrize(
    "text",
    ["0.0.0", "1.2.3-0", "1.2.3-0a.00a", "1.2.3--", "1.2.3----1.x-y", "1.2.3+001", "1.0.0-a+b-c.01", "9.99999.1"],
)
def test_a_version_allowed_by_the_text_is_read(text: str) -> None:
    assert normalised(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1.2",
        "v1.2.3",
        "1.2.3.4",
        "01.2.3",
        "1.2.3-",
        "1.2.3-01",
        "1" * 200 + ".0.0",
        "1.2.3\n4",
        "1.02.3",
        "1.2.03",
        "-1.2.3",
        "1.2.3-a..b",
        "1.2.3-.a",
        "1.2.3+",
        "1.2.3+a+b",
        "1.2.3-a_b",
        "1.2.3-01.a",
        "1.2.٣",
        "1.1٣.0",
        "1.2.3-é",
        "1 .2.3",
        "1.2.3\0",
        "V1.2.3",
        "1.2.x",
        "一.二.三",
    ],
)
def test_an_invalid_version_is_refused(text: str) -> None:
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
def test_the_next_version_follows_from_the_types_of_change(previous: str | None, kinds: list[str], wanted: str) -> None:
    assert next_version(previous, kinds) == wanted
    assert faults(wanted, previous, kinds, production=True) == []


@pytest.mark.parametrize(
    ("version", "previous", "kinds", "message"),
    [
        (
            "1.3.0",
            "1.2.0",
            ["breaking"],
            "A breaking change needs a new major version. 1.3.0 does not raise the major version of 1.2.0. "
            "A suitable version is 2.0.0.",
        ),
        (
            "0.4.1",
            "0.4.0",
            ["breaking"],
            "Below 1.0.0 a breaking change needs a new minor version. 0.4.1 does not raise the minor version of 0.4.0. "
            "A suitable version is 0.5.0.",
        ),
        (
            "1.2.1",
            "1.2.0",
            ["fix", "feature"],
            "A new feature needs a new minor version. 1.2.1 does not raise the minor version of 1.2.0. "
            "A suitable version is 1.3.0.",
        ),
        (
            "1.3.2",
            "1.3.1-beta.1",
            ["feature"],
            "A new feature needs a new minor version. 1.3.2 does not raise the minor version of 1.3.1-beta.1. "
            "A suitable version is 1.4.0.",
        ),
        ("1.2.0", "1.2.0", ["fix"], "1.2.0 is not newer than the deployed version 1.2.0. A suitable version is 1.2.1."),
        (
            "1.1.9",
            "1.2.0",
            ["feature"],
            "1.1.9 is not newer than the deployed version 1.2.0. A suitable version is 1.3.0.",
        ),
        (
            "1.2.0+later",
            "1.2.0",
            ["fix"],
            "1.2.0+later differs from the deployed version 1.2.0 only in build metadata, which does not count. "
            "A suitable version is 1.2.1.",
        ),
        (
            "1.2.0",
            "1.2.0+b",
            ["fix"],
            "1.2.0 differs from the deployed version 1.2.0+b only in build metadata, which does not count. "
            "A suitable version is 1.2.1.",
        ),
        (
            "1.3.0-beta.1",
            "1.2.0",
            ["feature"],
            "1.3.0-beta.1 is a pre-release and cannot go to production. A suitable version is 1.3.0.",
        ),
        (
            "1.0.0-rc.1",
            None,
            ["feature"],
            "1.0.0-rc.1 is a pre-release and cannot go to production. A suitable version is 1.0.0.",
        ),
        ("1.3.0", "1.2.0", ["mystery"], "“mystery” is not a type of change."),
        ("one", "1.2.0", [], "“one” is not a semantic version such as 1.2.3 or 1.2.3-beta.1."),
    ],
)
def test_a_version_that_does_not_fit_is_refused_with_reason_and_suggestion(
    version: str, previous: str | None, kinds: list[str], message: str
) -> None:
    assert faults(version, previous, kinds, production=True) == [message]


def test_two_faults_have_two_messages() -> None:
    found = faults("1.2.1-rc.1", "1.2.0", ["breaking"], production=True)
    assert len(found) == 2 and "pre-release" in found[0] and "major" in found[1]
    assert all("A suitable version is 2.0.0." in message for message in found)


def test_a_version_that_rises_further_than_needed_is_accepted() -> None:
    for version in ("1.2.1", "1.2.9", "1.3.0", "2.0.0", "4.1.7"):
        assert faults(version, "1.2.0", ["fix"], production=True) == []


def test_a_release_completes_its_own_pre_release() -> None:
    assert next_version("2.0.0-rc.1", ["breaking"]) == "2.0.0"
    assert faults("2.0.0", "2.0.0-rc.1", ["breaking"], production=True) == []
    assert next_version("0.4.0-rc.1", ["breaking"]) == "0.4.0"
    assert faults("0.4.0", "0.4.0-rc.1", ["breaking"], production=True) == []
    assert faults("2.1.0", "2.0.0-rc.1", ["breaking"], production=True) != [], "another one than its own"


def test_a_pre_release_may_go_below_production_and_be_followed_by_its_release() -> None:
    assert is_pre_release("1.3.0-beta.1")
    assert faults("1.3.0-beta.1", "1.2.0", ["feature"], production=False) == []
    assert faults("1.3.0-beta.2", "1.3.0-beta.1", ["feature"], production=False) == []
    assert faults("1.3.0", "1.3.0-beta.1", ["feature"], production=True) == []


def test_change_types_of_the_default_procedure_are_known_here() -> None:
    assert default().change_types() == KINDS
    assert part_for(["small", "breaking"]) == "major"


@pytest.mark.parametrize(
    ("tag", "version"),
    [("v1.2.3", "1.2.3"), ("ckan-2.9.1", "2.9.1"), ("ckan-2.9.1-rc.1", "2.9.1-rc.1"), ("rel/1.0.0/done", "1.0.0")],
)
def test_the_version_of_a_tag_is_found_by_its_pattern(tag: str, version: str) -> None:
    assert of_tag(tag, ["v{version}", "ckan-{version}", "rel/{version}/done"]) == version


@pytest.mark.parametrize(
    ("tag", "why"),
    [
        ("ckan-2.9", "“2.9” is not a semantic version"),
        ("v1.2.3", "none of the patterns ckan-{version}"),
        ("ckan-", "“” is not a semantic version"),
        ("ckan-１.2.3", "“１.2.3” is not written as a plain version"),
        ("ckan", "none of the patterns"),
        ("ckan-2.9.1b", "not a semantic version"),
    ],
)
def test_a_tag_without_version_is_refused_with_its_reason(tag: str, why: str) -> None:
    with pytest.raises(BadVersion, match=why.replace("{", r"\{")):
        of_tag(tag, ["ckan-{version}"])


def test_a_pattern_holds_the_placeholder_once() -> None:
    assert wrong_pattern("v{version}") == wrong_pattern("{version}") == ""
    for text in ("", "v", "{version}{version}", "v {version}", "v{version}\n", "v{Version}"):
        assert "not a pattern" in wrong_pattern(text)
