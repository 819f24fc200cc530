"""The coming change windows of a release, with what choosing each would mean."""

from dataclasses import dataclass
from datetime import datetime

from environments.language import language
from environments.models import Environment
from releases.gates.base import Known
from releases.gates.window import opening
from releases.models import Release
from releases.procedures.document import Procedure as Content
from releases.queries.milestone_dates import due_dates

MOST = 6


@dataclass(frozen=True)
class Coming:
    """One window. start: None for one that is open now. due: label of a milestone → when it would be due, T-0 left out.
    taken: the releases of the application that are planned for it.
    """

    start: datetime | None
    end: datetime
    due: dict[str, datetime]
    taken: list[Release]


def coming_windows(release: Release, place: Environment, content: Content, moment: datetime) -> list[Coming]:
    """Return the windows in an environment that are open or open next, without those in a freeze; at most MOST."""
    known = Known(release, moment)
    planned = list(
        Release.objects.filter(
            application=release.application_id, state__in=Release.UNDER_WAY, scheduled_start_at__isnull=False
        ).exclude(pk=release.pk)
    )
    spans = [
        (row, row.scheduled_start_at, row.scheduled_end_at)
        for row in planned
        if row.scheduled_start_at is not None and row.scheduled_end_at is not None
    ]

    def made(start: datetime | None, end: datetime) -> Coming:
        begins = start or moment
        names = {milestone.key: milestone.label(language()) for milestone in content.milestones}
        dates = due_dates(content, begins, place, emergency=False)
        due = {names.get(key, key): at for key, at in dates.items() if at != begins}
        # One whose start in a window that is open now has passed is planned for it still.
        taken = [row for row, starts, ends in spans if starts < end and begins < ends]
        return Coming(start, end, due, taken)

    answer = opening(release.application, place, moment, frozen=known.freezes(place))
    found = [made(None, answer.until)] if answer.open and answer.until is not None else []
    while len(found) < MOST and answer.next_start is not None and answer.next_end is not None:
        found.append(made(answer.next_start, answer.next_end))
        answer = opening(release.application, place, answer.next_start, frozen=known.freezes(place))
    return found
