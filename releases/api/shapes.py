"""Schemas of the API's answers: rows as they are, in the admin's terms."""

from datetime import datetime
from typing import Any

from ninja import Schema

from environments.targets.words import in_words
from releases.api.since import CommitOut, SinceOut
from releases.api.words import (
    ChangeKind,
    DeploymentState,
    EvidenceType,
    ReleaseKind,
    ReleaseState,
    RollbackState,
    StepState,
    StepType,
)
from releases.gates.content import clause_labels
from releases.models import Artefact, Deployment, Evidence, Release, Step
from releases.queries.decision_request import asked_of


class GateOut(Schema):
    """One gate's answer."""

    gate: str
    result: str
    reason: str


class BlockerOut(GateOut):
    """A gate that is not passed, what would clear it, and the place of the release page where that is done."""

    label: str
    clears: str
    link: str


class ReleaseOut(Schema):
    """A release as it stands."""

    id: int
    application: str
    version: str
    number: str | None
    kind: ReleaseKind
    title: str
    state: ReleaseState
    commit: str
    tree: str
    tag: str
    scheduled_start_at: datetime | None
    scheduled_end_at: datetime | None
    created_at: datetime


class ArtefactOut(Schema):
    """An artefact of a commit. `signed`: a signature was given; the gate says whether it is good."""

    id: int
    application: str
    commit: str
    kind: str
    reference: str
    digest: str
    signed: bool
    registered_by: str
    at: datetime


class ArtefactPage(Schema):
    """A page of artefacts."""

    items: list[ArtefactOut]
    next: str | None


class EnvironmentStatusOut(Schema):
    """The status of a release in one environment: `can_start` says that a deployment could start there now."""

    environment: str
    can_start: bool
    state_allows: bool
    blockers: list[BlockerOut]
    gates: list[GateOut]
    since: SinceOut


class DecisionRequestOut(Schema):
    """What a deployment asks its team: whom so far, until when, and what happens if no one responds."""

    due_at: datetime
    on_timeout: str
    asked: list[str]


class PlannedOut(Schema):
    """One step of a step plan as it would be executed: its lines are commands and effects, with secrets masked."""

    phase: str
    ordinal: int
    target: str
    step_type: StepType
    label: str
    deadline_seconds: float
    no_output_timeout_seconds: float | None
    lines: list[str]
    fault: str


class ChangeOut(Schema):
    """One change."""

    kind: ChangeKind
    text: str
    ticket: str


class MergeRequestOut(Schema):
    """A merge request, how it was reviewed, and the commits of the release that it covers. reviews: the last decision
    of each reviewer (`login`, `state`, `at`, `commit`: the one that it was given for).
    """

    number: int
    title: str
    url: str
    author: str
    merged_at: datetime
    head: str
    labels: list[str]
    tickets: list[str]
    commits: list[str]
    reviews: list[dict[str, str]]
    result: str


class MilestoneOut(Schema):
    """One milestone."""

    key: str
    label: str
    due_at: datetime
    done_at: datetime | None


class DeploymentLine(Schema):
    """A deployment in one line."""

    id: int
    release_id: int
    application: str
    version: str
    environment: str
    state: DeploymentState
    requested_by: str
    scheduled_by: str | None
    scheduled_start_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    blockers: list[str]


class ReleaseDetail(ReleaseOut):
    """A release with what blocks it and what would clear it, per environment that the caller reads.

    `merge_requests_fault`: why the last reading of its merge requests is not a complete one of its commits.
    """

    source: CommitOut | None
    artefact: ArtefactOut | None
    environments: list[EnvironmentStatusOut]
    changes: list[ChangeOut]
    merge_requests: list[MergeRequestOut]
    merge_requests_fault: str
    uncovered_commits: list[str]
    milestones: list[MilestoneOut]
    deployments: list[DeploymentLine]


class StepOut(Schema):
    """A step of a deployment."""

    ordinal: int
    target: str
    phase: str
    step_type: StepType
    state: StepState


class RollbackOut(Schema):
    """The rollback of a deployment."""

    id: int
    cause: str
    state: RollbackState
    facts: dict[str, Any]


class StepDetail(StepOut):
    """A step with its times; `failure` only for who may read the log."""

    label: str
    required: bool
    started_at: datetime | None
    ended_at: datetime | None
    failure: str | None


class CheckOut(Schema):
    """A check of a deployment: what was measured against which limit."""

    ordinal: int
    label: str
    state: StepState
    result: str | None
    value: str | None
    limit: str | None


