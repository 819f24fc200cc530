"""Time in phases, lateness, causes and types are counted as the statistics page defines them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from releases.reporting.statistics.deployments import production_deployments
from releases.reporting.statistics.flow import causes, kinds, lateness, phases
from tests.releases.admin import seed
from tests.releases.reporting.statistics import past

APRIL = datetime(2026, 4, 1, tzinfo=UTC)
MARCH = datetime(2027, 4, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def test_stays_of_one_release_add_up_and_count_when_they_end(acting_as: Callable[..., Any]) -> None:
    """Reopened once: two days and three more in draft; a stay that ended before the period is not in it."""
    of = seed.application(acting_as)
    past.release(
        acting_as,
        of,
        "1.0.0",
        [
            ("draft", APRIL),
            ("scope_locked", APRIL + 2 * DAY),
            ("draft", APRIL + 3 * DAY),
            ("scope_locked", APRIL + 6 * DAY),
            ("testing_completed", APRIL + 8 * DAY),
        ],
    )
    past.release(acting_as, of, "0.9.0", [("draft", APRIL - 9 * DAY), ("scope_locked", APRIL - DAY)])
    found = dict(phases(APRIL, MARCH))
    assert (found["draft"].count, found["draft"].median) == (1, 5 * 86400)
    assert found["scope_locked"].median == 3 * 86400
    assert found["testing_completed"].count == 0


def test_lateness_excuses_only_delays_caused_by_a_move(acting_as: Callable[..., Any]) -> None:
    """In time, late, late before a move, due_immediately, and still open; a milestone not yet due does not count."""
    of = seed.application(acting_as)
    due, moment = APRIL + 10 * DAY, APRIL + 20 * DAY
    cases = [
        (due, due - DAY, {}),
        (due, due + DAY, {}),
        (due, due - DAY, {"was_late": True}),
        (due, due + DAY, {"due_immediately": True}),
        (due, None, {}),
        (moment + DAY, None, {}),
    ]
    for number, (at, done, more) in enumerate(cases):
        row = past.release(acting_as, of, f"1.{number}.0", [("draft", APRIL)])
        past.milestone(acting_as, row, "approval", at, done, **more)
    past.milestone(acting_as, row, "released", due, due + DAY, guards="start")
    (found,) = lateness(APRIL, MARCH, moment)
    assert (found.kept, found.late, found.open, found.count) == (2, 2, 1, 5)
    assert found.lateness.p90 == 86400


def test_causes_and_types_are_counted(acting_as: Callable[..., Any]) -> None:
    """A rollback counts under its cause with the time until the earlier state was restored."""
    of = seed.application(acting_as)
    past.ran(acting_as, of, "1.0.0", APRIL + DAY, trouble="rolled_back", kind="emergency")
    past.ran(acting_as, of, "1.1.0", APRIL + 2 * DAY)
    (cause,) = causes(APRIL, MARCH)
    assert (cause.key, cause.raised, cause.carried_out, cause.dismissed, cause.restore.median) == (
        "error_rate",
        1,
        1,
        0,
        7200,
    )
    assert kinds(production_deployments(APRIL, MARCH)) == {"emergency": 1, "regular": 1}
