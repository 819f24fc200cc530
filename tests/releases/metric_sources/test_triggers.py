"""Triggers over measurements: no data, stale, errors, ratios, a zero baseline, k of n, and an equal replay."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from releases.metric_sources.triggers import (
    Fired,
    Slot,
    evaluate,
    evaluate_one,
    failing_since,
    firing,
    held,
    limit_of,
    replay,
)


def trigger(comparison: str = "absolute", limit: str = "3", k: int = 3, n: int = 5, **more: Any) -> dict[str, Any]:
    usual = {
        "key": "slow",
        "metric": "time",
        "critical": True,
        "comparison": comparison,
        "limit": limit,
        "k": k,
        "n": n,
    }
    return {**usual, **more}


def baseline(mean: float | None) -> dict[str, Any]:
    return {} if mean is None else {"metrics": {"time": {"value": mean, "count": 60}}}


ABSOLUTE, RATIO = trigger(), trigger("ratio")


@pytest.mark.parametrize(
    ("rule", "entry", "mean", "result", "limit", "why"),
    [
        (ABSOLUTE, {"value": 2.9}, None, "passed", 3, ""),
        (ABSOLUTE, {"value": 3.0}, None, "failed", 3, ""),
        (ABSOLUTE, {"value": 0.0}, None, "passed", 3, ""),
        (ABSOLUTE, {"value": None}, None, "no_data", 3, ""),
        (ABSOLUTE, {}, None, "no_data", 3, ""),
        (ABSOLUTE, {"value": None, "result": "stale"}, None, "stale", 3, ""),
        (ABSOLUTE, {"value": None, "result": "error"}, None, "error", 3, ""),
        (ABSOLUTE, {"value": 9.0, "result": "stale"}, None, "stale", 3, ""),
        (RATIO, {"value": 0.29}, 0.1, "passed", 0.3, ""),
        (RATIO, {"value": 0.31}, 0.1, "failed", 0.3, ""),
        (RATIO, {"value": None}, 0.1, "no_data", 0.3, ""),
        (RATIO, {"value": 99.0}, None, "no_data", None, "no_baseline"),
        (RATIO, {"value": 0.0}, 0.0, "passed", None, "zero_baseline"),
        (RATIO, {"value": 0.001}, 0.0, "no_data", None, "zero_baseline"),
        (RATIO, {"value": None}, 0.0, "no_data", None, ""),
        (RATIO, {"value": None, "result": "error"}, None, "error", None, ""),
    ],
)
def test_one_value_is_compared(
    rule: dict[str, Any], entry: dict[str, Any], mean: float | None, result: str, limit: float | None, why: str
) -> None:
    said = evaluate_one(rule, entry, baseline(mean))
    assert (said.result, said.why) == (result, why)
    assert said.limit == (None if limit is None else pytest.approx(limit))


def test_the_worst_result_of_several_triggers_on_one_metric_is_kept() -> None:
    rules = [trigger(limit="10", key="a"), trigger(limit="3", key="b"), trigger("ratio", key="c")]
    assert evaluate(rules, {"time": 5.0}, {})["time"] == {"value": 5.0, "limit": 3.0, "result": "failed"}
    assert evaluate(rules, {"time": 1.0}, {})["time"]["result"] == "no_data", "the ratio is inconclusive"
    assert evaluate(rules, {}, baseline(1), {"time": "stale"})["time"] == {
        "value": None,
        "limit": 10.0,
        "result": "stale",
    }


def slots(text: str) -> list[Slot]:
    """One character a minute: F fails, P passes, ? no data, S stale, E error, and - no measurement at all."""
    entries: dict[str, dict[str, Any]] = {
        "F": {"value": 9.0},
        "P": {"value": 0.0},
        "?": {"value": None},
        "S": {"value": 9.0, "result": "stale"},
        "E": {"value": None, "result": "error"},
    }
    return [Slot(60.0 * at, {"time": entries[sign]}) for at, sign in enumerate(text) if sign != "-"]


@pytest.mark.parametrize(
    ("series", "k", "n", "fires"),
    [
        ("FFF", 3, 5, True),
        ("FF", 3, 5, False),
        ("FPFPF", 3, 5, True),
        ("FPFPPF", 3, 5, False),
        ("FFFPP", 3, 5, True),
        ("FFFPPP", 3, 5, False),
        ("F", 1, 1, True),
        ("FP", 1, 1, False),
        ("F?F?F", 3, 5, True),
        ("?????", 1, 5, False),
        ("SSSSS", 1, 5, False),
        ("EEEEE", 1, 5, False),
        ("FF---F", 3, 5, False),
        ("FF--F", 3, 5, True),
        ("FF" + "-" * 180 + "F", 3, 5, False),
        ("", 1, 1, False),
    ],
)
def test_k_of_the_last_n_places_must_fail(series: str, k: int, n: int, fires: bool) -> None:
    fired = firing([trigger(k=k, n=n)], slots(series), {}, 60)
    assert bool(fired) == fires


@pytest.mark.parametrize(
    ("series", "since"),
    [("PPFFF", 2), ("FFFFFFFF", 0), ("FPPPPPFPF", 6), ("FFPFF", 0), ("PFFFFFPFFP", 1), ("PPP", None)],
)
def test_an_outage_begins_with_the_first_failed_measurement(series: str, since: int | None) -> None:
    """It begins among the last five measurements, or before them in an unbroken row."""
    results = {"F": "failed", "P": "passed"}
    recent = [Slot(60.0 * at, {"time": {"result": results[sign]}}) for at, sign in enumerate(series)]
    assert failing_since(trigger(n=5), recent) == (None if since is None else 60.0 * since)


def test_critical_triggers_come_first() -> None:
    rules = [trigger(k=1, n=1, key="mild", critical=False), trigger(k=1, n=1, key="grave")]
    assert [fired["key"] for fired in firing(rules, slots("F"), {}, 60)] == ["grave", "mild"]


SERIES = st.text(alphabet="FFP?SE-", max_size=40)


@given(series=SERIES, n=st.integers(1, 12), data=st.data())
def test_k_of_n_equals_counting_by_hand(series: str, n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, n))
    last = series.rstrip("-")[-n:]
    rule = trigger(k=k, n=n)
    assert held(rule, slots(series), {}, 60) == last.count("F")
    assert bool(firing([rule], slots(series), {}, 60)) == (last.count("F") >= k)


@given(series=SERIES, n=st.integers(1, 8), data=st.data())
def test_the_replay_fires_when_the_monitoring_would_have(series: str, n: int, data: st.DataObject) -> None:
    rules = [trigger(k=data.draw(st.integers(1, n)), n=n, key="a"), trigger(k=1, n=3, limit="10", key="b")]
    whole = slots(series)
    live: dict[str, float] = {}
    for place in range(len(whole)):
        for fired in firing(rules, whole[: place + 1], {}, 60):
            live.setdefault(fired["key"], whole[place].due)
    assert {fired.key: fired.at for fired in replay(rules, whole, {}, 60)} == live


def test_a_replay_names_each_trigger_once_at_its_first_time() -> None:
    assert replay([trigger()], slots("PFFFFFF"), {}, 60) == [Fired("slow", True, 180.0)]
    assert replay([], slots("FFF"), {}, 60) == []


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.sampled_from(["0", "3", "0.5"]))
def test_a_zero_baseline_causes_no_division(value: float, mean: float, limit: str) -> None:
    rule = trigger("ratio", limit)
    said = evaluate_one(rule, {"value": value}, baseline(mean))
    assert said.result in ("passed", "failed", "no_data")
    assert (limit_of(rule, baseline(mean)) is None) == (mean == 0)
    assert mean > 0 or said.result != "failed"