class DeploymentDetail(DeploymentLine):
    """A deployment with steps, checks, rollback, and the end of the log for who may read it (else null)."""

    steps: list[StepDetail]
    checks: list[CheckOut]
    rollback: RollbackOut | None
    decision_request: DecisionRequestOut | None
    log: str | None


class EvidenceOut(Schema):
    """What was read from a report, and its result by the thresholds in effect."""

    id: int
    application: str
    environment: str
    kind: EvidenceType
    test_type: str
    suite: str
    tool: str
    commit: str
    tree: str
    digest: str
    values: dict[str, Any]
    summary: str
    result: str
    reason: str
    uploaded_by: str
    at: datetime
    superseded_by: int | None


class CountedOut(Schema):
    """What the reports that count say together: the worst of them decides, and the summary names what does not pass."""

    result: str
    summary: str
    reports: list[int]


class UploadedOut(Schema):
    """The reports of one call, and what counts now of their kind, test type and environment."""

    items: list[EvidenceOut]
    counted: CountedOut


class WindowOut(Schema):
    """One coming window (or the rest of one that freezes leave)."""

    name: str
    starts_at: datetime
    ends_at: datetime


class WindowsOut(Schema):
    """Whether a deployment may start now, why, until or from when, and the next windows."""

    application: str
    environment: str
    zone: str
    at: datetime
    open: bool
    reason: str
    until: datetime | None
    next: list[WindowOut]


class ReleasePage(Schema):
    """A page of releases."""

    items: list[ReleaseOut]
    next: str | None


class DeploymentPage(Schema):
    """A page of deployments."""

    items: list[DeploymentLine]
    next: str | None


class EvidencePage(Schema):
    """A page of evidence."""

    items: list[EvidenceOut]
    next: str | None


def filled[S: Schema](schema: type[S], row: object, **other: Any) -> S:
    """Return a schema with the row's values of the same names, but for the others given."""
    return schema(**{name: getattr(row, name) for name in schema.model_fields if name not in other}, **other)


def release_out[S: ReleaseOut](release: Release, schema: type[S], **other: Any) -> S:
    """Return either form of a release."""
    return filled(schema, release, application=release.application.slug, **other)


def deployment_out[S: DeploymentLine](deployment: Deployment, schema: type[S], **other: Any) -> S:
    """Return either form of a deployment."""
    return filled(
        schema,
        deployment,
        application=deployment.application.slug,
        version=deployment.release.version,
        environment=deployment.environment.slug,
        requested_by=str(deployment.requested_by),
        scheduled_by=str(deployment.scheduled_by) if deployment.scheduled_by is not None else None,
        blockers=blockers_of(deployment),
        **other,
    )


def blockers_of(deployment: Deployment) -> list[str]:
    """Return the blockers of a deployment in words; the key of an invalidated approval request as the page says it."""
    labels = clause_labels()
    return [labels.get(str(reason)) or in_words(reason) for reason in deployment.blockers]


def rollback_out(deployment: Deployment) -> RollbackOut | None:
    """Return the rollback of a deployment, if there is one."""
    found = deployment.rollbacks.first()
    return filled(RollbackOut, found) if found is not None else None


def decision_request_out(deployment: Deployment) -> DecisionRequestOut | None:
    """Return the open decision request of a deployment, if there is one; telephone numbers stay on the page."""
    decision_request = deployment.decision_requests.filter(answered_at=None).select_related("deployment").first()
    if decision_request is None:
        return None
    return filled(DecisionRequestOut, decision_request, asked=[str(entry) for entry in asked_of(decision_request)])


def step_out(step: Step) -> StepOut:
    return filled(StepOut, step, target=step.target.name if step.target is not None else "")


def artefact_out(row: Artefact) -> ArtefactOut:
    """Return an artefact."""
    return filled(
        ArtefactOut,
        row,
        application=row.application.slug,
        signed=bool(row.signature),
        registered_by=str(row.registered_by),
    )


def evidence_out(row: Evidence, result: str, reason: str) -> EvidenceOut:
    """Return evidence with what the thresholds make of it."""
    return filled(
        EvidenceOut,
        row,
        application=row.application.slug,
        environment=row.environment.slug,
        result=result,
        reason=reason,
        uploaded_by=str(row.uploaded_by),
        superseded_by=row.superseded_by_id,
    )
