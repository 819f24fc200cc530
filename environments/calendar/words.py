"""A recurrence and its hours in words, made from the numbers, so that the two never differ."""

from collections.abc import Mapping, Sequence
from datetime import time

from django.utils.dates import MONTHS, WEEKDAYS
from django.utils.translation import gettext as _, gettext_lazy

from environments.language import listed, noted

_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_ORDINALS = {
    1: gettext_lazy("first"),
    2: gettext_lazy("second"),
    3: gettext_lazy("third"),
    4: gettext_lazy("fourth"),
    5: gettext_lazy("fifth"),
    -1: gettext_lazy("last"),
}


def rule_in_words(rrule: str, offset: int = 0) -> str:
    """Return a recurrence of days (RFC 5545) in the reader's language; a rarer form as it is written. offset: days by
    which each is moved.
    """
    moved = {1: _("the day after"), -1: _("the day before")}.get(offset)
    if offset and moved is None:
        moved = (_("%(n)d days later") if offset > 0 else _("%(n)d days earlier")) % {"n": abs(offset)}
    return noted(_days_in_words(rrule), moved) if moved else _days_in_words(rrule)


def _days_in_words(rrule: str) -> str:
    parts = dict(part.partition("=")[::2] for part in rrule.upper().split(";") if part)
    days, months = _days(parts), _numbers(parts.get("BYMONTH", ""))
    every = int(parts.get("INTERVAL", "1"))
    known, until = {"FREQ", "INTERVAL", "BYDAY", "BYMONTH", "BYMONTHDAY", "WKST", "UNTIL"}, parts.get("UNTIL", "")
    named = [str(MONTHS[month]) for month in months]
    rare = parts["FREQ"] == "YEARLY" and not (days and months)
    rare |= parts["FREQ"] == "WEEKLY" and "BYMONTHDAY" in parts
    if parts.keys() - known or None in days or rare:
        return rrule
    values = {"n": every, "days": listed(str(day) for day in days), "months": listed(named)}
    match parts["FREQ"], every, bool(days), bool(months):
        case "DAILY", 1, False, False:
            text = _("each day")
        case "DAILY", _n, False, False:
            text = _("every %(n)d days")
        case "WEEKLY", 1, True, False:
            text = _("each week: %(days)s")
        case "WEEKLY", _n, True, False:
            text = _("every %(n)d weeks: %(days)s")
        case "MONTHLY", 1, True, False:
            text = _("each month: %(days)s")
        case "MONTHLY", _n, True, False:
            text = _("every %(n)d months: %(days)s")
        case (("MONTHLY" | "YEARLY"), 1, True, True):
            text = _("each year in %(months)s: %(days)s")
        case _other:
            return rrule
    if until:
        day = f"{until[:4]}-{until[4:6]}-{until[6:8]}"
        return _("%(rule)s, until %(day)s") % {"rule": text % values, "day": day}
    return text % values


def hours_in_words(start: time, minutes: int) -> str:
    """Return the local hours of a window, of a length in minutes, in the reader's language."""
    days, left = divmod(start.hour * 60 + start.minute + minutes, 24 * 60)
    values = {"begins": f"{start:%H:%M}", "ends": f"{left // 60:02}:{left % 60:02}", "days": days}
    if values["days"] == 0:
        return _("%(begins)s–%(ends)s") % values
    if values["days"] == 1:
        return _("%(begins)s–%(ends)s the next day") % values
    return _("%(begins)s–%(ends)s %(days)d days later") % values


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",") if number]


def _days(parts: Mapping[str, str]) -> Sequence[str | None]:
    """Return the days of a rule as people name them; None for one of a rarer form."""
    found: list[str | None] = []
    for name in parts.get("BYDAY", "").split(",") if parts.get("BYDAY") else ():
        weekday, ordinal = name[-2:], name[:-2]
        word = str(WEEKDAYS[_DAYS.index(weekday)])
        if not ordinal:
            # Each such day of a month or year has no short name that could not mean one of them.
            found.append(word if parts["FREQ"] in ("DAILY", "WEEKLY") else None)
        elif int(ordinal) in _ORDINALS:
            found.append(_("%(ordinal)s %(weekday)s") % {"ordinal": _ORDINALS[int(ordinal)], "weekday": word})
        else:
            found.append(None)
    for day in _numbers(parts.get("BYMONTHDAY", "")):
        found.append(_("last day of the month") if day == -1 else _("day %(day)d") % {"day": day} if day > 0 else None)
    return found if not (parts.get("BYDAY") and parts.get("BYMONTHDAY")) else [None]
