"""The texts of what runs on a target's host: to be told later, or as the request brought them, in its reader's
language.
"""

from collections.abc import Mapping

from environments.targets.message import Message

_texts: dict[str, str] = {}
_recording = True


def tell(texts: Mapping[str, str] | None) -> None:
    """Take English → the language of the caller; None: the caller records the message."""
    global _recording
    _recording = texts is None
    _texts.update(texts or {})


def is_recording() -> bool:
    """Tell whether texts are to be told later."""
    return _recording


def gettext(text: str) -> str:
    """Return the text as a message, or in the language of the caller; English for one that was not brought."""
    return Message(text) if _recording else _texts.get(text, text)
