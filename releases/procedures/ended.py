"""Recurrences that a new version of a procedure brings although their last day has passed."""

from datetime import datetime, time, timedelta

from django.utils.translation import gettext as _

from environments.calendar import WindowRule, windows
from environments.language import labelled
from releases.procedures.document import Procedure


def ended_rules(content: Procedure, moment: datetime, active: Procedure | None) -> list[str]:
    """Return the recurrences without a day to come, a sentence each. Those that the version in effect has as well have
    ended since, and may stay. None: no version is in effect, and none is new; an exported one may have such.
    """
    if active is None:
        return []
    known = {rrule for _place, rrule, _start, _minutes in _rules(active)}
    found = []
    for place, rrule, start, minutes in _rules(content):
        rule = WindowRule(
            "", rrule, content.schedule.regular.zone, time.fromisoformat(start), timedelta(minutes=minutes)
        )
        # Freezes are of their environments' zones, and a window may be moved: a day is never refused on its own date.
        if "UNTIL=" in rrule and rrule not in known and not windows(rule, moment - timedelta(days=1), 1):
            found.append(labelled(place, _("has no day to come: its last day (UNTIL) has passed")))
    return found


def _rules(content: Procedure) -> list[tuple[str, str, str, int]]:
    """Return place, recurrence, local start and length of the regular window and of each freeze."""
    regular = content.schedule.regular
    freezes = [
        (f"freezes[{n}].rrule", row.rrule, row.start, row.length_minutes) for n, row in enumerate(content.freezes)
    ]
    return [("schedule.regular.rrule", regular.rrule, regular.start, regular.length_minutes), *freezes]
