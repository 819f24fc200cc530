"""Openings: whether a deployment may start now, and if not, when next, by windows and freezes, with an explanation."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import get_language, gettext as _

from environments.calendar.rules import Window, WindowRule, ahead
from environments.times import aware, print_time


@dataclass(frozen=True)
class Freeze:
    """A time in which nothing is released; a full freeze stops emergencies too."""

    window: Window
    absolute: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Answer:
    """Whether a deployment may start and why, until when that holds, and the next opening. `reason` leaves the latter
    out.
    """

    open: bool
    reason: str
    until: datetime | None = None
    window: Window | None = None
    next_start: datetime | None = None
    next_end: datetime | None = None
    next_window: Window | None = None


Piece = tuple[datetime, datetime, Window]


def next_opening(
    rules: Iterable[WindowRule],
    extras: Iterable[Window],
    freezes: Iterable[Freeze],
    at: datetime,
    *,
    emergency: bool = False,
    any_time: bool = False,
    zone: str = "",
) -> Answer:
    """Say whether a deployment may start at `at`, and if not, when next; times are printed in `zone` or in the window's
    own.

    A freeze beats every window. An emergency needs no window and is stopped by full freezes only. any_time: no window
    is needed there, and every freeze counts.
    """
    aware(at)
    stops = [freeze for freeze in freezes if freeze.absolute or not emergency]
    active = [freeze for freeze in stops if freeze.window.holds(at)]
    if emergency or any_time:
        return _without_window(stops, active, at, emergency, zone)
    rules, extras = list(rules), list(extras)
    here = following = None
    for piece in _openings(rules, extras, stops, at):
        start, end, _window = piece
        if start > at:
            following = piece
            break
        if here is None or end > here[1]:
            here = piece
    after: tuple[datetime | None, datetime | None, Window | None] = following or (None, None, None)
    if here is not None:
        words = {"name": here[2].name, "end": _print(here[1], here[2], zone)}
        text = _("The time is inside the change window “%(name)s”, until %(end)s.")
        return Answer(True, text % words, here[1], here[2], *after)
    if active:
        reason = _frozen(active, zone)
    elif following is None and not stops:
        reason = _("No window is planned.")
    else:
        reason = _("The time is outside every change window.")
        if passed := _passed_over(rules, extras, stops, at, following):
            reason += " " + _say_passed(*passed, zone)
    return Answer(False, reason, following[0] if following else None, None, *after)


def explain(answer: Answer, zone: str) -> str:
    """Return why it is closed and when it opens next, in the reader's language and in `zone`."""
    if answer.next_start is None:
        return answer.reason
    when = print_time(answer.next_start, zone, get_language() or "ja")
    if answer.next_window is None:
        return _("%(reason)s Deployments are possible again from %(when)s.") % {"reason": answer.reason, "when": when}
    words = {"reason": answer.reason, "when": when, "name": answer.next_window.name}
    return _("%(reason)s Next window: %(when)s (%(name)s).") % words


def _print(at: datetime, window: Window, zone: str) -> str:
    return print_time(at, zone or window.zone, get_language() or "ja")


def _frozen(active: Sequence[Freeze], zone: str) -> str:
    worst = max(active, key=lambda freeze: freeze.window.end)
    words = {"name": worst.window.name, "end": _print(worst.window.end, worst.window, zone), "reason": worst.reason}
    if worst.reason:
        return _("The change freeze “%(name)s” stops deployments until %(end)s (%(reason)s).") % words
    return _("The change freeze “%(name)s” stops deployments until %(end)s.") % words


def _passed_over(
    rules: Sequence[WindowRule],
    extras: Sequence[Window],
    stops: Sequence[Freeze],
    at: datetime,
    following: Piece | None,
) -> tuple[Window, Freeze] | None:
    """Return the window that would be next if no freeze closed it, with that freeze; None when none is passed over."""
    free = next((piece for piece in _openings(rules, extras, [], at) if piece[0] > at), None)
    if free is None or (following is not None and free[0] == following[0]):
        return None
    stop = next((s for s in stops if s.window.start < free[1] and s.window.end > free[0]), None)
    return (free[2], stop) if stop is not None else None


def _say_passed(window: Window, stop: Freeze, zone: str) -> str:
    words = {"name": window.name, "when": _print(window.start, window, zone), "freeze": stop.window.name}
    return _("The change window “%(name)s” on %(when)s is closed by the change freeze “%(freeze)s”.") % words


def _openings(
    rules: Sequence[WindowRule], extras: Sequence[Window], stops: Sequence[Freeze], at: datetime
) -> list[Piece]:
    """Return the stretches of near windows that no freeze covers and that end after `at`, in order."""
    open_ones: list[Piece] = []
    for extra in extras:
        open_ones += _pieces(extra, stops, at)
    for rule in rules:
        # Beyond the first window with an open stretch ahead nothing of this rule can be the next one.
        for window in ahead(rule, at):
            pieces = _pieces(window, stops, at)
            open_ones += pieces
            if any(start > at for start, _end, _window in pieces):
                break
    return sorted(open_ones, key=lambda piece: (piece[0], piece[1]))


def _pieces(window: Window, stops: Sequence[Freeze], at: datetime) -> list[Piece]:
    stretches = [(window.start, window.end)]
    for stop in stops:
        cut: list[tuple[datetime, datetime]] = []
        for start, end in stretches:
            if stop.window.end <= start or stop.window.start >= end:
                cut.append((start, end))
                continue
            if start < stop.window.start:
                cut.append((start, stop.window.start))
            if stop.window.end < end:
                cut.append((stop.window.end, end))
        stretches = cut
    return [(start, end, window) for start, end in stretches if end > at]


def _without_window(
    stops: Sequence[Freeze], active: Sequence[Freeze], at: datetime, emergency: bool, zone: str
) -> Answer:
    if not active:
        until = min((stop.window.start for stop in stops if stop.window.start > at), default=None)
        words = _("An emergency needs no window.") if emergency else _("No window is needed here.")
        return Answer(True, words, until)
    end = at
    # Freezes that touch each other are one.
    while covering := [stop.window.end for stop in stops if stop.window.holds(end)]:
        end = max(covering)
    if not emergency:
        return Answer(False, _frozen(active, zone), end, None, end)
    worst = max(active, key=lambda freeze: freeze.window.end)
    reason = _("The full freeze “%(name)s” stops emergencies too.") % {"name": worst.window.name}
    if worst.reason:
        text = _("The full freeze “%(name)s” stops emergencies too (%(reason)s).")
        reason = text % {"name": worst.window.name, "reason": worst.reason}
    return Answer(False, reason, end, None, end)
