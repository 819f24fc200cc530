"""The contract of every metric source."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from environments.targets.base import Parameters, TargetSpec
from releases.metric_sources import SOURCES, UnknownSource, source
from releases.metric_sources.base import MetricSource, Reading

USUAL = {"requests": "a", "errors": "b", "duration_sum": "c", "duration_count": "d", "resource_use": "e"}
# The fewest options of each source; the measured metrics are those of `USUAL`.
LEAST: dict[str, dict[str, Any]] = {
    "prometheus_api": {"queries": USUAL},
    "json_http": {"values": USUAL},
    "sql": {"statement": "SELECT 1", "values": USUAL},
    "command": {"argv": ["/bin/false"], "values": USUAL},
}
RATES = {"error_rate", "response_time"}


def given(known: MetricSource, **more: Any) -> Parameters:
    return known.parameters.model_validate({**LEAST.get(known.name, {}), **more})


def test_names_are_unique_and_found() -> None:
    assert len({known.name for known in SOURCES}) == len(SOURCES)
    assert all(source(known.name) is known for known in SOURCES)
    with pytest.raises(UnknownSource):
        source("no such source")


@pytest.mark.parametrize("known", SOURCES, ids=lambda known: known.name)
class TestEverySource:
    def test_each_source_has_a_label_and_refuses_unknown_parameters(self, known: MetricSource) -> None:
        assert type(known).__doc__
        assert known.parameters.__doc__
        with pytest.raises(ValidationError):
            given(known, no_such_parameter=1)

    def test_an_unreachable_source_is_not_up_and_says_why(self, known: MetricSource, tmp_path: Path) -> None:
        away, wrong = "http://127.0.0.1:1/x", "nonsense"
        for url in ("", away, wrong):
            settings = {"metrics_url": url, "prometheus_url": url, "alerts_url": url}
            configuration = {"DATABASE_URL": "postgresql://127.0.0.1:1/none"} if url else {}
            reading = known.read(TargetSpec("a", "e", tmp_path, settings), given(known), configuration)
            assert (reading.up, reading.values) == (False, {})
            assert reading.error
            assert reading.at.utcoffset() == timedelta(0)

    def test_without_an_answer_only_the_service_itself_is_down(self, known: MetricSource) -> None:
        at = datetime(2026, 3, 18, tzinfo=UTC)
        wanted = given(known)
        found = known.derive(Reading(at, True, {}), Reading(at, False, {}, "away"), wanted)
        down = {"service_down": 1} if known.own(wanted) else {}
        assert found == {**dict.fromkeys(known.provides(wanted)), **down}

    def test_one_reading_gives_no_rates(self, known: MetricSource) -> None:
        at = datetime(2026, 3, 18, tzinfo=UTC)
        wanted = given(known)
        found = known.derive(None, Reading(at, True, {"requests": 5.0, "errors": 5.0, "resource_use": 0.5}), wanted)
        assert set(found) == known.provides(wanted)
        assert not {name for name in RATES if found.get(name) is not None}


@pytest.mark.parametrize("known", [known for known in SOURCES if known.name != "alerts"], ids=lambda known: known.name)
class TestEverySourceOfCounters:
    def test_rates_survive_a_restarted_counter(self, known: MetricSource) -> None:
        at = datetime(2026, 3, 18, tzinfo=UTC)
        before = Reading(at, True, {"requests": 100, "errors": 1, "duration_sum": 10, "duration_count": 100})
        after = Reading(
            at + timedelta(minutes=1), True, {"requests": 20, "errors": 5, "duration_sum": 1, "duration_count": 20}
        )
        found = known.derive(before, after, given(known))
        assert (found["error_rate"], found["response_time"]) == (0.25, 0.05)
