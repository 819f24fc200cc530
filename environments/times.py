"""Times for people: with the name of their zone; on a page with the instant behind it, for the reader's own zone."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.html import format_html
from django.utils.translation import get_language

# The zone of the office: of times that belong to no environment, and of the fiscal year.
ZONE: str = settings.OFFICE_TIME_ZONE
# The years of days that people name: beyond them calendars and databases cannot reckon with a zone.
FIRST_YEAR, LAST_YEAR = 2000, 2150
_WEEKDAYS_JA = "月火水木金土日"
_WEEKDAYS_EN = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS_EN = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LATE_NIGHT_ENDS = 5


def office_zone() -> str:
    """Return the zone of the office, as the default of a column."""
    return ZONE


def office_day(at: datetime) -> date:
    """Return the day that an instant has at the office."""
    return at.astimezone(ZoneInfo(ZONE)).date()


def aware(at: datetime) -> None:
    """Raise ValueError for a time without a zone."""
    if at.tzinfo is None:
        raise ValueError("a time without a zone")


def print_time(at: datetime, zone: str, language: str, *, exact: bool = False) -> str:
    """Return a time as people read it, with the night it belongs to: `2026/12/16（水）01:00（火曜深夜）JST`.
    exact: to the millisecond.
    """
    aware(at)
    local = at.astimezone(ZoneInfo(zone))
    late = local.hour < _LATE_NIGHT_ENDS
    eve = (local.weekday() - 1) % 7
    place = zone_name(local)
    clock = f"{local:%H:%M:%S}.{local.microsecond // 1000:03d}" if exact else f"{local:%H:%M}"
    if language == "ja" or language.startswith("ja-"):
        night = f"（{_WEEKDAYS_JA[eve]}曜深夜）" if late else " "
        return f"{local:%Y/%m/%d}（{_WEEKDAYS_JA[local.weekday()]}）{clock}{night}{place}"
    night = f" (late {_WEEKDAYS_EN[eve]} night)" if late else ""
    weekday = _WEEKDAYS_EN[local.weekday()][:3]
    return f"{weekday} {local.day} {_MONTHS_EN[local.month - 1]} {local.year} {clock}{night} {place}"


def zone_name(local: datetime) -> str:
    """Return the short name of a time's zone, or where it has none, how far from UTC it is."""
    place = local.tzname() or ""
    return place if place.isalpha() else f"UTC{local:%:z}"


def shown(at: datetime | None, zone: str = "", *, exact: bool = False) -> str:
    """Return a time in a zone in the reader's language; a dash for none."""
    return print_time(at, zone or ZONE, get_language() or "ja", exact=exact) if at is not None else "—"


def stamp(at: datetime | None, zone: str = "", *, exact: bool = False) -> str:
    """Return the same for a page: an element that holds the instant, which times.js reads for the reader's own zone."""
    return marked(at, shown(at, zone, exact=exact))


def marked(at: datetime | None, text: str) -> str:
    """Return a text about an instant as the element that holds it; the text alone when there is no instant."""
    return format_html('<time datetime="{}">{}</time>', at.isoformat(timespec="seconds"), text) if at else text
