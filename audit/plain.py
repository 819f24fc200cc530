"""Texts that people can read: whether one shows anything, and normalised lines without hidden characters."""

import unicodedata

from django.utils.translation import gettext as _

from audit.refusals import InvalidInput

# These join letters and emoji, and change no order.
_JOINERS = "\u200c\u200d"
# Letters, marks and signs by their class that show nothing.
_BLANK = frozenset("\u034f\u115f\u1160\u2800\u3164\uffa0" + _JOINERS) | {chr(c) for c in range(0xFE00, 0xFE10)}
_HIDDEN = ("Cc", "Cf", "Zl", "Zp")


def is_blank(text: str) -> bool:
    """Tell whether nothing of a text can be seen: it is empty, or has only spaces and hidden characters."""
    return all(c.isspace() or c in _BLANK or unicodedata.category(c) in _HIDDEN for c in text)


def plain(text: str, what: str) -> str:
    """Return a line in NFC without blanks at its ends. what: its name, for the sentence.

    Raises InvalidInput where nothing of it can be seen, and for characters that control or turn round what stands
    there.
    """
    line = unicodedata.normalize("NFC", text).strip()
    hidden = next((c for c in line if unicodedata.category(c) in _HIDDEN and c not in _JOINERS), "")
    if hidden:
        text = _("The %(what)s has a character that cannot be seen (U+%(code)s). Remove it.")
        raise InvalidInput(text % {"what": what, "code": f"{ord(hidden):04X}"})
    if is_blank(line):
        raise InvalidInput(_("The %(what)s is blank. Write at least one character that can be seen.") % {"what": what})
    return line
