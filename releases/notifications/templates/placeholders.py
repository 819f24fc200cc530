"""Placeholders in a text, `{{ version }}`: only these names, filled in one pass; a text is never executed."""

import re
import unicodedata
from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext as _, gettext_lazy

from environments.language import listed

PLACEHOLDER = re.compile(r"\{\{\s*([a-z_]+)\s*\}\}")
# Remains of a misspelt placeholder, or of another template language: full-width braces, one brace, ${…}, %(…)s.
STRAY = re.compile(r"[{}｛｝]")
MEANT = re.compile(r"(?:[$＄]?[{｛]+|[%％][(（]|[$＄])\s*([a-z_ａ-ｚ＿]+)\s*(?:[}｝]+|[)）][sｓ])?")
NOTHING = "—"
LONGEST = 4000

PLACEHOLDERS: dict[str, str | Promise] = {
    "application": gettext_lazy("application"),
    "version": gettext_lazy("version"),
    "number": gettext_lazy("number"),
    "title": gettext_lazy("title"),
    "type": gettext_lazy("type"),
    "state": gettext_lazy("state"),
    "environment": gettext_lazy("environment"),
    "window_opens": gettext_lazy("window opens"),
    "window_closes": gettext_lazy("window closes"),
    "change_entries": gettext_lazy("change entries, one per line"),
    "status": gettext_lazy("status text for users"),
    "impact": gettext_lazy("impact"),
    "affected_item": gettext_lazy("affected item"),
    "rollback_plan": gettext_lazy("rollback plan (impact, method and timing)"),
    "due_at": gettext_lazy("due"),
    "reason": gettext_lazy("reason"),
    "actor": gettext_lazy("performed by"),
    "occurred_at": gettext_lazy("time of the event"),
    "url": gettext_lazy("address of the page"),
}
# Values that the approval covers or that follow from the deployment; all other values are written later and unread.
KNOWN_BEFOREHAND = frozenset(PLACEHOLDERS) - {"affected_item", "reason", "actor", "state", "due_at", "rollback_plan"}


def used(text: str) -> set[str]:
    """Return the names of the placeholders in a text."""
    return set(PLACEHOLDER.findall(text))


def fault_of(text: str) -> str:
    """Return why a text can't be used; empty when it can."""
    if unknown := sorted(used(text) - PLACEHOLDERS.keys()):
        return _("The text uses unknown placeholders: %(names)s") % {"names": listed(unknown)}
    rest = PLACEHOLDER.sub("", text)
    for found in MEANT.finditer(rest):
        if (name := unicodedata.normalize("NFKC", found[1])) in PLACEHOLDERS:
            named = {"right": f"{{{{ {name} }}}}", "found": found[0]}
            return _("“%(found)s” would be sent unchanged. Write %(right)s instead.") % named
    if STRAY.search(rest):
        return _("Braces may only enclose a placeholder, such as {{ version }}.")
    return ""


def filled(text: str, values: Mapping[str, str]) -> str:
    """Return a text with its placeholders filled; filled values are not parsed again, and no placeholder is left."""
    return PLACEHOLDER.sub(lambda place: str(values.get(place[1], "")).strip()[:LONGEST] or NOTHING, text)
