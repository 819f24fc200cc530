"""The glossary: the words of the product in both languages, read from one file that the documentation shows as well."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("glossary.toml")


@dataclass(frozen=True)
class Term:
    """One word with its explanation in Japanese and English; `see` are keys of other terms."""

    key: str
    ja: str
    en: str
    ja_text: str
    en_text: str
    see: tuple[str, ...] = ()

    def name(self, language: str) -> str:
        """Return the word in a language (ja, else English)."""
        return self.ja if language == "ja" else self.en

    def text(self, language: str) -> str:
        """Return the explanation in a language."""
        return self.ja_text if language == "ja" else self.en_text


@cache
def terms() -> dict[str, Term]:
    """Return key → term in the order of the file."""
    rows = tomllib.loads(FILE.read_text(encoding="utf-8"))["term"]
    return {row["key"]: Term(**{**row, "see": tuple(row.get("see", ()))}) for row in rows}
