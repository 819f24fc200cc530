"""Checklist, milestones, documents, roster and obligations: is everything done that people must do? (P3, P4, G3, J2)"""

from django.utils.translation import get_language

from environments.language import listed
from releases.gates.base import Answer, Question, failed, passed
from releases.models import DeployedVersion, TeamMember
from releases.procedures.parts import Gate
from releases.steps.words import gettext as _


def checklist(question: Question, gate: Gate) -> Answer:
    """Every item is signed."""
    rows = list(question.release.checklist.all())
    unsigned = [str(item) for item in rows if item.signed_at is None]
    if not rows:
        return failed(gate, _("The release has no checklist yet. Lock the scope first."), "checklist")
    if unsigned:
        return failed(gate, _("Not signed: %(items)s") % {"items": listed(unsigned)}, "checklist")
    return passed(gate, "", "checklist")


def milestones(question: Question, gate: Gate) -> Answer:
    """Every milestone before T-0 is done."""
    rows = list(question.release.milestones.all())
    undone = [str(m) for m in rows if m.done_at is None and m.guards != "start"]
    if not rows:
        return failed(gate, _("No scheduled start has been set yet."), "plan")
    if undone:
        return failed(gate, _("Not done: %(items)s") % {"items": listed(undone)}, "plan")
    return passed(gate, "", "plan")


def documents(question: Question, gate: Gate) -> Answer:
    """Every document of the procedure is ready to publish."""
    states = {d.kind: d for d in question.release.documents.all()}
    missing = []
    for wanted in question.procedure.documents:
        document = states.get(wanted.key)
        if document is None or document.state not in ("ready_to_publish", "published"):
            missing.append(str(document) if document is not None else wanted.label(get_language() or "ja"))
    if missing:
        return failed(gate, _("Not ready to publish: %(items)s") % {"items": listed(missing)}, "documents")
    return passed(gate, "", "documents")


def roster(question: Question, gate: Gate) -> Answer:
    """Every duty has a person with a telephone number."""
    present = {entry.team_role for entry in question.release.team_members.all() if entry.telephone}
    missing = [label for duty, label in TeamMember.TeamRole.choices if duty not in present]
    if missing:
        text = _("Release team roles without a member: %(duties)s")
        return failed(gate, text % {"duties": listed(map(str, missing))}, "roster")
    return passed(gate, "", "roster")


def obligations(question: Question, gate: Gate) -> Answer:
    """Every condition of this release's consent is met, and no debt of the application is overdue. An emergency is held
    up by its own conditions alone.
    """
    release = question.release
    condition = question.known.condition
    if condition is not None:
        return failed(gate, _("Not met yet: %(what)s") % {"what": condition}, "obligations")
    if question.emergency:
        return passed(gate)
    pointer = DeployedVersion.objects.filter(application=release.application, environment=question.environment).first()
    if pointer is not None and pointer.unknown:
        text = _("The deployed version in this environment is unknown. Only an emergency release may follow.")
        return failed(gate, text, "deployments")
    overdue = question.known.debt
    if overdue is not None and overdue.due_at < question.at:
        text = _("Overdue: %(what)s (%(release)s)")
        return failed(gate, text % {"what": overdue, "release": overdue.release}, "obligations")
    return passed(gate)
