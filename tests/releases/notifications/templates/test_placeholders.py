"""Placeholders are names only: no template language, and a filled-in value is not expanded again."""

from __future__ import annotations

import pytest

from releases.notifications.templates.placeholders import LONGEST, PLACEHOLDERS, fault_of, filled, used


def test_a_known_placeholder_is_filled_and_an_empty_one_is_a_dash() -> None:
    assert filled("{{ version }} / {{reason}}", {"version": "1.3.0", "reason": "  "}) == "1.3.0 / —"


@pytest.mark.parametrize(
    "text",
    [
        "{{ password }}",
        "{{ release.author.password }}",
        "{{ version|upper }}",
        "{% load x %}",
        "{{ version",
        "{{ ''.__class__ }}",
        "{%if 1%}",
        "version }}",
        "{{ version }} {{ self }}",
        "{{{{ version }}}}",
    ],
)
def test_anything_else_in_braces_is_refused(text: str) -> None:
    assert fault_of(text)


@pytest.mark.parametrize(
    "text",
    [
        "｛｛version｝｝",
        "｛｛ｖｅｒｓｉｏｎ｝｝",
        "{ version }",
        "{version}",
        "${version}",
        "$version",
        "%(version)s",
        "｛version｝",
    ],
)
def test_a_misspelt_placeholder_is_refused_with_the_right_form(text: str) -> None:
    assert "{{ version }}" in fault_of(f"版 {text} です") and text in fault_of(text)


@pytest.mark.parametrize("text", ["5 $ (version)", "100 % (version)", "a｝", "{}"])
def test_only_braces_are_reserved_for_placeholders(text: str) -> None:
    assert bool(fault_of(text)) is any(brace in text for brace in "{}｛｝")


def test_every_placeholder_is_allowed() -> None:
    assert not fault_of(" ".join(f"{{{{ {name} }}}}" for name in PLACEHOLDERS))
    assert used("{{ version }}{{title}}") == {"version", "title"}


def test_a_filled_in_value_is_not_expanded_again() -> None:
    assert filled("{{ title }}", {"title": "{{ reason }}", "reason": "secret"}) == "{{ reason }}"


def test_a_filled_in_value_has_a_maximum_length() -> None:
    assert len(filled("{{ impact }}", {"impact": "x" * 100_000})) == LONGEST
