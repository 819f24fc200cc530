"""Default templates, by event and language; they are used where no other text has been written."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Words:
    """Subject (one line) and body (plain text), with placeholders."""

    subject: str
    body: str


@cache
def _all(language: str) -> dict[str, Words]:
    files = sorted(FOLDER.glob(f"default_{language}*.toml"))
    read = [row for file in files for row in tomllib.loads(file.read_text(encoding="utf-8")).items()]
    return {event: Words(row["subject"], row["body"].strip()) for event, row in read}


def default_words(event: str, language: str) -> Words:
    """Return the default template; language: ja or en. Raises KeyError for an event without notifications."""
    return _all(language)[event]
