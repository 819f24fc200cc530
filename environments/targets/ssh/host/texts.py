"""The texts of what runs on a target's host: to be told later, or as the request brought them, in its reader's language."""

from collections.abc import Mapping

from environments.targets.message import Message

_texts: dict[str, str] = {}
_recording = True


def tell(texts: Mapping[str, str] | None) -> None:
    """Take English → the language of whoever asked; None: whoever asked records what is to be told."""
    global _recording
    _recording = texts is None
    _texts.update(texts or {})


def is_recording() -> bool:
    """Tell whether texts are to be told later."""
    return _recording


def gettext(text: str) -> str:
    """Return the text to be told later, or in the language of whoever asked; English for one that was not brought."""
    return Message(text) if _recording else _texts.get(text, text)
