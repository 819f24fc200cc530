"""approval:approve, approve_with_condition, send_back, reject: one person's approval decision, bound to the content
shown.

A person decides in their own name; a delegate decides for somebody who is away, and the two count once (J1).
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import Operation, operation
from audit.plain import is_blank
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.application_scope import application_of
from environments.language import labelled
from environments.models import Account, ChangeWindow
from releases.gates import authorship, ledger, quorum
from releases.gates.base import procedure_of
from releases.gates.content import clause_labels, difference, digest, document
from releases.models import (
    ApprovalDecision,
    ApprovalRequest,
    CommitteeMeeting,
    DeploymentProcess,
    EmergencyStop,
    MeetingDecision,
    Procedure,
    Release,
)
from releases.notifications.templates.events import ANNOUNCE
from releases.operations.deployment_process import put_into_effect as process_effect
from releases.operations.follow_up.create import create
from releases.operations.procedure import put_into_effect
from releases.operations.procedure.restore import EVENT as RESTORED
from releases.operations.release.end_approval import end_conditions
from releases.operations.release.follow import follow
from releases.operations.release.prepare import done_milestone, require_in_time


def approve(
    approval_request_id: int,
    *,
    digest: str,
    comment: str = "",
    on_behalf_id: int | None = None,
    meeting_id: int | None = None,
) -> ApprovalRequest:
    """Approve. `digest` is what the page showed; the last missing approval approves the request.

    on_behalf_id: the person for whom the delegate decides; meeting_id: the committee's meeting that decided so.
    """
    with operation("approval:approve", *_targets(approval_request_id), reason=comment, sign=True) as op:
        approval_request = _open_request(op, approval_request_id, digest)
        _approve(op, approval_request, _decider(approval_request, "approve", on_behalf_id), meeting_id, comment)
    return approval_request


def approve_with_condition(
    approval_request_id: int,
    *,
    digest: str,
    condition: str,
    comment: str = "",
    on_behalf_id: int | None = None,
    meeting_id: int | None = None,
) -> ApprovalRequest:
    """条件付き承認: approve with a condition, which blocks the start until a committee member completes it."""
    with operation("approval:approve_with_condition", *_targets(approval_request_id), reason=comment, sign=True) as op:
        approval_request = _open_request(op, approval_request_id, digest)
        if approval_request.release_id is None:
            raise InvalidInput(_("Only a release can be approved with a condition."))
        if is_blank(condition):
            raise InvalidInput(_("Name the condition."))
        _approve(
            op,
            approval_request,
            _decider(approval_request, "approve", on_behalf_id),
            meeting_id,
            comment,
            condition.strip(),
        )
        release, environment = op.get(Release), approval_request.environment
        zone = environment.zone if environment is not None else "UTC"
        follow_up = create(release, "condition", now(), zone, about=condition.strip(), blocks="start")
        op.details["follow_up"] = follow_up.pk
    return approval_request


def approve_beforehand(approval_request_id: int) -> ApprovalRequest:
    """Approve a standard change for which the procedure asks nobody: approving the procedure was the decision."""
    with operation("approval:approve_beforehand", *_targets(approval_request_id)) as op:
        access.require("prepare")
        approval_request = op.get(ApprovalRequest)
        _open_request(op, approval_request_id, approval_request.digest)
        if not approval_request.asks_no_approver:
            raise NotPossible(_("The release procedure asks for approvers here."))
        _before_approving(approval_request)
        if why := quorum.uncounted(approval_request, approval_request.valid_from):
            raise GateNotPassed(why)
        grant(op, approval_request)
    return approval_request


def send_back(approval_request_id: int, *, digest: str, comment: str) -> ApprovalRequest:
    """差戻し: send the release back to be changed; needs a comment."""
    return _refuse(approval_request_id, digest, comment, ApprovalDecision.Decision.SEND_BACK)


def reject(approval_request_id: int, *, digest: str, comment: str) -> ApprovalRequest:
    """却下: reject finally; needs a comment."""
    return _refuse(approval_request_id, digest, comment, ApprovalDecision.Decision.REJECT)


def _refuse(approval_request_id: int, digest: str, comment: str, meaning: ApprovalDecision.Decision) -> ApprovalRequest:
    with operation(f"approval:{meaning}", *_targets(approval_request_id), reason=comment, sign=True) as op:
        approval_request = _open_request(op, approval_request_id, digest)
        decider = _decider(approval_request, meaning, None)
        if is_blank(comment):
            raise InvalidInput(_("Enter a reason."))
        _record_decision(op, approval_request, decider, meaning, comment)
        if meaning == ApprovalDecision.Decision.REJECT:
            approval_request.reject()
        else:
            approval_request.send_back()
        approval_request.ended_at = now()
        if approval_request.release_id is not None:
            release = op.get(Release)
            release.reject() if meaning == ApprovalDecision.Decision.REJECT else release.send_back()
            end_conditions(release)
        if approval_request.window_id is not None:
            op.get(ChangeWindow).cancelled_at = now()
        if approval_request.procedure_id is not None:
            procedure = op.get(Procedure, approval_request.procedure_id)
            if procedure.state != "retired":  # a version that stays retired where its return is rejected
                procedure.discard() if meaning == ApprovalDecision.Decision.REJECT else procedure.send_back()
        if approval_request.process_id is not None:
            process = op.get(DeploymentProcess, approval_request.process_id)
            process.discard() if meaning == ApprovalDecision.Decision.REJECT else process.send_back()
    return approval_request


def _targets(approval_request_id: int) -> list[tuple[type, int]]:
    rows = {Release: "release", ChangeWindow: "window", Procedure: "procedure", EmergencyStop: "emergency_stop"}
    rows |= {DeploymentProcess: "process"}
    row = ApprovalRequest.objects.filter(pk=approval_request_id).values(*rows.values(), "document").first()
    if row is None:
        raise InvalidInput(_("This approval request does not exist."))
    targets: list[tuple[type, int]] = [(ApprovalRequest, approval_request_id)]
    targets += [(model, row[name]) for model, name in rows.items() if row[name] is not None]
    if row["process"] is not None:
        process = DeploymentProcess.objects.get(pk=row["process"])
        targets += process_effect.targets_of(process, approval_request_id)
    if row["procedure"] is not None:
        approval_request = ApprovalRequest.objects.get(pk=approval_request_id)
        targets += put_into_effect.targets_of(Procedure.objects.get(pk=row["procedure"]), approval_request)
    return targets


def _open_request(op: Operation, approval_request_id: int, shown: str) -> ApprovalRequest:
    approval_request = op.get(ApprovalRequest, approval_request_id)
    if approval_request.state != "in_review":
        text = _("This approval request is “%(state)s”, so no approval decision is possible.")
        raise NotPossible(text % {"state": approval_request.get_state_display()})
    if shown != approval_request.digest:
        raise GateNotPassed(
            _("The content shown to you differs from the content submitted for approval. Read it again.")
        )
    return approval_request


@dataclass(frozen=True)
class Decider:
    """The person who decides, the person for whom they decide (None: themselves), their roles, and how the request
    stood before.
    """

    account: Account
    absent: Account | None
    roles: set[str]
    where: quorum.Count


def _decider(approval_request: ApprovalRequest, decision: str, on_behalf_id: int | None) -> Decider:
    """Return the person whose decision this is; raises NotPermitted when it cannot count."""
    # That of what is decided about, whatever else is locked: a procedure moves releases.
    application = application_of(approval_request)
    verb = quorum.right_for(approval_request)
    account = access.current_account()
    if account.kind != Account.Kind.PERSON:
        raise NotPermitted(_("A service account cannot make an approval decision."))
    absent = None
    if on_behalf_id is not None:
        absent = next((a for a in access.absent_persons_of(account) if a.pk == on_behalf_id), None)
        if absent is None:
            raise NotPermitted(_("You are not the delegate of this person now."))
        if not access.may(absent, verb, approval_request.environment, application):
            text = _("%(name)s, whom you represent, does not have permission to approve this.")
            raise NotPermitted(text % {"name": absent})
        access.require_part()
    else:
        access.require(verb, approval_request.environment, application=application)
    where = quorum.count(approval_request)
    if why := _unresponsive(account, where):
        raise NotPermitted(why)
    if absent is not None and (why := _unresponsive(absent, where)):
        raise NotPermitted(labelled(absent, why))
    roles = access.counting_roles(absent or account, *approval_request.place_ids, application=application)
    if why := _not_asked(approval_request, where, roles, decision):
        raise NotPermitted(why)
    return Decider(account, absent, roles, where)


def _not_asked(approval_request: ApprovalRequest, where: quorum.Count, roles: Collection[str], decision: str) -> str:
    """Return why nobody with these roles may decide so at the present stage; empty when one may."""
    if quorum.roles_for(approval_request, where, decision) & set(roles):
        return ""
    if quorum.roles_for(approval_request, where) & set(roles):
        return _("The release procedure does not let your role decide so.")
    return _("The current approval stage does not need a decision from your role.")


def why_not_permitted(account: Account, approval_request: ApprovalRequest, decision: str = "") -> str:
    """Return why a person may not decide in a request, for themselves or as a delegate; empty when they may. decision:
    approve, send_back or reject; left out: any of them.
    """
    where = quorum.shown(approval_request)
    if why := _unresponsive(account, where):
        return why
    if approval_request.state != "in_review":
        return ""
    return _not_asked(approval_request, where, _shown_roles(account, approval_request), decision)


def _shown_roles(account: Account, approval_request: ApprovalRequest) -> set[str]:
    """Return the roles in which a person may decide, as themselves or as a delegate, read once for a shown row."""
    known = approval_request.__dict__.setdefault("_shown_roles", {})
    if account.pk not in known:
        people = [account.pk, *(person.pk for person in access.absent_persons_of(account))]
        asked = (application_of(approval_request), *approval_request.place_ids)
        held = access.held(people).values()
        known[account.pk] = {role for grants in held for role in access.counting_in(grants, *asked)}
    found: set[str] = known[account.pk]
    return found


def _unresponsive(person: Account, where: quorum.Count) -> str:
    if part := where.kept_out.get(person.person_key):
        return authorship.refusal(part)
    return _("You have already made your approval decision on this request.") if person.is_among(where.spoken) else ""


def _approve(
    op: Operation,
    approval_request: ApprovalRequest,
    decider: Decider,
    meeting_id: int | None,
    comment: str,
    condition: str = "",
) -> None:
    _before_approving(approval_request)
    meaning = ApprovalDecision.Decision.APPROVE_WITH_CONDITION if condition else ApprovalDecision.Decision.APPROVE
    _record_decision(
        op,
        approval_request,
        decider,
        meaning,
        comment,
        condition=condition,
        meeting=_meeting(approval_request, decider, meeting_id),
    )
    # All approvers are checked again: one who approved before may have got a team role in it, or have lost the role,
    # since.
    kept_out = {approval_request.pk: decider.where.kept_out}
    after = quorum.counts([approval_request], kept_out=kept_out)[approval_request.pk].standing
    if after.met:
        grant(op, approval_request)
    elif after.stage != decider.where.standing.stage:
        op.details.update(approval_request=approval_request.pk, stage=after.stage)
        op.notify_as("approval:request")


def _before_approving(approval_request: ApprovalRequest) -> None:
    """Raise GateNotPassed where nobody may approve the request as it is now."""
    if approval_request.release is not None:
        # An address taken from an account after the request was submitted would let its owner approve their own
        # commits.
        authorship.require_known_authors(approval_request.release)
    subject = ApprovalRequest.Subject
    if approval_request.subject in (subject.REGULAR, subject.STANDARD, subject.EXTRA_WINDOW):
        ledger.require(approval_request.environment)
    _same_content(approval_request)


def _meeting(approval_request: ApprovalRequest, decider: Decider, meeting_id: int | None) -> CommitteeMeeting | None:
    if meeting_id is None:
        return None
    meeting = CommitteeMeeting.objects.filter(pk=meeting_id, attendees=decider.account).first()
    if meeting is None:
        raise InvalidInput(_("You did not attend that meeting."))
    if not meeting.decisions.filter(release=approval_request.release_id, decision__in=MeetingDecision.FOR).exists():
        raise InvalidInput(_("That meeting did not decide in favour of this release."))
    return meeting


def _same_content(approval_request: ApprovalRequest) -> None:
    if approval_request.valid_until is not None and now() >= approval_request.valid_until:
        raise GateNotPassed(_("The approval request expired at the end of its change window."))
    procedure = approval_request.procedure
    if procedure is not None and approval_request.document["base"] != put_into_effect.in_effect(procedure.key):
        text = _("Another version of the release procedure has taken effect since then. Submit for approval again.")
        raise GateNotPassed(text)
    process = approval_request.process
    if process is not None and approval_request.document["base"] != process_effect.in_effect(process):
        text = _("Another version of the deployment process has taken effect since then. Submit for approval again.")
        raise GateNotPassed(text)
    release = approval_request.release
    if release is None or approval_request.environment is None:
        return
    present = document(release, approval_request.environment)
    if digest(present) != approval_request.digest:
        key = difference(approval_request.document, present)
        text = _("The approval request is no longer valid, because “%(key)s” has changed.")
        raise GateNotPassed(text % {"key": clause_labels().get(key, key)})


def _record_decision(
    op: Operation,
    approval_request: ApprovalRequest,
    decider: Decider,
    meaning: ApprovalDecision.Decision,
    comment: str,
    *,
    condition: str = "",
    meeting: CommitteeMeeting | None = None,
) -> None:
    op.details["on_behalf"] = str(decider.absent) if decider.absent is not None else ""
    ApprovalDecision.objects.create(
        approval_request=approval_request,
        account=decider.account,
        on_behalf=decider.absent,
        meeting=meeting,
        decision=meaning,
        roles=sorted(decider.roles),
        digest=approval_request.digest,
        comment=comment,
        condition=condition[:200],
        signature=op.signature(approval_request.digest, role=", ".join(sorted(decider.roles))),
        at=now(),
    )


def grant(op: Operation, approval_request: ApprovalRequest) -> None:
    """Approve a request whose rules are met, with everything that follows, inside an open operation on its rows."""
    approval_request.mark_approved()
    if approval_request.release_id is not None:
        op.notify_as("approval:mark_approved")
        release = op.get(Release)
        require_in_time(release, "mark_approved")
        release.mark_approved()
        done_milestone(release, "mark_approved", None)
        # The final check asks whether all recipients were reached, so the announcement goes out before it.
        op.add_event(ANNOUNCE, release, approval_request=approval_request.pk)
        if release.kind == Release.Kind.EMERGENCY:
            # The approval of an emergency release is valid for hours from its T-0 on, instead of for a window.
            hours = procedure_of(release).validity_hours()
            begins = max(now(), release.scheduled_start_at or now())
            release.scheduled_end_at = approval_request.valid_until = begins + timedelta(hours=hours)
            for key, (start, _end) in release.later_windows.items():
                ends = max(begins, datetime.fromisoformat(start)) + timedelta(hours=hours)
                release.later_windows[key] = [start, ends.isoformat()]
    if approval_request.window_id is not None:
        op.get(ChangeWindow).in_effect_at = now()
    if approval_request.emergency_stop_id is not None:
        stop = op.get(EmergencyStop)
        stop.lifted_at = now()
        op.add_event("emergency_stop:lift", stop)
    if approval_request.procedure_id is not None:
        procedure = op.get(Procedure, approval_request.procedure_id)
        put_into_effect.end_other_requests(approval_request)
        moved = [pk for pk, _name in approval_request.document.get("moved", ())]
        if approval_request.subject == ApprovalRequest.Subject.PROCEDURE:
            put_into_effect.require_roles_of_kept(procedure, moved)
        for pk in moved:
            follow(op, op.get(Release, pk), procedure)
        put_into_effect.put_into_effect(procedure)
        if approval_request.subject == ApprovalRequest.Subject.PROCEDURE_RESTORE:
            op.add_event(RESTORED, procedure)
    if approval_request.process_id is not None:
        process = op.get(DeploymentProcess, approval_request.process_id)
        process_effect.put_into_effect(op, approval_request, process)
    op.details["approved"] = True
