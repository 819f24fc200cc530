"""milestone:remind: the owners of a milestone are reminded before it is due, and once when it is late (P3)."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from audit.clock import now
from audit.operation import NothingToDo, operation
from releases.gates.base import procedure_of
from releases.models import Milestone, Release
from releases.operations.poll.retry_limit import with_retry_limit
from releases.queries.milestone_dates import TURNS

LATE = 0


def turn_of(release: Release) -> Milestone | None:
    """Return the milestone that a release is to reach next; None where none is open."""
    return next((m for m in release.milestones.all() if m.done_at is None and release.state in TURNS[m.guards]), None)


def remind_due() -> list[int]:
    """Remind of every milestone whose lead time has come, each lead once; return the milestones (the poll calls it)."""
    reminded = []
    leads_of: dict[int | str, list[int]] = {}
    rows = Milestone.objects.filter(done_at=None, release__state__in=Release.PREPARING).exclude(guards="start")
    for row in rows.exclude(reminded__contains=LATE).select_related("release__application"):
        pinned = row.release.procedure_id or row.release.application.procedure
        if pinned not in leads_of:
            leads_of[pinned] = sorted(procedure_of(row.release).reminders.hours_before, reverse=True)
        if not _passed(row, leads_of[pinned]):
            continue
        if with_retry_limit("milestone", row, partial(_reminded, row, leads_of[pinned])):
            reminded.append(row.pk)
    return reminded


def _reminded(row: Milestone, leads: Sequence[int]) -> bool:
    """Send a reminder for the last lead that has passed; return whether the milestone was still due.

    The event's details name the milestone, the lead in hours (0: it is late) and when it is due.
    """
    with operation("milestone:remind", (Milestone, row.pk)) as op:
        held = op.get(Milestone)
        passed = _passed(held, leads)
        if held.done_at is not None or not passed:
            raise NothingToDo
        # A release planned late has passed several leads at once: one reminder covers them, for the last.
        held.reminded = sorted({*held.reminded, *passed}, reverse=True)
        op.about(held, release=str(row.release), milestone=held.key, lead_hours=passed[-1], due=held.due_at.isoformat())
    return not op.dropped


def _passed(milestone: Milestone, leads: Sequence[int]) -> list[int]:
    """Return the leads that have passed, the last at the end; empty when no reminder of that one is needed any more.

    A milestone is never late before its turn: the one before it is late, and its reminder is sent.
    """
    moment = now()
    if milestone.due_at <= moment and milestone.release.state not in TURNS[milestone.guards]:
        return []
    passed = [lead for lead in (*leads, LATE) if milestone.due_at - timedelta(hours=lead) <= moment]
    return passed if passed and passed[-1] not in milestone.reminded else []
