"""Counts as bars: stacked columns over months, and shares of a row. The statistics page draws them as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass

from releases.admin.pages.monitoring.series import top_of

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 720.0, 190.0, 34.0, 12.0, 24.0


@dataclass(frozen=True)
class Block:
    """One rectangle: place and size as text, its tone, and its words."""

    x: str
    y: str
    width: str
    height: str
    tone: str
    words: str


@dataclass(frozen=True)
class Columns:
    """Stacked columns in a box of WIDTH × HEIGHT, with the words under each and the heights of the grid."""

    blocks: list[Block]
    labels: list[tuple[str, str]]
    grid: list[tuple[str, str]]
    box: dict[str, float]


def columns(labels: Sequence[str], series: Sequence[tuple[str, str, Sequence[int]]]) -> Columns:
    """Stack counts over the labels; series: (name, tone, one count per label), the first one lowest."""
    totals = [sum(values[index] for _name, _tone, values in series) for index in range(len(labels))]
    top = max(top_of([float(total) for total in totals]), 4.0)
    step = (WIDTH - LEFT) / max(len(labels), 1)
    scale = (HEIGHT - TOP - BOTTOM) / top
    blocks = []
    for index, label in enumerate(labels):
        under = HEIGHT - BOTTOM
        for name, tone, values in series:
            if not values[index]:
                continue
            height = values[index] * scale
            under -= height
            blocks.append(
                Block(
                    f"{LEFT + index * step + step * 0.2:.1f}",
                    f"{under:.1f}",
                    f"{step * 0.6:.1f}",
                    f"{height:.1f}",
                    tone,
                    f"{label} {name}: {values[index]}",
                )
            )
    half = int(top // 2)
    grid = [(f"{HEIGHT - BOTTOM - value * scale:.1f}", str(value)) for value in sorted({0, half, int(top)})]
    places = [(f"{LEFT + index * step + step / 2:.1f}", label) for index, label in enumerate(labels)]
    return Columns(blocks, places, grid, {"w": WIDTH, "h": HEIGHT, "l": LEFT, "r": WIDTH, "foot": HEIGHT - 7})


def shares(values: Sequence[tuple[str, str, float]], whole: float) -> list[Block]:
    """Lay (name, tone, size) end to end in a box of 100 × 10, measured against `whole`."""
    found, begin = [], 0.0
    for name, tone, size in values:
        width = 100.0 * size / whole if whole > 0 else 0.0
        if width > 0:
            found.append(Block(f"{begin:.2f}", "0", f"{width:.2f}", "10", tone, name))
        begin += width
    return found
