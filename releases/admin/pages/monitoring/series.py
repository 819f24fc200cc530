"""The series of a monitoring period as one large drawing per metric, with axes, baseline, limits and marks."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _, gettext_lazy

WIDTH, HEIGHT = 720.0, 220.0
# The values stand at the right: what was measured last is what a narrow screen shows first.
LEFT, RIGHT, TOP, BOTTOM = 12.0, 64.0, 22.0, 26.0
STEPS = (1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 14400, 28800, 86400)
MOST_TICKS = 8
# A longer pause than this many intervals between two measurements is a gap.
GAP = 2.5
LISTED = 20


@dataclass(frozen=True)
class Point:
    """One measurement: its time, its value (None: none), and its result."""

    at: datetime
    value: float | None
    result: str


@dataclass(frozen=True)
class Mark:
    """A mark on the time axis: its time, its words, and its tone (deploy or alarm); `until` for a span."""

    at: datetime
    words: str
    tone: str
    until: datetime | None = None


@dataclass(frozen=True)
class Line:
    """A horizontal line with its words: a limit or the baseline."""

    y: str
    words: str
    tone: str
    label_y: str


@dataclass(frozen=True)
class Drawing:
    """One metric, ready for the template: coordinates as text in a box of WIDTH × HEIGHT. values: the last LISTED
    measurements, newest first, as time, figure and result; hover: every point as JSON, x and words.
    """

    name: str
    stretches: list[str]
    dots: list[tuple[str, str, str, str]]
    gaps: list[tuple[str, str, str, str]]
    lines: list[Line]
    marks: list[tuple[str, str, str, str, str]]
    x_ticks: list[tuple[str, str]]
    y_ticks: list[tuple[str, str]]
    known: int
    unknown: int
    failed: int
    last: str
    mean: str
    greatest: str
    result: str
    values: list[tuple[datetime, str, str]]
    hover: str
    box: dict[str, float] = field(
        default_factory=lambda: {"w": WIDTH, "h": HEIGHT, "l": LEFT, "r": WIDTH - RIGHT, "t": TOP, "b": HEIGHT - BOTTOM}
    )


_SECONDS = ((1.0, gettext_lazy("%(n)s s")), (1e-3, gettext_lazy("%(n)s ms")), (1e-6, gettext_lazy("%(n)s µs")))


def figure(value: float | None, unit: str = "") -> str:
    """Return a number in three significant digits with the unit of its metric (`ratio`, `seconds`); a dash for none."""
    if value is None:
        return "—"
    if unit == "ratio":
        return f"{100 * value:.3g}%"
    if unit != "seconds":
        return f"{value:.3g}"
    size, words = next(((size, words) for size, words in _SECONDS if abs(value) >= size), _SECONDS[-1])
    return words % {"n": f"{value / size:.3g}"} if value else _("%(n)s s") % {"n": 0}


def top_of(values: Sequence[float]) -> float:
    """Return a round number at or above all values, above zero."""
    greatest = max([*values, 1e-9]) * 1.05
    size = 10.0 ** math.floor(math.log10(greatest))
    return next(step * size for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * size >= greatest)


def ticks_of(begins: datetime, ends: datetime, zone: str) -> list[tuple[datetime, str]]:
    """Return round times between two, at most MOST_TICKS, with their words in the zone."""
    seconds = max(1.0, (ends - begins).total_seconds())
    step = next((step for step in STEPS if seconds / step <= MOST_TICKS), STEPS[-1])
    local = begins.astimezone(ZoneInfo(zone))
    offset = (local.utcoffset() or timedelta()).total_seconds()
    first = math.ceil((begins.timestamp() + offset) / step) * step - offset
    found: list[tuple[datetime, str]] = []
    while first <= ends.timestamp() and len(found) <= MOST_TICKS:
        at = datetime.fromtimestamp(first, ZoneInfo(zone))
        found.append((at, f"{at:%H:%M:%S}" if step < 60 else f"{at:%H:%M}" if step < 86400 else f"{at:%m/%d}"))
        first += step
    return found


def draw(
    name: str,
    points: Sequence[Point],
    *,
    baseline: tuple[float, str] | None,
    limits: Sequence[tuple[float, str]],
    marks: Sequence[Mark],
    zone: str,
    interval: float,
    unit: str = "",
) -> Drawing:
    """Draw one metric; points in order of time. baseline, limits: (height, words).

    A measurement without a value is a bar over the whole height and breaks the line; so does a gap.
    """
    values = [point.value for point in points if point.value is not None]
    top = top_of([*values, *(height for height, _words in limits), *([baseline[0]] if baseline else [])])
    times = [point.at for point in points] + [mark.at for mark in marks] + [m.until for m in marks if m.until]
    begins, ends = (min(times), max(times)) if times else (datetime.now(ZoneInfo(zone)), datetime.now(ZoneInfo(zone)))
    span = max(1.0, (ends - begins).total_seconds())

    def x(at: datetime) -> str:
        return f"{LEFT + (WIDTH - LEFT - RIGHT) * (at - begins).total_seconds() / span:.1f}"

    def y(value: float) -> str:
        return f"{HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(max(value, 0.0), top) / top:.1f}"

    stretches, dots, gaps = _lines(points, x, y, interval, span, zone, unit)
    # The words of two close lines would overlap.
    drawn = [(height, words, "limit") for height, words in limits] + ([(*baseline, "base")] if baseline else [])
    lines, free = [], HEIGHT
    for height, words, tone in sorted(drawn):
        label = min(float(y(height)) - 4, free - 12)
        free = max(label, TOP + 8)
        lines.append(Line(y(height), words, tone, f"{free:.1f}"))
    return Drawing(
        name=name,
        stretches=stretches,
        dots=dots,
        gaps=gaps,
        lines=lines,
        marks=[
            (
                x(mark.at),
                f"{max(1.5, float(x(mark.until or mark.at)) - float(x(mark.at))):.1f}",
                mark.words,
                mark.tone,
                "end" if float(x(mark.at)) > WIDTH * 0.75 else "start",
            )
            for mark in marks
        ],
        x_ticks=[(x(at), words) for at, words in ticks_of(begins, ends, zone)],
        y_ticks=[(y(top * part / 4), figure(top * part / 4, unit)) for part in range(5)],
        known=len(values),
        unknown=len(points) - len(values),
        failed=sum(1 for point in points if point.result == "failed"),
        last=figure(points[-1].value if points else None, unit),
        mean=figure(sum(values) / len(values) if values else None, unit),
        greatest=figure(max(values, default=None), unit),
        result=points[-1].result if points else "no_data",
        values=[(point.at, figure(point.value, unit), point.result) for point in points[: -LISTED - 1 : -1]],
        hover=json.dumps([[float(x(point.at)), _said(point, zone, unit)] for point in points]),
    )


def _said(point: Point, zone: str, unit: str) -> str:
    return f"{point.at.astimezone(ZoneInfo(zone)):%H:%M:%S}  {figure(point.value, unit)}"


def _lines(
    points: Sequence[Point], x: object, y: object, interval: float, span: float, zone: str, unit: str
) -> tuple[list[str], list[tuple[str, str, str, str]], list[tuple[str, str, str, str]]]:
    assert callable(x) and callable(y)
    stretches: list[list[str]] = [[]]
    dots, gaps = [], []
    width = f"{max(1.5, (WIDTH - LEFT - RIGHT) * interval / span):.1f}"
    before: datetime | None = None
    for point in points:
        words = _said(point, zone, unit)
        if before is not None and (point.at - before).total_seconds() > GAP * interval:
            stretches.append([])
        before = point.at
        if point.value is None:
            stretches.append([])
            gaps.append((x(point.at), width, point.result, words))
            continue
        stretches[-1].append(f"{x(point.at)},{y(point.value)}")
        if point.result == "failed":
            dots.append((x(point.at), y(point.value), point.result, words))
    # A single measurement between two gaps would be a line without length.
    whole = [" ".join(deployment if len(deployment) > 1 else deployment * 2) for deployment in stretches if deployment]
    return whole, dots, gaps
