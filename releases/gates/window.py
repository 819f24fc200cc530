"""The gate of the change window: the deployment with its rollback fits into one (P1)."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.utils.translation import get_language

from environments import calendar
from environments.models import Application, ChangeFreeze, ChangeWindow, Environment, Holiday
from environments.targets.words import gettext as _
from releases.gates.base import Answer, GateContext, Known, not_passed, passed
from releases.gates.durations import durations
from releases.models import Release
from releases.procedures.parts import Gate


def opening(
    application: Application,
    environment: Environment,
    at: datetime,
    *,
    emergency: bool = False,
    any_time: bool = False,
    frozen: Iterable[ChangeFreeze] | None = None,
) -> calendar.Answer:
    """Return whether a deployment may start at `at`, why, and when next. frozen: the freezes that count, where known
    already; any_time: no window is needed there.
    """
    rules, extras = _windows_of(application, environment) if not any_time else ([], [])
    if frozen is None:
        frozen = environment.freezes.in_effect().reaching(application).spans(at)
    freezes = [f.as_freeze(environment.zone) for f in frozen]
    return calendar.next_opening(
        rules, extras, freezes, at, emergency=emergency, any_time=any_time, zone=environment.zone
    )


def _windows_of(
    application: Application, environment: Environment
) -> tuple[list[calendar.WindowRule], list[calendar.Window]]:
    company = Holiday.objects.days()
    rows: list[ChangeWindow] = list(environment.windows.in_effect().reaching(application))
    rules = [rule for row in rows if (rule := row.as_rule(company)) is not None]
    extras = [window for row in rows if (window := row.as_window()) is not None]
    return rules, extras


def closed_sentence(answer: calendar.Answer, environment: Environment) -> str:
    """Return why no deployment may start and when one may next, in the environment's zone."""
    return calendar.explain(answer, environment.zone)


def _end(release: Release, environment: Environment, answer: calendar.Answer) -> datetime | None:
    """Return when the opening ends for a release: at its own end, or earlier with the release's own window, which is in
    one of the protected environments that it is planned for.
    """
    own = release.window_in(environment)[1] if environment.protected else None
    return min(filter(None, [answer.until, own]), default=None)


def closed_to(known: Known, environment: Environment, seconds: float) -> str:
    """Return why a deployment in progress may not go on now; empty when it may.

    seconds: what must fit before the window closes of what is left: its checks too, and in general the rollback.
    """
    release, at = known.release, known.moment
    emergency = release.kind == Release.Kind.EMERGENCY
    answer = opening(release.application, environment, at, emergency=emergency, frozen=known.freezes(environment))
    if not answer.open:
        return closed_sentence(answer, environment)
    if emergency:
        return ""
    end = _end(release, environment, answer)
    if end is None:
        return _("The release's change window has closed.")
    if at + timedelta(seconds=seconds) <= end:
        return ""
    when = calendar.print_time(end, environment.zone, get_language() or "ja")
    return _("The remaining steps no longer fit before %(when)s. Roll back the deployment.") % {"when": when}


def ask(context: GateContext, gate: Gate) -> Answer:
    """Inside the release's own window, and early enough."""
    release, environment, at = context.release, context.environment, context.at
    frozen = context.known.freezes(environment)
    answer = opening(release.application, environment, at, emergency=context.emergency, frozen=frozen)
    if not answer.open:
        return not_passed(gate, closed_sentence(answer, environment), "plan")
    planned = release.window_in(environment)[0] if environment.protected else None
    if planned is not None and at < planned:
        when = calendar.print_time(planned, environment.zone, get_language() or "ja")
        return not_passed(gate, _("The release is planned for %(when)s.") % {"when": when}, "plan")
    if context.emergency:
        return passed(gate, _("An emergency needs no window."), "plan")
    end = _end(release, environment, answer)
    if end is None or at >= end:
        return not_passed(gate, _("The release's change window has closed."), "plan")
    needed = durations(release, environment.pk).needed(release.step_plan)
    latest = calendar.latest_safe_start(end, timedelta(seconds=needed.seconds))
    if at > latest:
        when = calendar.print_time(latest, environment.zone, get_language() or "ja")
        text = _("The deployment no longer fits into the change window: the latest safe start was %(when)s.") % {
            "when": when
        }
        return not_passed(gate, f"{text} {needed.sentence}", "plan")
    return passed(gate, f"{answer.reason} {needed.sentence}" if release.step_plan else answer.reason, "plan")
