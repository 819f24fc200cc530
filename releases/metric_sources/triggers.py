"""Evaluates measurements against triggers: result per metric, and k of the last n. No data never passes (B1).

Monitoring and the replay of changed triggers both decide by these functions alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Trigger = Mapping[str, Any]
Entry = Mapping[str, Any]
UNREADABLE = ("stale", "error")
NO_BASELINE, ZERO_BASELINE = "no_baseline", "zero_baseline"


@dataclass(frozen=True)
class Evaluated:
    """One trigger's result for one value: result (pass, fail, no_data, stale, error), limit, and why it is unknown."""

    result: str
    limit: float | None = None
    why: str = ""


@dataclass(frozen=True)
class Slot:
    """A measurement on the monitoring's grid: when it was due (seconds since 1970), and metric → entry."""

    due: float
    values: Mapping[str, Entry]


def baseline_of(metric: str, baseline: Mapping[str, Any]) -> float | None:
    """Return the frozen baseline of a metric (its mean or a percentile), None when there is none."""
    value = baseline.get("metrics", {}).get(metric, {}).get("value")
    return None if value is None else float(value)


def limit_of(trigger: Trigger, baseline: Mapping[str, Any]) -> float | None:
    """Return the limit of a trigger; None for a ratio without a baseline or with one of zero."""
    limit = float(Decimal(str(trigger["limit"])))
    if trigger["comparison"] == "absolute":
        return limit
    usual = baseline_of(trigger["metric"], baseline)
    return limit * usual if usual is not None and usual > 0 else None


def evaluate_one(trigger: Trigger, entry: Entry, baseline: Mapping[str, Any]) -> Evaluated:
    """Evaluate one entry {value, result?} by one trigger.

    A ratio without a baseline is unknown: no data. Against a baseline of zero every value above zero would be
    infinitely many times as much: zero passes, any other value is no data, and never fires.
    """
    limit = limit_of(trigger, baseline)
    if entry.get("result") in UNREADABLE:
        return Evaluated(str(entry["result"]), limit)
    value = entry.get("value")
    if value is None:
        return Evaluated("no_data", limit)
    if limit is None:
        if baseline_of(trigger["metric"], baseline) is None:
            return Evaluated("no_data", None, NO_BASELINE)
        return Evaluated("passed" if value <= 0 else "no_data", None, ZERO_BASELINE)
    return Evaluated("failed" if value >= limit else "passed", limit)


def named_after(
    checks: Sequence[Mapping[str, Any]], triggers: Sequence[Trigger]
) -> tuple[list[Trigger], list[Trigger]]:
    """Return (the triggers on metrics, those named after one of the checks); checks: with their `key`."""
    keys = {row["key"] for row in checks}
    measured = [trigger for trigger in triggers if trigger["metric"] not in keys]
    return measured, [trigger for trigger in triggers if trigger["metric"] in keys]


def evaluate(
    triggers: Sequence[Trigger],
    values: Mapping[str, float | None],
    baseline: Mapping[str, Any],
    unreadable: Mapping[str, str] | None = None,
) -> dict[str, dict[str, Any]]:
    """Return metric → {value, limit, result, why} for every metric with a trigger; an empty why is left out.

    unreadable: metric → stale or error, for metrics whose source gave no value. Of several triggers on one
    metric the worst result is kept, and its limit.
    """
    worst = ("failed", "error", "stale", "no_data", "passed")
    evaluated: dict[str, dict[str, Any]] = {}
    for trigger in triggers:
        name = trigger["metric"]
        state = (unreadable or {}).get(name)
        entry = {"value": None, "result": state} if state else {"value": values.get(name)}
        said = evaluate_one(trigger, entry, baseline)
        found = {"value": entry["value"], "limit": said.limit, "result": said.result}
        if said.why:
            found["why"] = said.why
        known = evaluated.get(name)
        if known is None or worst.index(said.result) < worst.index(known["result"]):
            evaluated[name] = found
    return evaluated


def held(trigger: Trigger, recent: Sequence[Slot], baseline: Mapping[str, Any], interval: float) -> int:
    """Return how many of the last n places of a trigger fail; recent: oldest first.

    Places are counted on the grid: one without a measurement is no failure, and earlier ones do not count.
    """
    if not recent:
        return 0
    since = recent[-1].due - (trigger["n"] - 0.5) * interval
    entries = [slot.values.get(trigger["metric"], {}) for slot in recent[-trigger["n"] :] if slot.due > since]
    return sum(1 for entry in entries if evaluate_one(trigger, entry, baseline).result == "failed")


def failing_since(trigger: Trigger, recent: Sequence[Slot]) -> float | None:
    """Return the due time (seconds of Unix time) of the first failed measurement: of the trigger's last n places, or
    before them where each one up to there failed too. None without one. recent: oldest first, with their results.
    """
    fails = [slot.values.get(trigger["metric"], {}).get("result") == "failed" for slot in recent]
    first = next((place for place in range(max(0, len(fails) - trigger["n"]), len(fails)) if fails[place]), None)
    if first is None:
        return None
    while first and fails[first - 1]:
        first -= 1
    return recent[first].due


def firing(
    triggers: Sequence[Trigger], recent: Sequence[Slot], baseline: Mapping[str, Any], interval: float
) -> list[Trigger]:
    """Return the triggers of which k of the last n measurements fail, critical ones first."""
    fired = [trigger for trigger in triggers if held(trigger, recent, baseline, interval) >= trigger["k"]]
    return sorted(fired, key=lambda trigger: not trigger["critical"])


@dataclass(frozen=True)
class Fired:
    """A trigger that would have fired: its key, whether critical, and when first (due time of the measurement)."""

    key: str
    critical: bool
    at: float


def replay(
    triggers: Sequence[Trigger], measurements: Sequence[Slot], baseline: Mapping[str, Any], interval: float
) -> list[Fired]:
    """Return the triggers that fire over a recorded series, each once at its first time; measurements: oldest first."""
    most = max((trigger["n"] for trigger in triggers), default=0)
    found: dict[str, Fired] = {}
    for place in range(len(measurements)):
        recent = measurements[max(0, place + 1 - most) : place + 1]
        left = [trigger for trigger in triggers if trigger["key"] not in found]
        for trigger in firing(left, recent, baseline, interval):
            found[trigger["key"]] = Fired(trigger["key"], bool(trigger["critical"]), measurements[place].due)
        if not left:
            break
    return sorted(found.values(), key=lambda fired: (fired.at, not fired.critical))
