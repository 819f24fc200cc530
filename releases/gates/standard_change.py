"""Standard changes: types of change that the release procedure approves beforehand, and the limits of each."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import QuerySet

from environments.language import language, listed
from environments.models import Environment
from environments.targets.words import gettext as _
from releases.models import ApprovalRequest, Procedure, Release
from releases.procedures.parts import StandardChange


def subject_of(release: Release) -> str:
    """Return the subject of approval rules that a release is approved under."""
    special = (Release.Kind.EMERGENCY, Release.Kind.STANDARD)
    return str(release.kind) if release.kind in special else "regular"


def change_of(release: Release) -> StandardChange | None:
    """Return the standard change that a release is one of; None where the procedure in effect does not have it."""
    row = Procedure.objects.of(release.application)
    known = row.document.standard_changes() if row is not None else ()
    return next((change for change in known if change.key == release.criterion), None)


def beyond_limits(release: Release, start: datetime | None) -> list[str]:
    """Return why a release is not, or no longer, a standard change by the procedure in effect, a sentence each.

    How many there are in its week is asked by `used_up`, once, when it is submitted.
    """
    change = change_of(release)
    if change is None:
        return [_("The release procedure in effect does not have this standard change.")]
    found = []
    if change.applications and release.application.slug not in change.applications:
        text = _("The standard change “%(change)s” does not apply to %(application)s.")
        found.append(text % {"change": _name(change), "application": release.application})
    if change.risk and release.risk and release.risk not in change.risk:
        names = dict(Release.Risk.choices)
        text = _("The standard change “%(change)s” may only have the risk class %(risk)s.")
        found.append(text % {"change": _name(change), "risk": listed(str(names[risk]) for risk in change.risk)})
    if change.until is not None and start is not None:
        zones = [place.zone for place in release.destinations] or ["UTC"]
        if any(start.astimezone(ZoneInfo(zone)).date() > change.until for zone in zones):
            text = _("The standard change “%(change)s” is approved until %(day)s.")
            found.append(text % {"change": _name(change), "day": change.until.isoformat()})
    return found


def counted(release: Release, change: StandardChange, start: datetime, zone: str) -> QuerySet[ApprovalRequest]:
    """Return the approval requests of other releases for this standard change and the week (Monday to Sunday) of a
    start, the open ones and those that were approved.
    """
    local = start.astimezone(ZoneInfo(zone))
    monday = local.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=local.weekday())
    following = (monday + timedelta(days=7)).replace(fold=0)
    return ApprovalRequest.objects.filter(
        subject=ApprovalRequest.Subject.STANDARD,
        release__criterion=change.key,
        release__application__procedure=release.application.procedure,
        state__in=["in_review", "approved", "used"],
        valid_from__gte=monday,
        valid_from__lt=following,
    ).exclude(release=release)


def used_up(release: Release, environment: Environment) -> tuple[int, str]:
    """Return how many other releases there are of this standard change in the same week, and why there is no room for
    another; empty when there is. Call it inside an operation: the lock holds until its commit.
    """
    change = change_of(release)
    if change is None or release.scheduled_start_at is None:
        return 0, ""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('ringi_standard_change'))")
    number = counted(release, change, release.scheduled_start_at, environment.zone).count()
    if change.per_week is None or number < change.per_week:
        return number, ""
    text = _("The limit of the standard change “%(change)s” is reached: %(n)d in the week of the start.")
    return number, text % {"change": _name(change), "n": change.per_week}


def _name(change: StandardChange) -> str:
    return change.label(language())
