"""The texts of what runs on a target and of what is kept of it. On a target's host the bundle carries another file under
this name (ssh/host/texts.py).

A page says a text in its reader's language. A worker and the scheduler do not know their reader: they record what is to be
said with its values (message.py), and pages, mails and the API put it into words with `told`.
"""

from django.utils.translation import gettext as translated

from environments.targets import message
from environments.targets.message import Message

__all__ = ["gettext", "gettext_noop", "is_recording", "record", "told"]

_recording = False


def record(on: bool = True) -> None:
    """Let this process record its texts instead of saying them in its own language."""
    global _recording
    _recording = on


def is_recording() -> bool:
    """Tell whether this process records its texts."""
    return _recording


def gettext(text: str) -> str:
    """Return a text in the reader's language, or where this process records, to be told later."""
    return Message(text) if _recording else translated(text)


def gettext_noop(text: str) -> Message:
    """Return a text to be told later, whichever process this is: for what is stored."""
    return Message(text)


def told(stored: object) -> str:
    """Return a stored text in the language of the present reader."""
    return message.told(stored, translated)
