"""What the code says to those who read it keeps to the vocabulary: names, keys, comments and docstrings."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator

from tests.mutants import listed

from .files import ROOT, python

# Words of names that the vocabulary gives up; a name is read word by word.
NAMES = frozenset(
    [
        "adopt",
        "adopted",
        "amend",
        "amended",
        "applicant",
        "conclude",
        "concluded",
        "consent",
        "consents",
        "deed",
        "deputies",
        "deputy",
        "doubt",
        "doubtful",
        "epoch",
        "epochs",
        "falter",
        "faltered",
        "handed",
        "lapse",
        "lapsed",
        "lend",
        "lent",
        "letter",
        "letters",
        "notice",
        "notices",
        "obligation",
        "obligations",
        "owed",
        "owes",
        "peek",
        "preauthorised",
        "reseal",
        "roster",
        "round_",
        "rounds_",
        "sealed",
        "sealer",
        "settle",
        "settled",
        "settles",
        "sweep",
        "swept",
        "unclear",
        "untold",
        "verdict",
        "verdicts",
        "voice",
        "voices",
        "watch",
        "watched",
        "watches",
        "watching",
    ]
)
# Patterns in comments and docstrings.
PROSE = re.compile(
    r"\b(the door|anew|in force|ways? back|notices?|doubt\w*|roster|settl(e|es|ed|ing)|ow(e|es|ed)|epochs?"
    r"|sweeps?|peeks?|deeds?|watch(es|ed|ing)?|seal(s|er|ed|ing)?|verdicts?|deput\w+|letters? "
    r"(to|from|that)|obligations?"
    r"|lapse\w*|adopt\w*|amend\w*|falter\w*|all the same|hands? in|handed in|he|his|him|himself)\b",
    re.IGNORECASE,
)
# Where a word means something else: a file → the words that it may use.
ELSEWHERE = {"audit/search_patterns.py": frozenset({"letter", "letters"})}  # of an alphabet


def words_of(name: str) -> list[str]:
    """Return the words of a name, in lower case."""
    return [word.lower() for word in re.findall(r"[A-Za-z][a-z]*_?$|[A-Za-z][a-z]*|[A-Z]+", name)]


def said(name: str) -> Iterator[str]:
    """Yield what a file says against the vocabulary, with its line."""
    allowed = ELSEWHERE.get(name, frozenset())
    source = (ROOT / name).read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        line = token.start[0]
        if token.type == tokenize.NAME and (found := (NAMES & set(words_of(token.string))) - allowed):
            yield f"{name}:{line}: {token.string} ({', '.join(sorted(found))})"
        elif token.type == tokenize.COMMENT or (token.type == tokenize.STRING and token.string.startswith('"""')):
            for place, text in enumerate(token.string.splitlines()):
                for match in PROSE.finditer(re.sub(r"`[^`]*`|“[^”]*”|extract\(epoch", "", text)):
                    if match[0].lower() not in allowed:
                        yield f"{name}:{line + place}: “{match[0]}” in {text.strip()[:80]}"


def test_names_comments_and_docstrings_use_the_words_of_the_vocabulary() -> None:
    files = [name for name in python() if not name.endswith("test_names.py")]
    assert len(files) > 1000
    assert [fault for name in files for fault in said(name)] == []


def test_the_list_of_guards_uses_the_words_of_the_vocabulary() -> None:
    guards = [mutant.guard for mutant in listed()]
    assert len(guards) > 300
    assert [f"“{match[0]}” in {guard}" for guard in guards for match in PROSE.finditer(guard)] == []


def test_a_word_that_is_given_up_is_found() -> None:
    assert words_of("_watch_id") == ["watch", "id"] and words_of("DeputyFor") == ["deputy", "for"]
    assert PROSE.search("The holder of the door settles it.") and not PROSE.search("A deployment awaits a decision.")
