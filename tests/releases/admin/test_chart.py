"""Samples as points of a drawing."""

from __future__ import annotations

from releases.admin.components.chart import chart, figure


def _sample(value: float | None, result: str = "passed") -> tuple[None, dict[str, object]]:
    return None, {"value": value, "limit": 0.1, "result": result}


def test_a_missing_sample_breaks_the_line() -> None:
    """No data is never drawn as if it were a value."""
    samples = [_sample(0.0), _sample(0.0), _sample(None, "no_data"), _sample(0.2, "failed"), _sample(0.2, "failed")]
    drawn = chart("error rate", samples, 0.01, [""] * 5)
    assert len(drawn.stretches) == 2
    assert len(drawn.gaps) == 1
    assert len(drawn.dots) == 4


def test_higher_values_lie_higher_and_inside() -> None:
    """The drawing's y grows downwards; everything stays within its frame."""
    drawn = chart("error rate", [_sample(0.0), _sample(0.05), _sample(0.3, "failed")], None, [""] * 3)
    heights = [float(dot.y) for dot in drawn.dots]
    assert heights == sorted(heights, reverse=True)
    assert all(0 <= y <= 96 for y in [*heights, float(drawn.limit_y)])
    assert drawn.result == "failed"


def test_no_sample_draws_nothing() -> None:
    """An empty watch has no last value."""
    drawn = chart("error rate", [], None, [])
    assert (drawn.last, drawn.result, drawn.dots) == (figure(None), "no_data", [])
