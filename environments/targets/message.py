"""A text that is stored as message id and values, and translated into the reader's language.

Stored it is `⟦["running, %(seconds)d s", {"seconds": 2}]⟧`, also in the middle of other text, so that it survives being
joined, cut, masked and sent. Nothing here needs Django: a target's host makes such texts too.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

_OPEN, _CLOSE = "⟦", "⟧"
_STORED = re.compile(f"{_OPEN}([^{_OPEN}{_CLOSE}]*)(?:{_CLOSE}|$)")
# The beginning of one that was cut.
_BEGINNING = re.compile(r'\s*\["((?:[^"\\]|\\.)*)"')
# A width that is written in a text from elsewhere could fill the memory.
_WIDE = re.compile(r"%\(\w+\)[^a-zA-Z%]*\d{3}")


class Message(str):
    """The stored form of an English text; `%` gives it its values (name → text, number or another message)."""

    text: str

    def __new__(cls, text: str, values: Mapping[str, Any] | None = None) -> "Message":
        """Make the stored form."""
        content = json.dumps([text] if values is None else [text, dict(values)], ensure_ascii=False, default=str)
        # What stands inside, also another message, must not end it.
        escaped = content.replace(_OPEN, "\\u27e6").replace(_CLOSE, "\\u27e7")
        made = super().__new__(cls, f"{_OPEN}{escaped}{_CLOSE}")
        made.text = text
        return made

    def __mod__(self, values: Any) -> "Message":
        return Message(self.text, values)


def in_words(stored: object, translate: Callable[[str], str]) -> str:
    """Return a stored text in words: each message in it by `translate`, everything else as it is."""

    def worded(found: re.Match[str]) -> str:
        try:
            text, *rest = json.loads(found[1])
            values = (
                {
                    name: in_words(value, translate) if isinstance(value, str) else value
                    for name, value in rest[0].items()
                }
                if rest
                else None
            )
        except (ValueError, TypeError, AttributeError):
            cut = _BEGINNING.match(found[1])
            return translate(cut[1]) if cut else found[0]
        if not isinstance(text, str) or _WIDE.search(text):
            return found[0]
        try:
            return translate(text) % values if values is not None else translate(text)
        except (KeyError, TypeError, ValueError):
            return text

    return _STORED.sub(worded, str(stored)) if _OPEN in str(stored) else str(stored)
