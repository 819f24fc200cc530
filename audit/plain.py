"""Normalised single-line text without hidden characters."""

import unicodedata

from django.utils.translation import gettext as _

from audit.refusals import InvalidInput

# These join letters and emoji, and change no order.
_JOINERS = "\u200c\u200d"
# Letters and signs by their class that show nothing.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0" + _JOINERS)


def plain(text: str, what: str) -> str:
    """Return a line in NFC without blanks at its ends. what: its name, for the sentence.

    Raises InvalidInput where nothing of it can be seen, and for characters that control or turn round what stands
    there.
    """
    line = unicodedata.normalize("NFC", text).strip()
    hidden = next((c for c in line if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") and c not in _JOINERS), "")
    if hidden:
        text = _("The %(what)s has a character that cannot be seen (U+%(code)s). Remove it.")
        raise InvalidInput(text % {"what": what, "code": f"{ord(hidden):04X}"})
    if all(c.isspace() or c in _BLANK for c in line):
        raise InvalidInput(_("The %(what)s is blank. Write at least one character that can be seen.") % {"what": what})
    return line
