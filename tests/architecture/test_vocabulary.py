"""Texts for people use one word for one thing, in both languages: pages, mails, prints, glossary, documentation."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from typing import Any

import polib

from releases.glossary import terms
from releases.procedures.load import default_text

from .files import ROOT, tracked

# Words that the vocabulary gives up, as patterns in English texts (any case).
GIVEN_UP = (
    r"\bways? back\b",
    r"\b(go|goes|going|went|gone|take|takes|taken|took|taking) back\b(?! to)",
    r"\bthe door\b",
    r"\bstop switch\b",
    r"\bsettl(e|es|ed|ing)\b",
    r"\bfalter",
    r"\bconclud",
    r"\bfix(es|ed)? (the |its )?content|\bcontents? (is |are |was )?fixed",
    r"\bamend",
    r"\bconsent",
    r"\bdeput",
    r"\bobligation",
    r"\bow(ed|es|e)\b",
    r"\broster",
    r"\bin force\b",
    r"\badopt",
    r"\bsealer\b",
    r"\bsweep",
    r"\bsilent\b",
    r"\bsigns? of life",
    r"\bepochs?\b",
    r"\bdoubt",
    r"\bput (back|off)\b",
    r"\bwatch(es|ed|ing)?\b",
    r"\bverdict",
    r"\bgates? (is|are|was|were) (closed|open)\b|\b(closed|open) gates?\b",
    r"\btold\b",
    r"\bnotices?\b",
    r"\bdead address",
    r"\b(people|person|those|somebody) outside\b",
    r"\blapse",
    r"\bappl(y|ies|ied) for\b",
    r"\bpropos",
    r"\bdeclin",
    r"\bhand(s|ed|ing)? in\b",
    r"\bwork (sheet|procedure)\b",
    r"\bwhat runs where",
    r"\bwho could",
    r"\bpostpone[ds]? (the )?release",
    r"\bcall(ed|s)? off",
    r"\bcompressed milestones?\b|\bmilestones? (is|are) compressed\b",
    r"\bgoverned\b",
    r"\breseal",
    r"\babsolute freeze",
    r"\bsecond factors?\b",
    r"\bnobody\b",
    r"\ball the same\b",
    r"\bkinds?\b",
)
PERSONS = r"\b(he|his|him|himself|she|her|hers|herself)\b"
CONTRACTED = r"n['’]t\b"
# The start of a sentence without a subject; a question may start so, and It after a sentence with a noun.
HEADLESS = r"(Who|Whoever|What|Whose|Whatever|Nobody|There is no such)\b"
GIVEN_UP_JA = ("切戻", "社外", "社内", "会社", "社員", "確認者", "停止スイッチ", "実施予約")
JAPANESE = r"[ぁ-んァ-ヶ一-龠々]"
HALF_WIDTH = re.compile(JAPANESE + r"\s*[:,](\s|$)|" + JAPANESE + r" ?\(|\) ?" + JAPANESE)
# Names of code: settings, commands and placeholders.
PLACEHOLDER = re.compile(r"`[^`]*`|%\(\w+\)[sdf]|“[^”]*”|manage\.py \w+")


@cache
def catalogue() -> list[polib.POEntry]:
    """Return Ringi's own entries without those of libraries."""
    from config.development.compile_messages import extracted

    ours = extracted()
    return [e for e in polib.pofile(str(ROOT / "locale/ja/LC_MESSAGES/django.po")) if e.msgid in ours]


