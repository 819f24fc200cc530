"""The window of a release, and with it every milestone (P1, P3)."""

from collections.abc import Collection
from datetime import datetime, timedelta

from django.utils.translation import gettext as _

from audit.clock import now
from audit.refusals import GateNotPassed, InvalidInput
from environments.models import Environment
from releases.gates.base import Known
from releases.gates.window import closed_sentence, opening
from releases.models import Milestone, Release
from releases.procedures.document import Procedure as Content
from releases.procedures.part import meant
from releases.queries.milestone_dates import due_dates
from releases.queries.step_plan import production_of


def set_window(release: Release, procedure: Content, start: datetime, reopened: Collection[str] = ()) -> None:
    """Plan a release for the window that holds `start`, and lay its milestones; `reopened`: as in `lay`.

    Raises GateNotPassed outside of a window, with the next one named, and InvalidInput for the past.
    """
    moment = now()
    environment = production_of(release)
    emergency = release.kind == Release.Kind.EMERGENCY
    frozen = Known(release, moment).freezes(environment)
    answer = opening(release.application, environment, max(start, moment), emergency=emergency, frozen=frozen)
    if not answer.open:
        raise GateNotPassed(closed_sentence(answer, environment))
    if start < moment - timedelta(hours=12):
        raise InvalidInput(_("That time lies in the past."))
    release.scheduled_start_at = start
    if emergency:
        release.scheduled_end_at = start + timedelta(hours=procedure.validity_hours())
    else:
        release.scheduled_end_at = answer.until
    release.later_windows = _later_windows(release, procedure, start, moment)
    lay(release, procedure, environment, start, moment, reopened=reopened)


def _later_windows(release: Release, content: Content, start: datetime, moment: datetime) -> dict[str, list[str]]:
    """Return the windows of the second and later environment of production: the one that is open when the procedure
    lets the release go there, else the next one.
    """
    found = {}
    waits = {row.key: row.after_hours for row in content.environments}
    emergency = release.kind == Release.Kind.EMERGENCY
    for place in release.destinations[1:]:
        start += timedelta(hours=waits.get(place.slug, 0))
        answer = opening(
            release.application, place, start, emergency=emergency, frozen=Known(release, moment).freezes(place)
        )
        ends = start + timedelta(hours=content.validity_hours()) if emergency else answer.until
        opens, closes = (start, ends) if answer.open else (answer.next_start, answer.next_end)
        if opens is None or closes is None:
            raise GateNotPassed(closed_sentence(answer, place))
        start, ends = opens, closes
        found[place.slug] = [start.isoformat(), ends.isoformat()]
    return found


def lay(
    release: Release,
    content: Content,
    environment: Environment,
    start: datetime,
    moment: datetime,
    *,
    reopened: Collection[str] = (),
) -> None:
    """Create or move the milestones of a release for T-0; one that a move puts into the past is due immediately (once).

    `reopened`: the edges whose milestones must be reached again because of the move.
    """
    due = due_dates(content, start, environment, emergency=release.kind == Release.Kind.EMERGENCY)
    asked = [row for row in content.milestones if meant(row.when, release.kind, release.risk)]
    Milestone.objects.filter(release=release, done_at=None).exclude(key__in=[row.key for row in asked]).delete()
    for row in asked:
        milestone = Milestone.objects.filter(release=release, key=row.key).first() or Milestone(
            release=release, key=row.key, label_ja=row.ja, label_en=row.en, guards=row.guards
        )
        again = milestone.done_at is not None and row.guards in reopened
        over = milestone.pk is not None and not milestone.due_immediately and milestone.due_at < moment and not again
        if again:
            milestone.done_at = milestone.done_by = None
        # A late milestone does not become punctual by moving T-0, not even to a later window and back again.
        milestone.was_late |= over and milestone.done_at is None
        excused = not over and not milestone.was_late
        if milestone.done_at is not None:
            excused |= milestone.was_late  # done at a later window: approvers see that it was for another one
        if again or milestone.due_at != due[row.key]:
            milestone.reminded = []  # for another date, or to be reached again
        milestone.due_at = due[row.key]
        milestone.due_immediately = due[row.key] < moment and excused
        if milestone.due_immediately and milestone.done_at is None:
            milestone.due_at = moment
        milestone.save()
