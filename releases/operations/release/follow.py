"""Moves an open release to another version of the procedure or of its deployment process, inside an open operation."""

from audit.clock import now
from audit.operation import Operation
from releases.gates.base import procedure_of
from releases.models import DeploymentProcess, Procedure, Release
from releases.operations.release.dates import lay
from releases.operations.release.end_approval import end_requests
from releases.operations.release.prepare import create_checklist_and_documents
from releases.queries.step_plan import production_of, step_plan


def follow(op: Operation, release: Release, version: Procedure | DeploymentProcess) -> None:
    """Move an open release to another version: its approval is invalidated, and new items are added."""
    key = "procedure" if isinstance(version, Procedure) else "process"
    if release.state not in (*Release.FIXED, *(() if key == "procedure" else ("draft",))):
        return
    if ended := end_requests(release, "invalidated", key, tells=op):
        op.add_event("release:end_approval", release, key=key, approval_requests=[one.pk for one in ended])
    setattr(release, key, version)
    if (kind := release.artefact_kind) != (release.artefact.kind if release.artefact is not None else ""):
        release.artefact = release.newest_artefact() if kind and release.state != "draft" else None
    content = procedure_of(release)
    release.step_plan = step_plan(content, release.kind, release.risk)
    if key == "procedure":
        create_checklist_and_documents(release, content)
        if release.scheduled_start_at is not None:
            lay(release, content, production_of(release), release.scheduled_start_at, now())
    if release.state in ("in_review", "approved", "final_check_completed"):
        release.end_approval()
