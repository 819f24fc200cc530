"""Words to look for, as a pattern of PostgreSQL that finds every way of writing them (NFKC, any case).

Normalising each stored text while searching takes nine tenths of the time (measured: 29,000 texts of 500 bytes a
second instead of 260,000), so the writings of the few words asked for are listed instead. Words that have only a
few, as those of kanji and hiragana do, are looked for as they are, which takes a tenth of a pattern's time.
"""

import json
import re
import unicodedata
from collections import defaultdict
from functools import cache
from itertools import chain, product
from math import prod

# Marks that a half-width kana carries behind it, as characters of their own.
_MARKS = {"\u3099": "\uff9e", "\u309a": "\uff9f"}
FEW = 4


@cache
def _writings() -> dict[str, tuple[str, ...]]:
    """Return what NFKC makes of each compatibility character, to the characters that it is made from."""
    found: dict[str, list[str]] = defaultdict(list)
    for code in range(0xA0, 0x10000):
        if 0xD800 <= code <= 0xF8FF:
            continue  # surrogates and private use
        letter = chr(code)
        plain = unicodedata.normalize("NFKC", letter)
        if plain != letter and unicodedata.normalize("NFC", letter) == letter and plain.strip():
            found[plain.casefold()].append(letter)
    return {plain: tuple(letters) for plain, letters in found.items()}


def _kana(letter: str) -> str:
    """Return a kana with its mark in half width, or nothing: ガ is ｶﾞ."""
    split = unicodedata.normalize("NFD", letter)
    if len(split) != 2 or split[1] not in _MARKS:
        return ""
    half = [one for one in _writings().get(split[0], ()) if "\uff66" <= one <= "\uff9d"]
    return half[0] + _MARKS[split[1]] if half else ""


def _written(text: str) -> str:
    """Return a text as it stands in the bytes of an event."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _quoted(text: str) -> str:
    """Return the text with the special characters of a pattern escaped."""
    written = _written(text)
    return re.sub(r"[^\w\s]", lambda found: "\\" + found[0], written, flags=re.ASCII) if written.isascii() else written


def _ways(letter: str) -> list[str]:
    """Return all ways of writing a letter, but for its case."""
    half = _kana(letter)
    return [letter, *_writings().get(letter, ()), *([half] if half else [])]


def _message(letter: str) -> str:
    ways = list(map(_quoted, _ways(letter)))
    return ways[0] if len(ways) == 1 else "(?:" + "|".join(ways) + ")"


def pattern(word: str) -> str:
    """Return the pattern (for `~*`) of one word; what one character stands for, such as ㈱, is found as well."""
    plain = unicodedata.normalize("NFKC", word).casefold()
    made, place = "", 0
    whole = sorted((w for w in _writings() if len(w) > 1 and w in plain), key=len, reverse=True)
    while place < len(plain):
        group = next((w for w in whole if plain.startswith(w, place)), "")
        if group:
            spelled = "".join(map(_message, group))
            made += "(?:" + "|".join([spelled, *map(_quoted, _writings()[group])]) + ")"
            place += len(group)
        else:
            made += _message(plain[place])
            place += 1
    return made


def literals(word: str) -> list[str]:
    """Return all ways of writing a word; none when there are more than FEW, or when it has letters of two cases."""
    plain = unicodedata.normalize("NFKC", word).casefold()
    ways = [_ways(letter) for letter in plain]
    several = prod(map(len, ways)) > FEW or any(whole in plain for whole in _writings() if len(whole) > 1)
    if several or any(way.lower() != way.upper() for way in chain.from_iterable(ways)):
        return []
    return [_written("".join(letters)) for letters in product(*ways)]


def divided(words: str) -> list[str]:
    """Return the words of a text divided by spaces, the wide space too; an event must have each."""
    return unicodedata.normalize("NFKC", words).split()
