"""Places are names and nothing else: no template language, no second look at what was filled in."""

from __future__ import annotations

import pytest

from releases.letters.places import LONGEST, PLACES, fault_of, filled, used


def test_a_known_place_is_filled_and_an_empty_one_is_a_dash() -> None:
    assert filled("{{ version }} / {{reason}}", {"version": "1.3.0", "reason": "  "}) == "1.3.0 / —"


@pytest.mark.parametrize(
    "text",
    [
        "{{ password }}", "{{ release.author.password }}", "{{ version|upper }}", "{% load x %}", "{{ version",
        "{{ ''.__class__ }}", "{%if 1%}", "version }}", "{{ version }} {{ self }}", "{{{{ version }}}}",
    ],
)  # fmt: skip
def test_anything_else_in_braces_is_refused(text: str) -> None:
    assert fault_of(text)


def test_every_place_is_allowed() -> None:
    assert not fault_of(" ".join(f"{{{{ {name} }}}}" for name in PLACES))
    assert used("{{ version }}{{title}}") == {"version", "title"}


def test_what_is_filled_in_is_not_looked_at_again() -> None:
    assert filled("{{ title }}", {"title": "{{ reason }}", "reason": "secret"}) == "{{ reason }}"


def test_what_is_filled_in_has_an_end() -> None:
    assert len(filled("{{ impact }}", {"impact": "x" * 100_000})) == LONGEST
