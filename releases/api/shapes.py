"""What the API answers with: rows as they stand, in the words of the admin."""

from datetime import datetime
from typing import Any

from ninja import Schema

from releases.actions.question.ask import asked_of
from releases.api.since import CommitOut, SinceOut
from releases.api.words import (
    ChangeKind,
    DeploymentState,
    EvidenceKind,
    ReleaseKind,
    ReleaseState,
    RollbackState,
    StepKind,
    StepState,
    Verb,
)
from releases.gates.base import Answer
from releases.gates.content import clause_labels
from releases.models import Deployment, Evidence, Release, Step
from releases.steps.words import told


class GateOut(Schema):
    """One gate's answer."""

    gate: str
    verdict: str
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
    window_end: datetime | None
    created_at: datetime


class StandingOut(Schema):
    """How a release stands towards one environment: `open` says that a run might start there now."""

    environment: str
    open: bool
    state_allows: bool
    blockers: list[BlockerOut]
    gates: list[GateOut]
    since: SinceOut


class QuestionOut(Schema):
    """What a waiting run asks: whom so far, until when, and what happens when nobody answers."""

    until: datetime
    default: str
    asked: list[str]


class PlannedOut(Schema):
    """One step of a plan as it would be run: its lines are commands and effects, with secrets masked."""

    phase: str
    ordinal: int
    kind: StepKind
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


class MilestoneOut(Schema):
    """One milestone."""

    key: str
    label: str
    due_at: datetime
    done_at: datetime | None


class RunLine(Schema):
    """A run in one line."""

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
    """A release with what blocks it and what would clear it, per environment that the caller reads."""

    source: CommitOut | None
    environments: list[StandingOut]
    changes: list[ChangeOut]
    milestones: list[MilestoneOut]
    runs: list[RunLine]


class StepOut(Schema):
    """A step of a run."""

    ordinal: int
    phase: str
    kind: StepKind
    state: StepState


class RollbackOut(Schema):
    """The way back of a run."""

    id: int
    cause: str
    state: RollbackState
    facts: dict[str, Any]


class RunOut(Schema):
    """A run as the CI's one call shows it."""

    id: int
    release: str
    environment: str
    state: DeploymentState
    release_state: ReleaseState
    blockers: list[str]
    steps: list[StepOut]
    rollback: RollbackOut | None


class StepDetail(StepOut):
    """A step with its times; `failure` only for who may read the log."""

    label: str
    required: bool
    started_at: datetime | None
    ended_at: datetime | None
    failure: str | None


class CheckOut(Schema):
    """A check of a run: what was measured against which limit."""

    ordinal: int
    label: str
    state: StepState
    verdict: str | None
    value: str | None
    limit: str | None


class RunDetail(RunLine):
    """A run with steps, checks, the way back, and the end of the log for who may read it (else null)."""

    steps: list[StepDetail]
    checks: list[CheckOut]
    rollback: RollbackOut | None
    question: QuestionOut | None
    log: str | None


class EvidenceOut(Schema):
    """What was read from a report, and what the thresholds in force make of it."""

    id: int
    application: str
    environment: str
    kind: EvidenceKind
    test_type: str
    suite: str
    tool: str
    commit: str
    tree: str
    digest: str
    values: dict[str, Any]
    summary: str
    verdict: str
    judgement: str
    uploaded_by: str
    at: datetime
    superseded_by: int | None


class CountedOut(Schema):
    """What the reports that count say together: the worst of them decides, and the sentence names what does not pass."""

    verdict: str
    summary: str
    reports: list[int]


class HandedInOut(Schema):
    """The reports of one call, and what counts now of their kind, test type and environment."""

    items: list[EvidenceOut]
    counted: CountedOut


class WindowOut(Schema):
    """One coming window (or the rest of one that freezes leave)."""

    name: str
    starts_at: datetime
    ends_at: datetime


