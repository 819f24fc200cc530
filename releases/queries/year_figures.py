"""Figures of a year of the ledger: what is in it, and what of it is still open. The people who close it see them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connection
from django.utils.translation import gettext, gettext_lazy as _

from audit.models import Checkpoint, Event, LedgerEntry, Reconciliation, Verification
from audit.offline.ringi_verify import STAMP
from audit.standing import standing
from environments.access_as_of import once_protected
from environments.models import AccessReview, AccessReviewItem
from environments.times import ZONE
from releases.models import Deployment, Drift, Release, Rollback

# How many days have events, but no checkpoint, and how many no time stamp.
_DAYS = """
WITH days AS (SELECT DISTINCT (e.at AT TIME ZONE %(zone)s)::date AS day FROM audit_ledgerentry l
    JOIN audit_event e ON e.id = l.event_id WHERE l.number BETWEEN %(first)s AND %(last)s),
  checkpoints AS (SELECT DISTINCT (at AT TIME ZONE %(zone)s)::date AS day FROM audit_checkpoint),
  stamps AS (SELECT DISTINCT (at AT TIME ZONE %(zone)s)::date AS day FROM audit_event
    WHERE operation = %(stamp)s AND outcome = 'done')
SELECT count(*) FILTER (WHERE day NOT IN (TABLE checkpoints)), count(*) FILTER (WHERE day NOT IN (TABLE stamps))
FROM days
"""


@dataclass(frozen=True)
class Year:
    """A year of the ledger. first, last: numbers of its events; checkpoint: size of the one that proves them."""

    year: int
    since: datetime
    until: datetime
    first: int
    last: int
    checkpoint: int

    def __str__(self) -> str:
        return f"FY{self.year}"


def contents(year: Year) -> dict[str, Any]:
    """Return the figures that are shown and signed: JSON with integers and texts only."""
    return {
        "v": 1,
        "year": str(year),
        "since": _text(year.since),
        "until": _text(year.until),
        "first": year.first,
        "last": year.last,
        "chain": bytes(LedgerEntry.objects.get(number=year.last).chain).hex(),
        "checkpoint": year.checkpoint,
        "holds": _holds(year),
        "open": _open(year),
    }


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _holds(year: Year) -> dict[str, int]:
    def within(column: str) -> dict[str, datetime]:
        return {f"{column}__gte": year.since, f"{column}__lt": year.until}

    # As the list of the archive counts them: rollbacks are among them.
    protected, started = once_protected(), within("started_at")
    deployments = Deployment.objects.filter(**started, environment__in=protected).count()
    rollbacks = Rollback.objects.filter(**started, deployment__environment__in=protected).count()
    events = Event.objects.filter(ledger_entry__number__range=(year.first, year.last))
    return {
        "events": year.last - year.first + 1,
        "checkpoints": Checkpoint.objects.filter(number__range=(year.first, year.last)).count(),
        "time_stamps": events.filter(operation=STAMP, outcome="done").count(),
        "releases": Release.objects.filter(**within("created_at")).count(),
        "deployments": deployments + rollbacks,
        "reviews": AccessReview.objects.filter(**within("opened_at")).count(),
        "verifications": Verification.objects.filter(**within("started_at")).count(),
        "reconciliations": Reconciliation.objects.filter(**within("started_at")).exclude(ended_at=None).count(),
    }


def _open(year: Year) -> dict[str, int]:
    until, stand = year.until, standing()
    compared = Reconciliation.objects.exclude(ended_at=None).order_by("-pk").first()
    verified = Verification.objects.filter(whole=True).order_by("-pk").first()
    no_checkpoint, no_stamp = _days_without(year)
    undecided = AccessReviewItem.objects.undecided().filter(review__opened_at__lt=until)
    drifts = Drift.objects.filter(found_at__lt=until, ended_at=None).count()
    rollbacks = Rollback.objects.filter(raised_at__lt=until).exclude(state__in=list(Rollback.ENDS)).count()
    return {
        "releases": Release.objects.filter(created_at__lt=until, state__in=Release.UNDER_WAY).count(),
        "differences": compared.found["unexplained"] if compared is not None else 0,
        "grants": undecided.filter(review__closed_at=None).count(),
        "alarms": int(stand.alarm is not None) + drifts + rollbacks,
        "days_without_checkpoint": no_checkpoint,
        "days_without_time_stamp": no_stamp,
        "unverified": max(0, year.last - (verified.last if verified is not None else 0)),
    }


def _days_without(year: Year) -> tuple[int, int]:
    """Return on how many days with events no checkpoint was signed, and on how many none was time-stamped."""
    values: dict[str, int | str] = {"zone": ZONE, "first": year.first, "last": year.last, "stamp": STAMP}
    with connection.cursor() as cursor:
        cursor.execute(_DAYS, values)
        no_checkpoint, no_stamp = cursor.fetchone()
    return int(no_checkpoint), int(no_stamp)


# Figure → its name, in the order in which people read them.
HOLDS = {
    "events": _("events"),
    "checkpoints": _("checkpoints"),
    "time_stamps": _("time stamps"),
    "releases": _("releases begun"),
    "deployments": _("production deployments and rollbacks begun"),
    "reviews": _("access reviews opened"),
    "verifications": _("ledger verifications"),
    "reconciliations": _("ledger reconciliations"),
}
OPEN = {
    "releases": _("releases still under way"),
    "differences": _("rows that differ from the ledger"),
    "grants": _("undecided grants of access reviews"),
    "alarms": _("alarms, drifts and rollbacks that are not resolved"),
    "days_without_checkpoint": _("days with events, but without a checkpoint"),
    "days_without_time_stamp": _("days with events, but without a time stamp"),
    "unverified": _("events that are not verified"),
}


def figures(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return figures as people read them, as name and value: what is in a year, then what of it is still open."""
    numbers = gettext("%(first)s to %(last)s") % {"first": found["first"], "last": found["last"]}
    holds = [(str(name), str(found["holds"][key])) for key, name in HOLDS.items()]
    open_ = [(gettext("Open: %(what)s") % {"what": name}, str(found["open"][key])) for key, name in OPEN.items()]
    return [(gettext("numbers of the events"), numbers), *holds, *open_]
