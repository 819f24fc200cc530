"""The words that come with the product, by event and language; they are used where nobody has written others."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("shipped.toml")


@dataclass(frozen=True)
class Words:
    """Subject (one line) and body (plain text), with places."""

    subject: str
    body: str


@cache
def _all() -> dict[str, dict[str, Words]]:
    read = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return {
        event: {language: Words(row["subject"], row["body"].strip()) for language, row in languages.items()}
        for event, languages in read.items()
    }


def shipped(event: str, language: str) -> Words:
    """Return the shipped words. Raises KeyError for an event that nobody is told of."""
    return _all()[event][language]