class WindowsOut(Schema):
    """Whether a run may start now, why, until or from when, and the next windows."""

    application: str
    environment: str
    zone: str
    at: datetime
    open: bool
    reason: str
    until: datetime | None
    next: list[WindowOut]


class MayOut(Schema):
    """Whether the token's own account may, and from what that follows."""

    account: str
    verb: Verb
    environment: str | None
    may: bool
    why: str
    roles: list[str]
    levels: list[str]
    token_reaches: list[str]
    token_expires_at: datetime


class ReleasePage(Schema):
    """A page of releases."""

    items: list[ReleaseOut]
    next: str | None


class RunPage(Schema):
    """A page of runs."""

    items: list[RunLine]
    next: str | None


class EvidencePage(Schema):
    """A page of evidence."""

    items: list[EvidenceOut]
    next: str | None


def gate_out(answer: Answer) -> GateOut:
    """Return one gate's answer."""
    return GateOut(gate=answer.gate, verdict=answer.verdict, reason=answer.reason)


def release_fields(release: Release) -> dict[str, Any]:
    """Return the fields that both forms of a release have."""
    names = ("version", "number", "kind", "title", "state", "commit", "tree", "tag")
    times = ("scheduled_start_at", "window_end", "created_at")
    return {"id": release.pk, "application": release.application.slug} | {
        name: getattr(release, name) for name in (*names, *times)
    }


def run_fields(run: Deployment) -> dict[str, Any]:
    """Return the fields that both forms of a run have."""
    return {
        "id": run.pk,
        "release_id": run.release_id,
        "application": run.application.slug,
        "version": run.release.version,
        "environment": run.environment.slug,
        "state": run.state,
        "requested_by": str(run.requested_by),
        "scheduled_by": str(run.scheduled_by) if run.scheduled_by is not None else None,
        "scheduled_start_at": run.scheduled_start_at,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "blockers": _reasons(run),
    }


def _reasons(run: Deployment) -> list[str]:
    """Return what holds a run up or ended it, in words; the key of an ended consent as the page says it."""
    labels = clause_labels()
    return [labels.get(str(reason)) or told(reason) for reason in run.blockers]


def rollback_out(run: Deployment) -> RollbackOut | None:
    """Return the way back of a run, if there is one."""
    found = run.rollbacks.first()
    if found is None:
        return None
    return RollbackOut(id=found.pk, cause=found.cause, state=found.state, facts=found.facts)


def question_out(run: Deployment) -> QuestionOut | None:
    """Return the open question of a run, if there is one; telephone numbers stay on the page."""
    question = run.decision_requests.filter(answered_at=None).select_related("deployment").first()
    if question is None:
        return None
    asked = [str(entry) for entry in asked_of(question)]
    return QuestionOut(until=question.due_at, default=question.on_timeout, asked=asked)


def run_out(run: Deployment) -> RunOut:
    """Return a run as the CI's one call shows it."""
    return RunOut(
        id=run.pk,
        release=str(run.release),
        environment=run.environment.slug,
        state=run.state,
        release_state=run.release.state,
        blockers=_reasons(run),
        steps=[step_out(step) for step in run.steps.all()],
        rollback=rollback_out(run),
    )


def step_out(step: Step) -> StepOut:
    """Return a step."""
    return StepOut(ordinal=step.ordinal, phase=step.phase, kind=step.step_type, state=step.state)


def evidence_out(row: Evidence, verdict: str, judgement: str) -> EvidenceOut:
    """Return evidence with what the thresholds make of it."""
    names = ("kind", "test_type", "suite", "tool", "commit", "tree", "digest", "values", "summary", "at")
    return EvidenceOut(
        id=row.pk,
        application=row.application.slug,
        environment=row.environment.slug,
        verdict=verdict,
        judgement=judgement,
        uploaded_by=str(row.uploaded_by),
        superseded_by=row.superseded_by_id,
        **{name: getattr(row, name) for name in names},
    )
