"""Counters over restarts: for any history of a service, rates are never negative and never invented."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, strategies as st

from releases.metric_sources.base import Reading
from releases.metric_sources.counters import derived, growth

AT = datetime(2026, 3, 18, tzinfo=UTC)
# Between two measurements: requests, each with or without an error, or None for a restart.
SPAN = st.lists(st.one_of(st.booleans(), st.none()), max_size=30)


def played(span: list[bool | None], requests: int, errors: int, started: int) -> tuple[int, int, int, int, int]:
    """Return (requests, errors, started) as counted after a span, and the true number of requests and errors in it."""
    came = failed = 0
    for event in span:
        if event is None:
            requests = errors = 0
            started += 1
        else:
            requests, errors, came, failed = requests + 1, errors + event, came + 1, failed + event
    return requests, errors, started, came, failed


@given(spans=st.lists(SPAN, min_size=1, max_size=8), reports_start=st.booleans())
def test_growth_is_exact_without_a_restart_and_a_lower_bound_with_one(
    spans: list[list[bool | None]], reports_start: bool
) -> None:
    requests = errors = started = 0
    since = AT.timestamp()
    earlier = None
    for place, span in enumerate(spans):
        before = started
        requests, errors, started, came, failed = played(span, requests, errors, started)
        if started != before:
            since = (AT + timedelta(minutes=place, seconds=-30)).timestamp()
        values = {"requests": float(requests), "errors": float(errors)} | ({"started": since} if reports_start else {})
        now = Reading(AT + timedelta(minutes=place), True, values)
        grown = growth(earlier, now)
        if earlier is not None:
            assert 0 <= grown["errors"] <= grown["requests"] <= came
            assert grown["errors"] <= failed
            if started == before:
                assert grown == {"requests": came, "errors": failed}
            elif reports_start:
                assert grown == {"requests": requests, "errors": errors}
            rate = derived(earlier, now).get("error_rate")
            assert rate is None or 0 <= rate <= 1
            assert (rate is None) == (grown["requests"] == 0)
        earlier = now


@given(
    st.dictionaries(
        st.sampled_from(["requests", "errors", "duration_sum", "duration_count", "started"]), st.floats(0, 1e12)
    ),
    st.dictionaries(
        st.sampled_from(["requests", "errors", "duration_sum", "duration_count", "started"]), st.floats(0, 1e12)
    ),
    st.integers(-5, 5),
)
def test_rates_of_any_two_readings_are_never_negative_or_above_one(
    first: dict[str, float], second: dict[str, float], minutes: int
) -> None:
    earlier, now = Reading(AT, True, first), Reading(AT + timedelta(minutes=minutes), True, second)
    found = derived(earlier, now)
    assert 0 <= (found.get("error_rate") or 0) <= 1
    assert (found.get("response_time") or 0) >= 0
    assert all(value >= 0 for value in growth(earlier, now).values())
    if minutes <= 0:
        assert growth(earlier, now) == {}


def test_a_counter_missing_in_one_reading_gives_no_rate() -> None:
    whole = {"requests": 5.0, "errors": 1.0}
    later = AT + timedelta(minutes=1)
    assert derived(Reading(AT, True, whole), Reading(later, True, {"requests": 9.0})) == {}
    assert derived(Reading(AT, True, {"requests": 1.0}), Reading(later, True, whole)) == {}
    assert derived(Reading(AT, False, whole), Reading(later, True, whole)) == {}
