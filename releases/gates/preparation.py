"""The gates of preparation: checklist, milestones, documents, release team and follow-up actions (P3, P4, G3, J2)."""

from django.utils.translation import get_language

from environments.language import listed
from environments.targets.words import gettext as _
from releases.gates.base import Answer, GateContext, not_passed, passed
from releases.models import TeamMember
from releases.procedures.parts import Gate


def checklist(context: GateContext, gate: Gate) -> Answer:
    """Every item is signed."""
    rows = list(context.release.checklist.all())
    unsigned = [str(item) for item in rows if item.signed_at is None]
    if not rows and context.procedure.checklist:
        return not_passed(gate, _("The release has no checklist yet. Lock the scope first."), "checklist")
    if unsigned:
        return not_passed(gate, _("Not signed: %(items)s") % {"items": listed(unsigned)}, "checklist")
    return passed(gate, "", "checklist")


def milestones(context: GateContext, gate: Gate) -> Answer:
    """Every milestone before T-0 is done."""
    rows = list(context.release.milestones.all())
    undone = [str(m) for m in rows if m.done_at is None and m.guards != "start"]
    if not rows and context.release.scheduled_start_at is None:
        return not_passed(gate, _("No scheduled start has been set yet."), "plan")
    if undone:
        return not_passed(gate, _("Not done: %(items)s") % {"items": listed(undone)}, "plan")
    return passed(gate, "", "plan")


def documents(context: GateContext, gate: Gate) -> Answer:
    """Every document of the procedure is ready to publish."""
    states = {d.kind: d for d in context.release.documents.all()}
    missing = []
    for wanted in context.procedure.documents:
        document = states.get(wanted.key)
        if document is None or document.state not in ("ready_to_publish", "published"):
            missing.append(str(document) if document is not None else wanted.label(get_language() or "ja"))
    if missing:
        return not_passed(gate, _("Not ready to publish: %(items)s") % {"items": listed(missing)}, "documents")
    return passed(gate, "", "documents")


def release_team(context: GateContext, gate: Gate) -> Answer:
    """Every team role has a person with a telephone number."""
    present = {entry.team_role for entry in context.release.team_members.all() if entry.telephone}
    missing = [label for team_role, label in TeamMember.TeamRole.choices if team_role not in present]
    if missing:
        text = _("Release team roles without a member: %(duties)s")
        return not_passed(gate, text % {"duties": listed(map(str, missing))}, "release-team")
    return passed(gate, "", "release-team")


def follow_ups(context: GateContext, gate: Gate) -> Answer:
    """No follow-up action of the application is overdue. An emergency is not held up; the conditions of an approval
    belong to the gate of that.
    """
    if context.emergency:
        return passed(gate)
    overdue = context.known.blocking_follow_up
    if overdue is not None and overdue.due_at < context.at:
        text = _("Overdue: %(what)s (%(release)s)")
        return not_passed(gate, text % {"what": overdue, "release": overdue.release}, "follow-ups")
    return passed(gate)
