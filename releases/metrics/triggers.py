"""Judges samples against triggers: verdict per metric, and k of the last n. No data is never green (B1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any


def limit_of(trigger: Mapping[str, Any], baseline: Mapping[str, Any]) -> float | None:
    """Return the value from which a trigger counts; None for a ratio without a baseline or with one of zero."""
    limit = float(Decimal(str(trigger["limit"])))
    if trigger["comparison"] == "absolute":
        return limit
    mean = baseline.get("metrics", {}).get(trigger["metric"], {}).get("mean")
    return limit * float(mean) if mean else None


def judge(
    triggers: Sequence[Mapping[str, Any]], values: Mapping[str, float | None], baseline: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return metric → {value, limit, verdict} for every metric that a trigger watches.

    A ratio without a baseline measures but cannot fail: its verdict is pass with `limit` None, and nothing fires.
    """
    judged: dict[str, dict[str, Any]] = {}
    for trigger in triggers:
        name = trigger["metric"]
        value = values.get(name)
        limit = limit_of(trigger, baseline)
        if value is None:
            verdict = "no_data"
        elif limit is None:
            verdict = "pass"
        else:
            verdict = "fail" if value >= limit else "pass"
        judged[name] = {"value": value, "limit": limit, "verdict": verdict}
    return judged


def firing(
    triggers: Sequence[Mapping[str, Any]], recent: Sequence[Mapping[str, Mapping[str, Any]]]
) -> dict[str, Any] | None:
    """Return the first trigger of which k of the last n samples fail; recent: judged samples, oldest first."""
    for trigger in triggers:
        last = recent[-trigger["n"] :]
        failed = sum(1 for sample in last if sample.get(trigger["metric"], {}).get("verdict") == "fail")
        if failed >= trigger["k"]:
            return dict(trigger)
    return None
