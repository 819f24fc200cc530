"""The four key metrics are counted as the statistics page defines them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from releases.reporting.statistics.deployments import keys_of, production_deployments
from releases.reporting.statistics.flow import phases
from releases.reporting.statistics.spread import Spread
from tests.releases.admin import seed
from tests.releases.gates.asking import alter
from tests.releases.reporting.statistics import past

APRIL = datetime(2026, 4, 1, tzinfo=UTC)
MARCH = datetime(2027, 4, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def of(acting_as: Callable[..., Any]) -> Any:
    """An application."""
    return seed.application(acting_as)


def test_median_and_90th_percentile_equal_known_values() -> None:
    """With known values."""
    assert Spread.of([]) == Spread(0, None, None)
    assert Spread.of([3.0, None, 1.0, 2.0]) == Spread(3, 2.0, 3.0)
    assert Spread.of(float(n) for n in range(1, 11)) == Spread(10, 5.5, 9.0)


def test_a_deployment_without_trouble_is_delivered_with_its_lead_time(acting_as: Callable[..., Any], of: Any) -> None:
    """From the first scope lock to the verification in production."""
    past.ran(acting_as, of, "1.0.0", APRIL + DAY, fixed_days=10)
    (deployment,) = production_deployments(APRIL, MARCH)
    assert (deployment.trouble, deployment.evaluated) == ("", True)
    assert deployment.lead_seconds == 10 * 86400 + 600
    keys = keys_of([deployment], months=2)
    assert (keys.verified, keys.per_month, keys.evaluated, keys.failed, keys.failed_share) == (1, 0.5, 1, 0, 0.0)


@pytest.mark.parametrize(("trouble", "seconds"), [("rolled_back", 7200), ("rescued", 7200), ("resolved", 7200)])
def test_a_deployment_that_needed_a_person_is_a_failure(
    acting_as: Callable[..., Any], of: Any, trouble: str, seconds: float
) -> None:
    """Rolled back, resolved, and also verified at last after help; each with the time until the end."""
    past.ran(acting_as, of, "1.0.0", APRIL + DAY)
    past.ran(acting_as, of, "1.1.0", APRIL + 40 * DAY, trouble=trouble)
    found = production_deployments(APRIL, MARCH)
    assert [deployment.trouble for deployment in found] == ["", trouble]
    keys = keys_of(found, months=12)
    assert (keys.evaluated, keys.failed, keys.failed_share, keys.open) == (2, 1, 0.5, 0)
    assert keys.restore.median == pytest.approx(seconds)


def test_the_time_to_restore_counts_from_the_first_failing_measurement(acting_as: Callable[..., Any], of: Any) -> None:
    """The alarm came when three of five had failed; users had been without the service since the first."""
    made = past.ran(acting_as, of, "1.0.0", APRIL + DAY, trouble="rolled_back")
    way = made.rollbacks.get()
    alter(way, facts={"failing_since": (way.raised_at - timedelta(minutes=4)).isoformat()})
    (deployment,) = production_deployments(APRIL, MARCH)
    assert deployment.restore_seconds == 7200 + 240


def test_a_planned_manual_step_is_no_failure(acting_as: Callable[..., Any], of: Any) -> None:
    """The deployment waited for the person as planned."""
    past.ran(acting_as, of, "1.0.0", APRIL + DAY, trouble="manual")
    (deployment,) = production_deployments(APRIL, MARCH)
    assert (deployment.trouble, deployment.trouble_at, deployment.evaluated) == ("", None, True)


def test_only_production_and_the_period_count(acting_as: Callable[..., Any], of: Any) -> None:
    """A deployment belongs to the time of its first step; an event in staging is no delivery."""
    past.ran(acting_as, of, "0.9.0", APRIL - timedelta(seconds=1))
    past.ran(acting_as, of, "1.0.0", APRIL)
    past.ran(acting_as, of, "1.1.0", APRIL + DAY, environment="staging", trouble="resolved")
    past.ran(acting_as, of, "1.2.0", MARCH)
    assert [deployment.release for deployment in production_deployments(APRIL, MARCH)] == ["1.0.0"]
    other = seed.application(acting_as, "portal", "ポータル")
    assert production_deployments(APRIL, MARCH, other.pk) == []


def test_more_deployments_need_no_more_queries_or_values(acting_as: Callable[..., Any], of: Any) -> None:
    """Six deployments make the same query as one, word by word, so no period exceeds the values of a query."""

    def asked(expected: int) -> list[str]:
        seen: list[str] = []
        with connection.execute_wrapper(lambda go, sql, *rest: (seen.append(sql), go(sql, *rest))[1]):
            assert len(production_deployments(APRIL, MARCH)) == expected
            phases(APRIL, MARCH)
        return seen

    past.ran(acting_as, of, "1.0.0", APRIL + DAY)
    one = asked(1)
    for index in range(5):
        past.ran(acting_as, of, f"1.{index + 1}.0", APRIL + (index + 2) * DAY, trouble="rolled_back")
    assert asked(6) == one
