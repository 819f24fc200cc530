"""The texts of code that runs on a target, and of its stored results.

On a target's host the bundle has another file of this name (ssh/host/texts.py). A page shows a text in its reader's
language. A worker and the scheduler do not know their reader: they record the text with its values (message.py), and
pages, mails and the API put it into words with `in_words`.
"""

from django.utils.translation import gettext as translated

from environments.targets import message
from environments.targets.message import Message

__all__ = ["gettext", "gettext_noop", "is_recording", "record", "in_words"]

_recording = False


def record(on: bool = True) -> None:
    """Let this process record its texts instead of translating them."""
    global _recording
    _recording = on


def is_recording() -> bool:
    """Tell whether this process records its texts."""
    return _recording


def gettext(text: str) -> str:
    """Return a text in the reader's language; where this process records, to be translated later."""
    return Message(text) if _recording else translated(text)


def gettext_noop(text: str) -> Message:
    """Return a text to be translated later, in any process: for what is stored."""
    return Message(text)


def in_words(stored: object) -> str:
    """Return a stored text in the language of the present reader."""
    return message.in_words(stored, translated)
