"""What every metric source promises."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from releases.metrics import SOURCES, UnknownSource, source
from releases.metrics.base import MetricSource, Reading
from releases.steps.base import TargetSpec

NAMES = {"error_rate", "response_time", "resource_use", "service_down"}


def test_names_are_unique_and_found() -> None:
    assert len({known.name for known in SOURCES}) == len(SOURCES)
    assert all(source(known.name) is known for known in SOURCES)
    with pytest.raises(UnknownSource):
        source("no such source")


@pytest.mark.parametrize("known", SOURCES, ids=lambda known: known.name)
class TestEverySource:
    def test_it_says_what_it_is_and_refuses_unknown_parameters(self, known: MetricSource) -> None:
        assert type(known).__doc__
        assert known.parameters.__doc__
        with pytest.raises(ValidationError):
            known.parameters.model_validate({"no_such_parameter": 1})

    def test_a_source_that_does_not_answer_is_not_up_and_says_why(self, known: MetricSource, tmp_path: Path) -> None:
        for settings in ({}, {"metrics_url": "http://127.0.0.1:1/metrics"}, {"metrics_url": "nonsense"}):
            reading = known.read(TargetSpec("a", "e", tmp_path, settings), known.parameters())
            assert (reading.up, reading.values) == (False, {})
            assert reading.error
            assert reading.at.utcoffset() == timedelta(0)

    def test_without_an_answer_only_service_down_is_known(self, known: MetricSource) -> None:
        at = datetime(2026, 3, 18, tzinfo=UTC)
        derived = known.derive(Reading(at, True, {}), Reading(at, False, {}, "away"), known.parameters())
        assert derived == {**dict.fromkeys(NAMES), "service_down": 1}

    def test_one_reading_gives_no_rates(self, known: MetricSource) -> None:
        at = datetime(2026, 3, 18, tzinfo=UTC)
        derived = known.derive(None, Reading(at, True, {"requests": 5.0, "errors": 5.0}), known.parameters())
        assert set(derived) == NAMES
        assert (derived["error_rate"], derived["response_time"], derived["service_down"]) == (None, None, 0)
