"""Samples of a watch as points of a drawing, one small chart per metric. The deployment page draws them as SVG."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

WIDTH, HEIGHT, PAD = 320.0, 96.0, 8.0


@dataclass(frozen=True)
class Dot:
    """One sample: its place, what it says, and the tone of its result."""

    x: str
    y: str
    title: str
    result: str


@dataclass(frozen=True)
class Chart:
    """One metric: `points` of the line's unbroken stretches, dots, and the heights of limit and baseline."""

    name: str
    stretches: list[str]
    dots: list[Dot]
    gaps: list[str]
    limit_y: str
    baseline_y: str
    limit: str
    baseline: str
    last: str
    result: str


def figure(value: float | None, unit: str = "") -> str:
    """Return a number in three significant digits with the unit of its metric (`ratio`, `seconds`); a dash for none."""
    if value is None:
        return "—"
    if unit == "ratio":
        return f"{100 * value:.3g}%"
    return _("%(n)s s") % {"n": f"{value:.3g}"} if unit == "seconds" else f"{value:.3g}"


def chart(
    name: str,
    samples: Sequence[tuple[Any, Mapping[str, Any]]],
    baseline: float | None,
    times: Sequence[str],
    unit: str = "",
) -> Chart:
    """Draw one metric from (time, {value, limit, result}) in order; a sample without a value breaks the line."""
    limits = [entry.get("limit") for _at, entry in samples if entry.get("limit") is not None]
    limit = limits[-1] if limits else None
    values = [entry["value"] for _at, entry in samples if entry.get("value") is not None]
    top = max([*values, limit or 0.0, baseline or 0.0, 1e-9]) * 1.1
    step = (WIDTH - 2 * PAD) / max(len(samples) - 1, 1)

    def height(value: float) -> str:
        return f"{HEIGHT - PAD - (HEIGHT - 2 * PAD) * min(max(value, 0.0), top) / top:.1f}"

    stretches: list[list[str]] = [[]]
    dots, gaps = [], []
    for index, (_at, entry) in enumerate(samples):
        x = f"{PAD + index * step:.1f}"
        value, result = entry.get("value"), str(entry.get("result", "no_data"))
        if value is None:
            stretches.append([])
            gaps.append(x)
            continue
        stretches[-1].append(f"{x},{height(value)}")
        dots.append(Dot(x, height(value), f"{times[index]}  {figure(value, unit)}", result))
    last = samples[-1][1] if samples else {}
    return Chart(
        name=name,
        stretches=[" ".join(points) for points in stretches if len(points) > 1],
        dots=dots,
        gaps=gaps,
        limit_y=height(limit) if limit is not None else "",
        baseline_y=height(baseline) if baseline is not None else "",
        limit=figure(limit, unit),
        baseline=figure(baseline, unit),
        last=figure(last.get("value"), unit),
        result=str(last.get("result", "no_data")),
    )


def charts(
    samples: Iterable[Any],
    baseline: Mapping[str, Any],
    names: Mapping[str, str],
    times: Sequence[str],
    units: Mapping[str, str],
) -> list[Chart]:
    """Return a chart for each metric that a trigger watches, in the order of `names` (metric → label)."""
    rows = [(sample.at, sample.values) for sample in samples]
    means = baseline.get("metrics", {})
    return [
        chart(
            label,
            [(at, values.get(metric, {})) for at, values in rows],
            means.get(metric, {}).get("value"),
            times,
            units.get(metric, ""),
        )
        for metric, label in names.items()
        if any(metric in values for _at, values in rows)
    ]
