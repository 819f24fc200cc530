"""Is it inside a window, and does the run with its way back still fit? (P1)"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils.translation import get_language
from django.utils.translation import gettext as _

from environments import calendar
from environments.models import Application, ChangeWindow, Environment, Freeze
from releases.gates.base import Answer, Question, failed, passed
from releases.procedures.parts import Gate


def opening(
    application: Application, environment: Environment, at: datetime, *, emergency: bool = False
) -> calendar.Answer:
    """Say whether a run may start at `at`, why, and when next."""
    rows = ChangeWindow.objects.filter(environment=environment, opened_at__isnull=False, withdrawn_at__isnull=True)
    rules, extras = [], []
    for row in rows:
        if row.application_id not in (None, application.pk):
            continue
        if row.extra and row.starts_at is not None and row.ends_at is not None:
            extras.append(calendar.Window(row.starts_at, row.ends_at, row.zone, row.name))
        elif row.start is not None:
            length = timedelta(minutes=row.length_minutes)
            rules.append(calendar.WindowRule(row.name, row.rrule, row.zone, row.start, length))
    freezes = [
        calendar.Freeze(calendar.Window(f.starts_at, f.ends_at, environment.zone, f.name), f.absolute)
        for f in Freeze.objects.filter(environment=environment)
        if f.application_id in (None, application.pk)
    ]
    return calendar.next_opening(rules, extras, freezes, at, emergency=emergency)


def closed_sentence(answer: calendar.Answer, environment: Environment) -> str:
    """Return why it is closed and when it opens next, in the environment's zone."""
    if answer.next_start is None:
        return answer.reason
    when = calendar.print_time(answer.next_start, environment.zone, get_language() or "ja")
    return _("%(reason)s Next window: %(when)s.") % {"reason": answer.reason, "when": when}


def needed_seconds(plan: dict[str, list[dict[str, float]]]) -> float:
    """Return the estimate in seconds of the way out with its checks plus the whole way back."""
    return float(sum(step["estimate_seconds"] for steps in plan.values() for step in steps))


def ask(question: Question, gate: Gate) -> Answer:
    """Inside the release's own window, and early enough."""
    release, environment, at = question.release, question.environment, question.at
    answer = opening(release.application, environment, at, emergency=question.emergency)
    if not answer.open:
        return failed(gate, closed_sentence(answer, environment), "plan")
    if question.emergency:
        return passed(gate, _("An emergency needs no window."), "plan")
    end = min(filter(None, [answer.until, release.window_end]), default=None)
    if release.window_start is not None and at < release.window_start:
        when = calendar.print_time(release.window_start, environment.zone, get_language() or "ja")
        return failed(gate, _("The release is planned for %(when)s.") % {"when": when}, "plan")
    if end is None or at >= end:
        return failed(gate, _("The release's own window has closed."), "plan")
    latest = calendar.latest_safe_start(end, timedelta(seconds=needed_seconds(release.plan)))
    if at > latest:
        when = calendar.print_time(latest, environment.zone, get_language() or "ja")
        return failed(gate, _("It no longer fits: the latest safe start was %(when)s.") % {"when": when}, "plan")
    return passed(gate, answer.reason, "plan")
