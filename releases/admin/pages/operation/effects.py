"""Effects of an operation on a release before it is done: what ends, what stays, and who must sign again."""

from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from environments.language import listed
from environments.models.role import role_names
from releases.admin.components.formatting import when
from releases.gates import quorum
from releases.models import (
    ApprovalRequest,
    ChangeEntry,
    ChecklistItem,
    Deployment,
    Document,
    FollowUp,
    Procedure,
    Release,
)

ENDS_APPROVAL = {"release:reopen_scope", "release:reschedule", "release:cancel", "release:withdraw_request"}
CLEARS_ALL = {
    *("release:edit", "release:select_commit", "release:set_version"),
    *("release:add_change_entry", "release:add_change_entries", "change_entry:edit", "change_entry:remove"),
}
CLEARS_TECHNICAL = {"release:set_configuration"}
CLEARS_FINAL = {"release:set_scheduled_start", "team:assign"}


@dataclass
class Cost:
    """Effects as lines by heading; `asked` is False for operations without known effects."""

    asked: bool = False
    ends: list[str] = field(default_factory=list)
    stays: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)


def of(key: str, instance: Any) -> Cost:
    """Return what the operation of a key on a row would end now, as the operation itself decides it."""
    if isinstance(instance, Procedure) and key == "procedure:submit":
        return _of_procedure(instance)
    if isinstance(instance, ChangeEntry):
        instance = instance.release
    if not isinstance(instance, Release):
        return Cost()
    cost = Cost(asked=True)
    if key in ENDS_APPROVAL:
        _ends_approval(instance, cost, key)
    elif key in CLEARS_ALL or key in CLEARS_TECHNICAL:
        _clears(instance, cost, "technical" if key in CLEARS_TECHNICAL else "")
    elif key in CLEARS_FINAL:
        if key == "release:set_scheduled_start" or instance.state == "approved":
            _final_check(instance, cost)
        if key == "release:set_scheduled_start":
            _signed(instance, cost.stays)
    else:
        return Cost()
    if key == "team:assign" and not cost.ends:
        return Cost()
    return cost


def _ends_approval(release: Release, cost: Cost, key: str) -> None:
    approval_requests = ApprovalRequest.objects.filter(release=release, state__in=ApprovalRequest.LIVE).select_related(
        "environment"
    )
    for approval_request in approval_requests.prefetch_related("decisions__account"):
        decisions = [a for a in approval_request.decisions.all() if a.decision in a.COUNTING]
        zone = approval_request.environment.zone if approval_request.environment is not None else ""
        text = _("The approval request “%(request)s” (%(state)s) ends.")
        cost.ends.append(
            text % {"request": approval_request.get_subject_display(), "state": approval_request.get_state_display()}
        )
        cost.ends += [
            _("Approval of %(who)s, %(when)s") % {"who": decision.account, "when": when(decision.at, zone)}
            for decision in decisions
        ]
        if key != "release:cancel":
            names = role_names()
            rules = [f"{names.get(rule.role, rule.role)} × {rule.number}" for rule in quorum.rules_of(approval_request)]
            cost.again.append(_("Approval is requested again: %(missing)s") % {"missing": listed(rules)})
    _final_check(release, cost)
    waiting = Deployment.objects.filter(
        release=release, environment__protected=True, state__in=list(Deployment.WAITING_TO_RUN)
    ).select_related("environment", "release__application")
    cost.ends += [
        _("The deployment %(run)s is cancelled (%(when)s).")
        % {"run": deployment, "when": when(deployment.scheduled_start_at, deployment.environment.zone)}
        for deployment in waiting
    ]
    conditions = FollowUp.objects.filter(release=release, blocks=FollowUp.Blocks.START, completed_at=None)
    cost.ends += [_("The condition “%(what)s” ends with the approval.") % {"what": row} for row in conditions]
    reopened = {
        "release:reopen_scope": list(release.milestones.exclude(done_at=None)),
        "release:reschedule": list(
            release.milestones.exclude(done_at=None).filter(guards__in=["mark_approved", "complete_final_check"])
        ),
    }.get(key, [])
    if reopened:
        cost.again.append(_("Milestones to be reached again: %(names)s") % {"names": listed(map(str, reopened))})
    if key != "release:cancel":
        _signed(release, cost.stays)
    if key == "release:reopen_scope":
        cost.stays.append(_("Signatures are invalidated only when the signed content changes afterwards."))


def _final_check(release: Release, cost: Cost) -> None:
    roles = role_names()
    signed = list(release.final_checks.filter(invalidated_at=None).select_related("account"))
    cost.ends += [
        _("Final check of %(who)s (%(role)s)") % {"who": row.account, "role": roles.get(row.role, row.role)}
        for row in signed
    ]
    if signed:
        text = _("Roles that sign the final check again: %(roles)s")
        cost.again.append(text % {"roles": listed(roles.get(r.role, r.role) for r in signed)})


def _signed(release: Release, sentences: list[str]) -> None:
    items = ChecklistItem.objects.filter(release=release).exclude(signed_at=None).count()
    documents = Document.objects.filter(
        release=release, state__in=["content_checked", "approved", "ready_to_publish"]
    ).count()
    if items:
        sentences.append(_("%(n)d signed items of the checklist") % {"n": items})
    if documents:
        sentences.append(_("%(n)d checked or approved documents") % {"n": documents})


def _clears(release: Release, cost: Cost, group: str) -> None:
    items = ChecklistItem.objects.filter(release=release).exclude(signed_at=None).select_related("signed_by")
    affected = list(items.filter(group=group) if group else items)
    cost.ends += [_("Signature of %(who)s: %(item)s") % {"who": item.signed_by, "item": item} for item in affected]
    people = sorted({str(item.signed_by) for item in affected})
    if not group:
        documents = list(
            Document.objects.filter(release=release, state__in=["content_checked", "approved", "ready_to_publish"])
        )
        cost.ends += [_("“%(document)s” is a draft again.") % {"document": document} for document in documents]
    else:
        kept = items.exclude(group=group).count()
        if kept:
            cost.stays.append(_("%(n)d signed items of the checklist") % {"n": kept})
    if people:
        cost.again.append(_("Checklist signers until now: %(people)s") % {"people": listed(people)})


def _of_procedure(procedure: Procedure) -> Cost:
    cost = Cost(asked=True)
    rows = (
        ApprovalRequest.objects.filter(release__state__in=Release.FIXED, state__in=ApprovalRequest.LIVE)
        .exclude(release__procedure=procedure)
        .select_related("release__application", "environment")
        .prefetch_related("decisions__account")
    )
    for row in rows:
        names = listed(str(a.account) for a in row.decisions.all() if a.decision in a.COUNTING) or "—"
        text = _("If %(release)s is moved: its approval request (%(state)s; approvals: %(names)s)")
        cost.ends.append(text % {"release": row.release, "state": row.get_state_display(), "names": names})
    return cost