def labels(value: Any) -> Iterator[tuple[str, str]]:
    """Yield (language, text) of every label of a document in TOML."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("en", "ja", "name_en", "name_ja", "help_en", "help_ja") and isinstance(inner, str):
                yield key[-2:], inner
            else:
                yield from labels(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from labels(inner)


def files_of_pages() -> Iterator[tuple[str, str]]:
    """Yield (language, text) of the files beside components of the pages."""
    for name in ("target_form", "other_operations"):
        file = ROOT / "releases" / "admin" / "components" / f"{name}.toml"
        yield from labels(tomllib.loads(file.read_text(encoding="utf-8")))


def templates() -> Iterator[tuple[str, str]]:
    """Yield (language, line) of every subject and body of the default notification templates.

    A placeholder counts as a word, in Japanese as 値, so that half-width punctuation beside it is found.
    """
    for file in sorted((ROOT / "releases/notifications/templates").glob("default_*.toml")):
        language = file.stem.split("_")[1]
        for template in tomllib.loads(file.read_text(encoding="utf-8")).values():
            lines = (template["subject"], *template["body"].splitlines())
            for line in filter(None, lines):
                yield language, re.sub(r"\{\{ \w+ \}\}", "値" if language == "ja" else "X", line)


def texts() -> Iterator[tuple[str, str]]:
    """Yield (language, text) of all that people read on pages, in mails and in prints."""
    for entry in catalogue():
        yield from (("en", text) for text in (entry.msgid, entry.msgid_plural) if text)
        yield from (("ja", text) for text in (entry.msgstr, *entry.msgstr_plural.values()) if text)
    for term in terms().values():
        yield from (("en", text) for text in (term.en, term.en_text))
        yield from (("ja", text) for text in (term.ja, term.ja_text))
    yield from templates()
    yield from files_of_pages()
    yield from labels(tomllib.loads(default_text()))


def english_faults(text: str) -> list[str]:
    """Return what the vocabulary forbids in an English text."""
    plain = PLACEHOLDER.sub("X", text)
    found = [m[0] for pattern in (*GIVEN_UP, PERSONS, CONTRACTED) if (m := re.search(pattern, plain, re.IGNORECASE))]
    for place, sentence in enumerate(re.split(r"(?<=[.!?])\s+", plain.strip())):
        if re.match(HEADLESS if place else HEADLESS + r"|Its?\b", sentence) and not sentence.rstrip("”").endswith("?"):
            found.append(f"no subject: {sentence[:40]}")
        if len(sentence.split()) > 25:
            found.append(f"{len(sentence.split())} words in a sentence")
    return found


def japanese_faults(text: str) -> list[str]:
    """Return what the vocabulary forbids in a Japanese text."""
    found = [word for word in GIVEN_UP_JA if word in text]
    return found + [m[0] for m in [HALF_WIDTH.search(PLACEHOLDER.sub("", text))] if m]


def test_every_text_uses_the_words_of_the_vocabulary() -> None:
    read = list(texts())
    assert sum(language == "en" for language, _ in read) > 3000 < sum(language == "ja" for language, _ in read)
    templated = list(templates())
    assert sum(language == "en" for language, _ in templated) > 150 < sum(language == "ja" for language, _ in templated)
    faults = {
        text: found
        for language, text in read
        if (found := english_faults(text) if language == "en" else japanese_faults(text))
    }
    assert not faults, "\n".join(f"{found}: {text[:120]!r}" for text, found in faults.items())


def prose(name: str) -> Iterator[str]:
    """Yield the paragraphs and cells of a page of documentation, without headings, code and targets of links."""
    text = re.sub(r"```.*?```", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.DOTALL)
    text = re.sub(r"\]\([^)]*\)", "]", re.sub(r"`[^`]*`", "X", text))
    for block in re.split(r"\n\s*\n|\n(?=\s*[*|#-])", text):
        if not block.lstrip().startswith("#"):
            yield from (re.sub(r"\s+", " ", cell).strip(" *-") for cell in block.split("|") if cell.strip(" *-:\n"))


def test_the_documentation_uses_the_words_of_the_vocabulary() -> None:
    """Sentences may be longer here by a few words than on pages."""
    # The page of the state machines is made from the names in the code.
    pages = [name for name in tracked() if name.endswith(".md") and name != "docs/reference/state-machines.md"]
    assert len(pages) > 70
    faults = {}
    for name in pages:
        evaluate = japanese_faults if name.endswith(".ja.md") else english_faults
        found = [(said, text[:90]) for text in prose(name) for said in evaluate(text) if "words in a" not in said]
        if found:
            faults[name] = found
    assert not faults, "\n".join(f"{name}: {found}" for name, found in faults.items())


def test_what_the_vocabulary_gives_up_is_found() -> None:
    """A pattern that finds nothing forbids nothing."""
    assert english_faults("Take back the application.") and english_faults("Nobody could give it: this cannot be met.")
    assert english_faults("Who scheduled it no longer has the right to.") and english_faults("He signs with his key.")
    assert not english_faults("Who approved this release?")
    assert japanese_faults("切戻し") and japanese_faults("状態: 承認済み") and not japanese_faults("状態：承認済み")
