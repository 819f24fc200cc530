"""The one function that decides whether a release may run in an environment, and its registry of gate kinds."""

from dataclasses import replace
from datetime import datetime

from django.utils.translation import get_language

from audit.refusals import GateClosed
from environments import calendar
from environments.models import Environment
from releases.gates import (
    consent,
    evidence,
    freeze,
    ledger,
    outdated,
    preparation,
    promotion,
    rehearsal,
    source,
    stop_switch,
    window,
)
from releases.gates.base import Answer, Ask, Known, Question
from releases.models import Release, Waiver
from releases.steps.words import gettext as _

# One line a kind: the name that the procedure's gates use, and who answers.
GATES: tuple[tuple[str, Ask], ...] = (
    ("evidence", evidence.ask),
    ("consent", consent.ask),
    ("window", window.ask),
    ("freeze", freeze.ask),
    ("promotion", promotion.ask),
    ("rehearsal", rehearsal.ask),
    ("checklist", preparation.checklist),
    ("milestone", preparation.milestones),
    ("tag", source.tag),
    ("branch", source.branch),
    ("protection", source.protection),
    ("roster", preparation.roster),
    ("document", preparation.documents),
    ("obligation", preparation.obligations),
)

# What two people may waive. Never consent, window, tag or debts: those have ways of their own; a freeze looks itself for an
# exception that two have made.
WAIVABLE = frozenset({"evidence", "promotion", "rehearsal", "checklist", "milestone", "branch", "roster", "document"})


def answers(
    release: Release, environment: Environment, at: datetime | None = None, known: Known | None = None
) -> list[Answer]:
    """Ask every gate of the environment's tier, in the procedure's order; `at` defaults to the database's now.

    known: of the release, when several environments are asked about at once.
    """
    known = known or Known(release)
    question = Question(release, environment, known.content, at or known.moment, known)
    kinds = dict(GATES)
    found = [kinds[gate.kind](question, gate) for gate in known.asked(environment)]
    always = (each.answer(environment, known) for each in (stop_switch, ledger, outdated))
    return [*filter(None, always), *_waived(question, found)]


def _waived(question: Question, found: list[Answer]) -> list[Answer]:
    """Let pass what a waiver in force names; a kind that is not WAIVABLE stays closed whatever a row says."""
    if all(answer.verdict == "pass" for answer in found):
        return found
    rows = (row for row in question.release.waivers.all() if row.environment_id == question.environment.pk)
    waivers = {row.gate: row for row in rows if row.counts(question.at)}
    return [
        replace(answer, verdict="waived", reason=_waiver_words(waivers[answer.gate], answer))
        if answer.verdict != "pass" and answer.kind in WAIVABLE and answer.gate in waivers
        else answer
        for answer in found
    ]


def _waiver_words(waiver: Waiver, answer: Answer) -> str:
    text = _("Waived until %(until)s by %(who)s: %(reason)s (%(closed)s)")
    until = calendar.print_time(waiver.until, waiver.environment.zone, get_language() or "ja")
    return text % {"until": until, "who": waiver.decided_by, "reason": waiver.reason, "closed": answer.reason}


def blockers(release: Release, environment: Environment, at: datetime | None = None) -> list[Answer]:
    """Return the gates that are neither passed nor waived; failed and unknown alike."""
    return [answer for answer in answers(release, environment, at) if not answer.passes]


def require(release: Release, environment: Environment, at: datetime | None = None) -> None:
    """Raise GateClosed with every reason unless all gates are passed."""
    closed = blockers(release, environment, at)
    if closed:
        raise GateClosed(*(answer.reason or answer.gate for answer in closed))
