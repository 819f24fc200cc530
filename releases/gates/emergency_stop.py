"""The emergency stop: while it is in effect, nothing begins or goes on in production, whatever the procedure's
gates.
"""

from django.db import connection
from django.utils.translation import get_language

from environments import calendar
from environments.models import Environment
from environments.targets.words import gettext as _
from releases.gates.base import Answer, Known
from releases.models import EmergencyStop

KEY = "emergency_stop"
LABELS = ("緊急停止", "Emergency stop")


def sentence(stop: EmergencyStop, zone: str) -> str:
    """Return why nothing starts: who activated the stop, when and why."""
    at = calendar.print_time(stop.activated_at, zone, get_language() or "ja")
    if stop.application is None:
        text = _("All production has been stopped since %(at)s (by %(who)s). Reason: %(reason)s")
        if stop.pauses:
            text = _("All production has been paused since %(at)s (by %(who)s). Reason: %(reason)s")
    else:
        text = _("Production of %(application)s has been stopped since %(at)s (by %(who)s). Reason: %(reason)s")
        if stop.pauses:
            text = _("Production of %(application)s has been paused since %(at)s (by %(who)s). Reason: %(reason)s")
    return text % {"application": stop.application, "at": at, "who": stop.activated_by, "reason": stop.reason}


def closed(environment: Environment, application_id: int) -> str:
    """Return why nothing of an application may begin or go on in an environment; empty when it may, and below
    production.

    Inside an open operation it stays true until the operation closes: an activation waits for it.
    """
    if environment.tier != Environment.Tier.PRODUCTION:
        return ""
    _hold("pg_advisory_xact_lock_shared")
    stops = EmergencyStop.on(application_id)
    return sentence(stops[0], environment.zone) if stops else ""


def hold_alone() -> None:
    """Wait, inside an open operation, for every claim that has read the stop, and let none read it until it closes."""
    _hold("pg_advisory_xact_lock")


def _hold(function: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(hashtext('ringi_emergency_stop'))")


def answer(environment: Environment, known: Known) -> Answer | None:
    """Return the stop as a gate that is not passed, or None while none reaches the application; no waiver lets it
    pass.
    """
    reaching = [s for s in known.emergency_stops if s.application_id in (None, known.release.application_id)]
    if environment.tier != Environment.Tier.PRODUCTION or not reaching:
        return None
    return Answer(KEY, "not_passed", sentence(reaching[0], environment.zone), "gates", *LABELS, kind=KEY)
