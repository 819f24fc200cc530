"""The stop switch: while it is on, nothing begins or goes on in production, whatever the procedure's gates say."""

from __future__ import annotations

from django.db import connection
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from environments import calendar
from environments.models import Environment
from releases.gates.base import Answer, Known
from releases.models import StopSwitch

KEY = "stop_switch"
LABELS = ("緊急停止", "Stop switch")


def sentence(switch: StopSwitch, zone: str) -> str:
    """Return why nothing starts, with who pressed it, when and why."""
    at = calendar.print_time(switch.pressed_at, zone, get_language() or "ja")
    text = _("All production is stopped since %(at)s by %(who)s: %(reason)s")
    return text % {"at": at, "who": switch.pressed_by, "reason": switch.reason}


def closed(environment: Environment) -> str:
    """Return why nothing may begin or go on in an environment; empty when it may, and below production.

    Inside an open door it stays true until the door closes: a press waits for it.
    """
    if environment.tier != Environment.Tier.PRODUCTION:
        return ""
    _hold("pg_advisory_xact_lock_shared")
    switch = StopSwitch.pressed()
    return sentence(switch, environment.zone) if switch is not None else ""


def hold_alone() -> None:
    """Wait, inside an open door, for every claim that has looked at the switch, and let none look until it closes."""
    _hold("pg_advisory_xact_lock")


def _hold(function: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(hashtext('ringi_stop_switch'))")


def answer(environment: Environment, known: Known) -> Answer | None:
    """Return the switch as a gate that is closed, or None while it is off; no waiver lets it pass."""
    if environment.tier != Environment.Tier.PRODUCTION or known.pressed is None:
        return None
    return Answer(KEY, "fail", sentence(known.pressed, environment.zone), "gates", *LABELS, kind=KEY)
