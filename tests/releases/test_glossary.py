"""The glossary is complete in both languages, and every page that explains a term finds it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.urls import reverse

from releases.glossary import terms

ROOT = Path(__file__).resolve().parents[2]
JAPANESE = re.compile(r"[ぁ-んァ-ヶ一-龠]")


def test_every_term_is_explained_in_both_languages() -> None:
    """And points only to terms that are there."""
    for term in terms().values():
        assert term.ja and term.en and JAPANESE.search(term.ja_text) and not JAPANESE.search(term.en_text), term.key
        assert set(term.see) <= terms().keys(), term.key


def test_every_term_explained_on_a_page_exists() -> None:
    """A heading without its term would show an error to a reader."""
    named: set[str] = set()
    for file in (ROOT / "releases").rglob("*.html"):
        named |= set(re.findall(r'\{% term "(\w+)" %\}', file.read_text(encoding="utf-8")))
    assert len(named) > 10 and named <= terms().keys()


def test_the_page_shows_every_term_in_the_readers_language(world: Any, browsers: Callable[[str], Any]) -> None:
    """With the word of the other language beside it."""
    client = browsers("auditor")
    english = client.get(reverse("glossary")).content.decode()
    assert all(term.en in english and f'id="{term.key}"' in english for term in terms().values())
    client.cookies["django_language"] = "ja"
    assert terms()["rollback_decision_time"].ja_text in client.get(reverse("glossary")).content.decode()
