"""milestone:remind: the owners of a milestone are told before it is due, and once when it is late (P3)."""

from __future__ import annotations

from datetime import timedelta

from audit.change import change
from audit.clock import now
from releases.gates.base import procedure_of
from releases.models import Milestone, Release

OWNERS = {
    "fix_content": "release_manager",
    "confirm_tests": "release_manager",
    "approve": "committee",
    "confirm": "release_manager",
    "start": "operator",
}
LATE = 0


def remind_due() -> list[int]:
    """Remind of every milestone whose lead has come, each lead once; return the milestones (the sweeper's act).

    The event's details name milestone, owner's role, lead in hours (0: it is late) and when it is due.
    """
    moment = now()
    reminded = []
    leads_of: dict[int | None, list[int]] = {}
    rows = Milestone.objects.filter(done_at=None, release__state__in=Release.PREPARING).exclude(guards="start")
    for row in rows.exclude(reminded__contains=LATE).select_related("release"):
        pinned = row.release.procedure_id
        if pinned not in leads_of:
            leads_of[pinned] = sorted(procedure_of(row.release).reminders.hours_before, reverse=True)
        leads = leads_of[pinned]
        passed = [lead for lead in (*leads, LATE) if row.due_at - timedelta(hours=lead) <= moment]
        if not passed or passed[-1] in row.reminded:
            continue
        with change("milestone:remind", (Milestone, row.pk)) as act:
            held = act.get(Milestone)
            # A release planned late has passed several leads at once: one reminder tells of the last.
            held.reminded = sorted({*held.reminded, *passed}, reverse=True)
            act.about(
                held,
                release=str(row.release),
                milestone=held.key,
                role=OWNERS[held.guards],
                lead_hours=passed[-1],
                due=held.due_at.isoformat(),
            )
        reminded.append(row.pk)
    return reminded
