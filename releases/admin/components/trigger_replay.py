"""The replay of changed triggers in words, for those who submit the change and those who approve it."""

from datetime import datetime
from typing import Any

from django.utils.translation import get_language, gettext as _

from environments import calendar
from environments.language import listed
from environments.times import ZONE
from releases.models import Procedure


def replay_lines(replayed: dict[str, Any], zone: str = "") -> list[str]:
    """Return the replay of changed triggers in words: a line that names them, then one for each monitoring period."""
    words = _words()
    text = _("changed rollback triggers: %(keys)s")
    lines = [text % {"keys": listed(words.get(key, key) for key in replayed["triggers"])}]
    if not replayed["monitoring_periods"]:
        return [*lines, _("There is no monitoring period yet for a replay of the changed triggers.")]
    for row in replayed["monitoring_periods"]:
        was, would = (
            listed(words.get(key, key) for key, _critical, _at in row[name]) or _("nothing")
            for name in ("was", "would")
        )
        moment = datetime.fromisoformat(row["began"])
        began = calendar.print_time(moment, zone or ZONE, get_language() or "ja")
        said = _("%(run)s, %(began)s, %(n)d measurements: fired %(was)s, would have fired %(would)s")
        line = said % {"run": row["deployment"], "began": began, "n": row["measurements"], "was": was, "would": would}
        if row["missed"]:
            line += " – " + _("A REAL ALARM WOULD HAVE BEEN MISSED")
        elif row["additional"]:
            line += " – " + _("a critical alarm where there was none")
        lines.append(line)
    return lines


def _words() -> dict[str, str]:
    """Return the label of each trigger key in the procedures in effect; a key that only a draft has stays as it is."""
    language = get_language() or "ja"
    rows = Procedure.objects.filter(state="in_effect").order_by("-key")  # the words of the organisation come last
    return {t.key: t.label(language) for row in rows for t in row.document.triggers}
