"""deployment_process:submit, withdraw_request, discard: the way of a deployment process into effect, by approval."""

from typing import Any

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import Operation, operation
from audit.refusals import GateNotPassed, InvalidInput, NotPossible
from environments import access
from releases.models import ApprovalRequest, DeploymentProcess, Release
from releases.operations.release.end_approval import withdraw_open
from releases.operations.release.follow import follow
from releases.operations.release.plan import active_procedure
from releases.operations.release.request_approval import request_approval
from releases.procedures.document import ProcedureFaults
from releases.procedures.process import Process
from releases.queries import trigger_replay
from releases.queries.procedure_types import procedure_types


def submit(process_id: int, *, reason: str) -> ApprovalRequest:
    """Request that a draft is put into effect. The rules are those of the subject `process` of the procedure in effect.

    What is approved names the version in effect, the open releases that will follow the new one, and what changed
    measured triggers would have done in the last monitoring periods of the application.
    """
    seen = DeploymentProcess.objects.select_related("application").get(pk=process_id)
    replayed = replayed_for(seen)
    with operation("deployment_process:submit", (DeploymentProcess, process_id), reason=reason) as op:
        requester = access.require("create_process")
        process = op.get(DeploymentProcess)
        process.submit()
        op.require_reason()
        procedure = active_procedure(process.application).document
        try:
            Process.checked(process.content, procedure, **procedure_types())
        except ProcedureFaults as faults:
            raise InvalidInput(*map(str, faults.faults)) from None
        rules = procedure.rules_for("process")
        if not rules:
            raise GateNotPassed(_("The release procedure has no approval rule for this, so no approval is possible."))
        content: dict[str, Any] = {
            "application": process.application.slug,
            "base": in_effect(process),
            "version": str(process.number),
            "digest": process.digest,
            "moved": [[row.pk, str(row)] for row in following(process)],
            "reason": reason,
        }
        if replayed is not None:
            content["replay"] = replayed
        approval_request = request_approval("process", content, rules, requester, process=process)
        op.about(process, approval_request=approval_request.pk)
        op.notify_as("approval:request")
    return approval_request


def replayed_for(process: DeploymentProcess) -> dict[str, Any] | None:
    """Return which measured triggers a version changes and what that would have done; None when it changes none."""
    procedure = active_procedure(process.application).document
    active = DeploymentProcess.objects.filter(application=process.application_id, state="in_effect").first()
    before = active.applied_to(procedure) if active is not None else procedure
    after = process.applied_to(procedure)
    periods = trigger_replay.last_monitoring_periods([process.application_id])
    differ = trigger_replay.changed(before, after)
    return {"triggers": differ, "monitoring_periods": trigger_replay.report(after, periods)} if differ else None


def in_effect(process: DeploymentProcess) -> dict[str, str]:
    """Return number and digest of the version in effect, as a request for another names them; empty where there is
    none.
    """
    active = DeploymentProcess.objects.filter(application=process.application_id, state="in_effect").first()
    return {"version": str(active.number), "digest": active.digest} if active is not None else {}


def following(process: DeploymentProcess) -> QuerySet[Release]:
    """Return the open releases that follow a version once it takes effect: all of the application but those that follow
    another draft.
    """
    rows = Release.objects.filter(application=process.application_id, state__in=[*Release.FIXED, "draft"])
    own = Q(process=None) | Q(process__state__in=["in_effect", "retired", "discarded"])
    return rows.filter(own).select_related("application").order_by("pk")


def targets_of(process: DeploymentProcess, approval_request_id: int) -> list[tuple[type, int]]:
    """Return the rows that putting it into effect writes: releases, the version in effect, and other requests."""
    found: list[tuple[type, int]] = [(Release, row.pk) for row in following(process)]
    active = DeploymentProcess.objects.filter(application=process.application_id, state="in_effect")
    found += [(DeploymentProcess, pk) for pk in active.values_list("pk", flat=True)]
    others = ApprovalRequest.objects.filter(process__application=process.application_id, state="in_review")
    for other, pk in others.exclude(pk=approval_request_id).values_list("pk", "process"):
        found += [(ApprovalRequest, other), (DeploymentProcess, pk)]
    return found


def put_into_effect(op: Operation, approval_request: ApprovalRequest, process: DeploymentProcess) -> None:
    """Replace the version in effect by this one, inside the operation that approves it, and let the open releases
    follow it.
    """
    for other in [row for row in op.rows.values() if isinstance(row, ApprovalRequest) and row != approval_request]:
        other.invalidate()
        other.invalidated_by, other.ended_at = "base", now()
        assert other.process is not None
        op.get(DeploymentProcess, other.process_id).send_back()
    for earlier in [row for row in op.rows.values() if isinstance(row, DeploymentProcess)]:
        if earlier.state == "in_effect":
            earlier.retire()
            earlier.save()  # before its successor: one is in effect at a time
    process.put_into_effect()
    process.in_effect_at = now()
    for release in [row for row in op.rows.values() if isinstance(row, Release)]:
        follow(op, release, process)


def withdraw_request(process_id: int, *, reason: str) -> DeploymentProcess:
    """引戻し: withdraw the request for a new version; it is a draft again."""
    with operation("deployment_process:withdraw_request", (DeploymentProcess, process_id), reason=reason) as op:
        access.require("create_process")
        process = op.get(DeploymentProcess)
        process.send_back()
        withdraw_open(process=process)
    return process


def discard(process_id: int, *, reason: str) -> DeploymentProcess:
    """Discard a draft that no open release follows."""
    with operation("deployment_process:discard", (DeploymentProcess, process_id), reason=reason) as op:
        access.require("create_process")
        process = op.get(DeploymentProcess)
        if process.state != "draft":
            raise NotPossible(_("Only a draft can be discarded; send it back first."))
        if release := process.releases.filter(state__in=[*Release.FIXED, "draft"]).first():
            raise NotPossible(_("%(release)s follows this version. Store another version.") % {"release": release})
        process.discard()
    return process
