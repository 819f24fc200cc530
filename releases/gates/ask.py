"""The one function that decides whether a release may run in an environment, and its registry of gate kinds."""

from __future__ import annotations

from datetime import datetime

from audit.clock import now
from audit.refusals import GateClosed
from environments.models import Environment
from releases.gates import consent, evidence, freeze, preparation, promotion, source, window
from releases.gates.base import Answer, Ask, Question, procedure_of
from releases.models import Release

# One line a kind: the name that the procedure's gates use, and who answers.
GATES: tuple[tuple[str, Ask], ...] = (
    ("evidence", evidence.ask),
    ("consent", consent.ask),
    ("window", window.ask),
    ("freeze", freeze.ask),
    ("promotion", promotion.ask),
    ("checklist", preparation.checklist),
    ("milestone", preparation.milestones),
    ("tag", source.tag),
    ("branch", source.branch),
    ("roster", preparation.roster),
    ("document", preparation.documents),
    ("obligation", preparation.obligations),
)


def answers(release: Release, environment: Environment, at: datetime | None = None) -> list[Answer]:
    """Ask every gate of the environment's tier, in the procedure's order; `at` defaults to the database's now."""
    procedure = procedure_of(release)
    question = Question(release, environment, procedure, at or now())
    kinds = dict(GATES)
    return [kinds[gate.kind](question, gate) for gate in procedure.gates_for(environment.tier)]


def blockers(release: Release, environment: Environment, at: datetime | None = None) -> list[Answer]:
    """Return the gates that are not passed; failed and unknown alike."""
    return [answer for answer in answers(release, environment, at) if answer.verdict != "pass"]


def require(release: Release, environment: Environment, at: datetime | None = None) -> None:
    """Raise GateClosed with every reason unless all gates are passed."""
    closed = blockers(release, environment, at)
    if closed:
        raise GateClosed(*(answer.reason or answer.gate for answer in closed))
