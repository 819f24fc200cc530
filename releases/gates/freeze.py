"""The gate of change freezes."""

from dataclasses import replace

from django.utils.translation import get_language

from environments import calendar
from environments.models import ChangeFreeze
from environments.targets.words import gettext as _
from releases.gates.base import Answer, GateContext, not_passed, passed
from releases.gates.window import opening
from releases.procedures.parts import Gate


def _active(context: GateContext, freezes: list[ChangeFreeze]) -> list[ChangeFreeze]:
    at = context.at
    return [f for f in freezes if f.starts_at <= at < f.ends_at and (f.full or not context.emergency)]


def ask(context: GateContext, gate: Gate) -> Answer:
    """Deny beats allow; an emergency passes a freeze that is not full, and a lifted one does not count. A release with
    an exception by two people passes one that is not full either, until the exception ends.
    """
    release, environment, at = context.release, context.environment, context.at
    frozen = context.known.freezes(environment)
    active = _active(context, frozen)
    if not active:
        there, exception = (
            _active(context, context.known.set_freezes(environment)),
            context.known.exception(environment, at),
        )
        if not there or exception is None:
            return passed(gate)
        text = _("Exception from the change freeze “%(name)s” until %(until)s by %(who)s: %(reason)s")
        until = calendar.print_time(exception.until, environment.zone, get_language() or "ja")
        words = {"name": there[0].name, "until": until, "who": exception.decided_by, "reason": exception.reason}
        return replace(passed(gate, text % words, "waivers"), result="waived")
    freeze = max(active, key=lambda f: f.ends_at)
    until = calendar.print_time(freeze.ends_at, environment.zone, get_language() or "ja")
    text = _("Change freeze “%(name)s” until %(end)s: %(reason)s")
    reason = text % {"name": freeze.name, "end": until, "reason": freeze.reason}
    any_time = all(other.type != "change_window" for other in context.known.asked(environment))
    answer = opening(
        release.application, environment, at, emergency=context.emergency, any_time=any_time, frozen=frozen
    )
    if answer.next_start is not None:
        when = calendar.print_time(answer.next_start, environment.zone, get_language() or "ja")
        reason = _("%(reason)s (possible again from %(when)s)") % {"reason": reason, "when": when}
    return not_passed(gate, reason, "plan")
