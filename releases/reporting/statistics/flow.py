"""The flow of releases: time in each phase, lateness at each milestone, causes of rollbacks, share of emergencies."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q

from environments.models import Environment
from releases.models import Milestone, Release, Rollback
from releases.reporting.statistics.deployments import moments_of
from releases.reporting.statistics.spread import Spread

PHASES = Release.UNDER_WAY


@dataclass(frozen=True)
class Lateness:
    """The lateness of one milestone: done in time, done late (also if T-0 moved after it was late), still open."""

    key: str
    label_ja: str
    label_en: str
    kept: int
    late: int
    open: int
    lateness: Spread

    @property
    def count(self) -> int:
        """Return how many became due."""
        return self.kept + self.late + self.open


@dataclass(frozen=True)
class Cause:
    """One cause of rollbacks: how many were raised, carried out, dismissed; time from alarm to the earlier state."""

    key: str
    raised: int
    carried_out: int
    dismissed: int
    critical: int
    restore: Spread


def phases(since: datetime, until: datetime, application: int | None = None) -> list[tuple[str, Spread]]:
    """Return how long releases stayed in each state, for the stays that ended in a period; all stays of one add up."""
    # Only releases that changed state in the period, according to the history.
    moved = Release.history.filter(history_date__gte=since, history_date__lt=until)
    if application is not None:
        moved = moved.filter(application_id=application)
    states = tuple(str(key) for key in Release.State.values)
    stays: dict[str, dict[int, float]] = defaultdict(dict)
    for pk, moments in moments_of(Release, moved.values("id"), states).items():
        for (began, state), (ended, _next) in zip(moments, moments[1:], strict=False):
            if state in PHASES and since <= ended < until:
                stays[state][pk] = stays[state].get(pk, 0.0) + (ended - began).total_seconds()
    return [(state, Spread.of(stays[state].values())) for state in PHASES]


def lateness(since: datetime, until: datetime, moment: datetime, application: int | None = None) -> list[Lateness]:
    """Return how the milestones that came due in a period were kept, in the order of the timeline."""
    # The release itself has no milestone date: it is due when the window opens, and begins in it.
    rows: Any = Milestone.objects.filter(due_at__gte=since, due_at__lt=min(until, moment)).exclude(
        Q(release__state__in=["cancelled", "rejected", "imported"]) | Q(guards="start")
    )
    if application is not None:
        rows = rows.filter(release__application_id=application)
    grouped: dict[str, list[Milestone]] = defaultdict(list)
    for row in rows.order_by("due_at", "pk"):
        grouped[row.key].append(row)
    order = {
        guards: place
        for place, guards in enumerate(("lock_scope", "complete_testing", "mark_approved", "complete_final_check"))
    }
    found = []
    for key, some in grouped.items():
        # A milestone that a move of T-0 put into the past is due immediately and not late.
        late = [
            row
            for row in some
            if row.done_at is not None and (row.was_late or (row.done_at > row.due_at and not row.due_immediately))
        ]
        undone = [row for row in some if row.done_at is None]
        found.append(
            (
                order.get(some[-1].guards, len(order)),
                Lateness(
                    key,
                    some[-1].label_ja,
                    some[-1].label_en,
                    len(some) - len(late) - len(undone),
                    len(late),
                    len(undone),
                    Spread.of(
                        max(0.0, (row.done_at - row.due_at).total_seconds()) for row in late if row.done_at is not None
                    ),
                ),
            )
        )
    return [row for _place, row in sorted(found, key=lambda pair: pair[0])]


def causes(since: datetime, until: datetime, application: int | None = None) -> list[Cause]:
    """Return the causes of the rollbacks raised in production in a period, the most frequent first."""
    rows = Rollback.objects.filter(
        raised_at__gte=since, raised_at__lt=until, deployment__environment__tier=Environment.Tier.PRODUCTION
    )
    if application is not None:
        rows = rows.filter(deployment__application_id=application)
    grouped: dict[str, list[Rollback]] = defaultdict(list)
    for row in rows.order_by("raised_at"):
        grouped[row.cause].append(row)
    found = [
        Cause(
            key,
            len(some),
            sum(1 for row in some if row.restored_at is not None),
            sum(1 for row in some if row.state == "dismissed"),
            sum(1 for row in some if row.critical),
            Spread.of((row.restored_at - row.raised_at).total_seconds() for row in some if row.restored_at is not None),
        )
        for key, some in grouped.items()
    ]
    return sorted(found, key=lambda cause: (-cause.raised, cause.key))


def kinds(some: Any) -> dict[str, int]:
    """Return type of release → the number of releases with a production deployment, each counted once."""
    return dict(Counter({one.release_id: one.kind for one in some}.values()))
