"""The one function that decides whether a release may run in an environment, and its registry of gate types."""

from dataclasses import replace
from datetime import datetime

from django.utils.translation import get_language, gettext_lazy as _

from audit.one_look import one_answer
from audit.refusals import GateNotPassed
from environments import calendar
from environments.models import Environment
from releases.gates import (
    approval,
    artefact,
    attestation,
    emergency_stop,
    evidence,
    freeze,
    ledger,
    outdated,
    preparation,
    promotion,
    rehearsal,
    source,
    unapproved_process,
    unknown_version,
    window,
)
from releases.gates.base import Answer, GateContext, GateType, Known
from releases.models import Release, Waiver

# One entry a type. Two people may waive those marked so. Never approval, window, tag or follow-up actions, which have
# operations of their own; the gate of a freeze itself looks for an exception that two people have approved.
GATES: tuple[GateType, ...] = (
    GateType("evidence", evidence.ask, _("Upload the evidence for commit %(commit)s: %(place)s."), waivable=True),
    GateType(
        "approval",
        approval.ask,
        _(
            "A person submits the release for approval first. The release committee then approves it on the "
            "release page."
        ),
    ),
    GateType(
        "change_window", window.ask, _("Wait for the change window, choose another date, or request an extra window.")
    ),
    GateType("change_freeze", freeze.ask, _("Wait until the change freeze ends, or ask for it to be lifted.")),
    GateType(
        "promotion",
        promotion.ask,
        _("Deploy the same content to the earlier environment and wait until the deployment is verified."),
        waivable=True,
    ),
    GateType(
        "rollback_rehearsal",
        rehearsal.ask,
        _("Run a rollback rehearsal with the same plan in an earlier environment."),
        waivable=True,
    ),
    GateType("checklist", preparation.checklist, _("People sign the open items of the checklist."), waivable=True),
    GateType(
        "milestone", preparation.milestones, _("Complete the work that the open milestones require."), waivable=True
    ),
    GateType("tag", source.tag, _("Create the annotated, signed tag in the repository, or refresh from Git.")),
    GateType(
        "branch", source.branch, _("Merge the commit into an accepted branch, or refresh from Git."), waivable=True
    ),
    GateType("attestation", attestation.ask, _("Upload a statement about the subject of the gate."), waivable=True),
    GateType(
        "branch_protection",
        source.protection,
        _("Upload the evidence that the branch requires, and sign the commit or its tag."),
    ),
    GateType(
        "release_team", preparation.release_team, _("The release manager enters the release team."), waivable=True
    ),
    GateType(
        "document",
        preparation.documents,
        _("Write, check and approve the documents, and prepare their publication."),
        waivable=True,
    ),
    GateType(
        "follow_up", preparation.follow_ups, _("Complete the follow-up actions of the earlier emergency release.")
    ),
)
# Asked for every environment, whatever the procedure says, and never waived.
ALWAYS_ASKED = (emergency_stop, ledger, outdated, unapproved_process, unknown_version, artefact)
WAIVABLE = frozenset(gate.name for gate in GATES if gate.waivable)


@one_answer
def evaluate(
    release: Release, environment: Environment, at: datetime | None = None, known: Known | None = None
) -> list[Answer]:
    """Ask every gate of the environment's tier, in the procedure's order; `at` defaults to the database's now.

    known: of the release, when several environments are asked about at once.
    """
    known = known or Known(release)
    context = GateContext(release, environment, known.content, at or known.moment, known)
    types = {gate.name: gate for gate in GATES}
    found = [types[gate.type].ask(context, gate) for gate in known.asked(environment)]
    always = (each.answer(environment, known) for each in ALWAYS_ASKED)
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
