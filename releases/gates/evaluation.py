"""The one function that decides whether a release may run in an environment, and its registry of gate types."""

from dataclasses import replace
from datetime import datetime

from django.utils.translation import get_language

from audit.refusals import GateNotPassed
from environments import calendar
from environments.models import Environment
from environments.targets.words import gettext as _
from releases.gates import (
    approval,
    emergency_stop,
    evidence,
    freeze,
    ledger,
    outdated,
    preparation,
    promotion,
    rehearsal,
    source,
    window,
)
from releases.gates.base import Answer, Ask, GateContext, Known
from releases.models import Release, Waiver

# One line a type: the name that the procedure's gates use, and the function that answers.
GATES: tuple[tuple[str, Ask], ...] = (
    ("evidence", evidence.ask),
    ("approval", approval.ask),
    ("change_window", window.ask),
    ("change_freeze", freeze.ask),
    ("promotion", promotion.ask),
    ("rollback_rehearsal", rehearsal.ask),
    ("checklist", preparation.checklist),
    ("milestone", preparation.milestones),
    ("tag", source.tag),
    ("branch", source.branch),
    ("branch_protection", source.protection),
    ("release_team", preparation.release_team),
    ("document", preparation.documents),
    ("follow_up", preparation.follow_ups),
)

# Gates that two people may waive. Never approval, window, tag or follow-up actions, which have operations of their own;
# the gate of a freeze itself looks for an exception that two people have approved.
WAIVABLE = frozenset(
    {"evidence", "promotion", "rollback_rehearsal", "checklist", "milestone", "branch", "release_team", "document"}
)


def evaluate(
    release: Release, environment: Environment, at: datetime | None = None, known: Known | None = None
) -> list[Answer]:
    """Ask every gate of the environment's tier, in the procedure's order; `at` defaults to the database's now.

    known: of the release, when several environments are asked about at once.
    """
    known = known or Known(release)
    context = GateContext(release, environment, known.content, at or known.moment, known)
    kinds = dict(GATES)
    found = [kinds[gate.type](context, gate) for gate in known.asked(environment)]
    always = (each.answer(environment, known) for each in (emergency_stop, ledger, outdated))
    return [*filter(None, always), *_waived(context, found)]


def _waived(context: GateContext, found: list[Answer]) -> list[Answer]:
    """Let pass the gates of waivers in effect; a type that is not WAIVABLE is not passed, whatever a row says."""
    if all(answer.result == "passed" for answer in found):
        return found
    rows = (row for row in context.release.waivers.all() if row.environment_id == context.environment.pk)
    waivers = {row.gate: row for row in rows if row.counts(context.at)}
    return [
        replace(answer, result="waived", reason=_waiver_words(waivers[answer.gate], answer))
        if answer.result != "passed" and answer.kind in WAIVABLE and answer.gate in waivers
        else answer
        for answer in found
    ]


def _waiver_words(waiver: Waiver, answer: Answer) -> str:
    text = _("Waived until %(until)s by %(who)s: %(reason)s (%(closed)s)")
    until = calendar.print_time(waiver.until, waiver.environment.zone, get_language() or "ja")
    return text % {"until": until, "who": waiver.decided_by, "reason": waiver.reason, "closed": answer.reason}


def blockers(release: Release, environment: Environment, at: datetime | None = None) -> list[Answer]:
    """Return the gates that are neither passed nor waived; failed and unknown alike."""
    return [answer for answer in evaluate(release, environment, at) if not answer.passes]


def require(release: Release, environment: Environment, at: datetime | None = None) -> None:
    """Raise GateNotPassed with every reason unless all gates are passed."""
    closed = blockers(release, environment, at)
    if closed:
        raise GateNotPassed(*(answer.reason or answer.gate for answer in closed))
