"""All rows of one change, read once, and their JSON; the pack and its pages are made from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from hashlib import sha256
from typing import Any

import rfc8785
from django.db.models import Field, ForeignKey, Model, Prefetch
from django.utils import translation

from audit.audited_tables import AUDITED_TABLES
from audit.cover import warning
from audit.models import Event
from environments.access_as_of import AccessAsOf
from environments.models import Account
from releases.models import (
    CommitteeMeeting,
    DecisionRequest,
    Deployment,
    Document,
    DocumentSignature,
    Measurement,
    MonitoringPeriod,
    Release,
    Rollback,
    Step,
    Waiver,
)
from releases.reporting.evidence_pack.people import as_they_were, joined
from releases.reporting.evidence_pack.scope import Removed, evidence_of, present, removed_of

# Columns outside the evidence: files with an entry of their own in the pack, contact data, and, of each row, the
# columns that the ledger leaves out.
LEFT_OUT = frozenset({"content", "telephone"})
UNGOVERNED = {audited.model: audited.unaudited for audited in AUDITED_TABLES}


def plain(value: Any) -> Any:
    """Return a value as JSON writes it: times in UTC to the microsecond, decimal numbers as text."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal | float):
        return str(value)
    if isinstance(value, bytes | memoryview):
        return "sha256:" + sha256(value).hexdigest()
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value


def columns(row: Model) -> Iterator[tuple[Field[Any, Any], Any]]:
    """Yield (column, value) of a row; a reference is the row that it points to."""
    left_out = LEFT_OUT | UNGOVERNED.get(row._meta.label, frozenset())
    for column in row._meta.concrete_fields:
        if column.name not in left_out:
            yield column, getattr(row, column.name)


def as_json(row: Model) -> dict[str, Any]:
    """Return a row as JSON; a reference is `{"id", "name"}`."""
    made: dict[str, Any] = {}
    for column, value in columns(row):
        if isinstance(column, ForeignKey):
            made[column.name] = None if value is None else {"id": value.pk, "name": str(value)}
        else:
            made[column.name] = plain(value)
    return made


@dataclass
class DeploymentRows:
    """One deployment of a change with all its rows."""

    deployment: Deployment
    gates: list[dict[str, Any]]
    steps: list[Step]
    monitoring_periods: list[MonitoringPeriod]
    rollbacks: list[Rollback]  # each with its documents
    decision_requests: list[DecisionRequest]


@dataclass
class Collected:
    """One change. rows: (name, rows) that belong to the release alone; meetings: with the attendees; labels: of all
    rows that the change ever had; removed: rows that are gone, in their last state in the ledger.

    Each account in it is as it was when the row came to refer to it; since: that time, by row and column.
    """

    release: Release
    rows: dict[str, list[Any]]
    approval_requests: list[Any]
    deployments: list[DeploymentRows]
    evidence: list[Any]
    meetings: list[tuple[CommitteeMeeting, list[Account]]]
    labels: list[str]
    removed: list[dict[str, Any]]
    people: list[dict[str, Any]] = field(default_factory=list)
    since: dict[tuple[Model, str], datetime] = field(default_factory=dict)


def _claimed(deployment: Deployment) -> tuple[datetime | None, int | None]:
    """Return when the first step was claimed, and the number of that event in the ledger."""
    labels = [f"releases.Step:{pk}" for pk in deployment.steps.filter(ordinal=1).values_list("pk", flat=True)]
    claims = Event.objects.filter(
        object__in=labels, operation="step:claim", kind="operation", ledger_entry__isnull=False
    )
    first = claims.select_related("ledger_entry").order_by("ledger_entry__number").first()
    return (first.at, first.ledger_entry.number) if first is not None else (None, None)


def _gates(deployment: Deployment, waivers: list[Waiver]) -> list[dict[str, Any]]:
    """Return the gates that a deployment had to pass. The claim of its first step checks each in its own transaction.

    So that claim, as the ledger has it, is the proof that each was passed, or waived by two; without it no gate was
    checked.
    """
    start, event = _claimed(deployment)
    found = []
    release, content = deployment.release, deployment.content
    for gate in content.gates_for(deployment.environment, kind=release.kind, risk=release.risk):
        by = next((w for w in waivers if start is not None and _let_pass(w, gate.key, deployment, start)), None)
        result = "not_checked" if start is None else "waived" if by is not None else "passed"
        found.append(
            {
                "key": gate.key,
                "type": gate.type,
                "ja": gate.ja,
                "en": gate.en,
                "result": result,
                "at": plain(start),
                "event": event,
                "waiver": by.pk if by is not None else None,
            }
        )
    return found


def _let_pass(waiver: Waiver, gate: str, deployment: Deployment, start: datetime) -> bool:
    """Tell whether a waiver let a gate pass at the start, whatever has happened to the waiver since."""
    there = waiver.gate == gate and waiver.environment_id == deployment.environment_id
    ends = min(filter(None, (waiver.until, waiver.revoked_at)))
    return there and waiver.approved_at is not None and waiver.approved_at <= start < ends


def collect(release_id: int) -> Collected:
    """Read one change; raises Release.DoesNotExist."""
    release = Release.objects.select_related("application", "author", "procedure", "copied_from").get(pk=release_id)
    waivers = list(release.waivers.select_related("environment", "requested_by", "decided_by").order_by("pk"))
    rows: dict[str, list[Any]] = {
        "change_entries": list(release.changes.select_related("author").order_by("pk")),
        "milestones": list(release.milestones.select_related("done_by").order_by("pk")),
        "checklist": list(release.checklist.select_related("signed_by").order_by("pk")),
        "release_team": list(release.team_members.select_related("account").order_by("pk")),
        "final_checks": list(release.final_checks.select_related("account").order_by("pk")),
        "documents": list(release.documents.select_related("edited_by").order_by("pk")),
        "document_signatures": list(
            DocumentSignature.objects.filter(document__release=release)
            .select_related("document", "account")
            .order_by("pk")
        ),
        "meeting_decisions": list(release.meeting_decisions.select_related("meeting").order_by("pk")),
        "waivers": waivers,
        "follow_ups": list(release.follow_ups.select_related("completed_by").order_by("pk")),
        "facts": list(release.facts.select_related("environment").order_by("pk")),
    }
    approval_requests = list(
        release.approval_requests.select_related("requested_by", "environment")
        .prefetch_related("decisions__account", "decisions__on_behalf", "decisions__meeting")
        .order_by("pk")
    )
    deployments = [
        DeploymentRows(
            deployment,
            _gates(deployment, waivers),
            list(deployment.steps.prefetch_related("attempts").order_by("ordinal")),
            list(
                deployment.monitoring_periods.select_related("recorded_by")
                .prefetch_related("check_results")
                .order_by("pk")
            ),
            list(
                deployment.rollbacks.select_related("raised_by", "assessed_by", "authorised_by")
                .prefetch_related(
                    Prefetch("documents", Document.objects.select_related("edited_by").order_by("pk")),
                    "documents__signatures__account",
                )
                .order_by("pk")
            ),
            list(deployment.decision_requests.select_related("answered_by").order_by("pk")),
        )
        for deployment in release.deployments.select_related(
            "release__procedure", "environment", "approval_request", "requested_by", "scheduled_by", "verified_by"
        ).order_by("pk")
    ]
    evidence = list(evidence_of(release).defer("content").select_related("environment", "uploaded_by"))
    then = AccessAsOf()
    there = present(release_id)
    removed = removed_of(release_id, there)
    labels = sorted(there | removed.keys())
    made = Collected(
        release, rows, approval_requests, deployments, evidence, _meetings(release, then), labels, _removed(removed)
    )
    made.since = as_they_were(_every_row(made), then)
    made.people = _people(made, then)
    return made


def _removed(removed: dict[str, Removed]) -> list[dict[str, Any]]:
    """Return each row that is gone: its last values, and the event that ended it (none: `unexplained`)."""
    made = []
    for label, row in removed.items():
        by = row.by
        outcome = "unexplained" if by is None else "deleted" if by.object == label and by.gone else "moved"
        event = (by.number, by.at, by.actor, by.operation, by.reason) if by is not None else (None, None, "", "", "")
        made.append(
            {"object": label, "outcome": outcome}
            | dict(zip(("event", "at", "actor", "operation", "reason"), map(plain, event), strict=True))
            | {"last_values": {name: value for name, value in row.was.values.items() if name not in LEFT_OUT}}
        )
    return sorted(made, key=lambda one: (one["event"] or 0, one["object"]))


def _meetings(release: Release, then: AccessAsOf) -> list[tuple[CommitteeMeeting, list[Account]]]:
    found = []
    for meeting in (
        CommitteeMeeting.objects.filter(decisions__release=release).select_related("recorded_by").order_by("pk")
    ):
        there = CommitteeMeeting.attendees.through.objects.filter(committeemeeting=meeting).select_related("account")
        label = "releases.CommitteeMeeting.attendees"
        found.append((meeting, [who for who, _at in joined(label, there.order_by("account"), then)]))
    return found


def _every_row(change: Collected) -> Iterator[Model]:
    yield change.release
    if change.release.procedure is not None:
        yield change.release.procedure
    if change.release.process is not None:
        yield change.release.process
    for rows in (*change.rows.values(), change.evidence, (meeting for meeting, _there in change.meetings)):
        yield from rows
    for approval_request in change.approval_requests:
        yield from (approval_request, *approval_request.decisions.all())
    for deployment in change.deployments:
        yield from (
            deployment.deployment,
            *deployment.steps,
            *deployment.monitoring_periods,
            *deployment.rollbacks,
            *deployment.decision_requests,
        )
        for rollback in deployment.rollbacks:
            for text in rollback.documents.all():
                yield from (text, *text.signatures.all())


def parts(change: Collected, then: AccessAsOf) -> Iterator[tuple[str, Account | None, datetime | None]]:
    """Yield (part, who, when) of everybody who had a part in a change."""
    release = change.release
    yield "author", release.author, release.created_at
    editors = Release.editors.through.objects.filter(release=release).select_related("account")
    for editor, at in joined("releases.Release.editors", editors.order_by("account"), then):
        yield "editor", editor, at
    for approval_request in change.approval_requests:
        yield "approval_requester", approval_request.requested_by, approval_request.opened_at
        for decision in approval_request.decisions.all():
            yield decision.decision, decision.account, decision.at
            yield "delegator", decision.on_behalf, decision.at
    for check in change.rows["final_checks"]:
        yield "final_check_signer", check.account, check.signed_at
    for deployment in change.deployments:
        yield "deployment_requester", deployment.deployment.requested_by, deployment.deployment.created_at
        yield (
            "deployment_scheduler",
            deployment.deployment.scheduled_by,
            change.since.get((deployment.deployment, "scheduled_by")),
        )
        yield "deployment_verifier", deployment.deployment.verified_by, deployment.deployment.verified_at
        for decision_request in deployment.decision_requests:
            yield "decision_responder", decision_request.answered_by, decision_request.answered_at
        for rollback in deployment.rollbacks:
            yield "rollback_authoriser", rollback.authorised_by, change.since.get((rollback, "authorised_by"))
    for waiver in change.rows["waivers"]:
        yield "waiver_requester", waiver.requested_by, waiver.requested_at
        yield "waiver_decider", waiver.decided_by, waiver.approved_at or waiver.rejected_at


def _people(change: Collected, then: AccessAsOf) -> list[dict[str, Any]]:
    """Return the persons and their parts, with the roles that they held at that moment according to the ledger."""
    found = []
    for part, account, at in parts(change, then):
        if account is None:
            continue
        found.append(
            {
                "part": part,
                "account": account.pk,
                "name": str(account),
                "type": account.kind,
                "affiliation": account.affiliation,
                "job_title": account.job_title,
                "employee_id": account.employee_id,
                "at": plain(at),
                "roles": sorted(then.roles(account.pk, at, change.release.application_id)) if at is not None else None,
            }
        )
    return found


def document(change: Collected) -> bytes:
    """Return the whole change as canonical JSON; names are those in English."""
    with translation.override("en"):
        approval_requests = [
            as_json(approval_request)
            | {"approval_decisions": [as_json(decision) for decision in approval_request.decisions.all()]}
            for approval_request in change.approval_requests
        ]
        deployments = [
            as_json(deployment.deployment)
            | {
                "gates": deployment.gates,
                "steps": [
                    as_json(step) | {"attempts": [as_json(attempt) for attempt in step.attempts.all()]}
                    for step in deployment.steps
                ],
                "monitoring_periods": [
                    as_json(monitoring)
                    | {"altered": warning(monitoring.measurements.all(), monitoring.check_results.all())}
                    | {
                        "measurements": series_name(monitoring),
                        "checks": [as_json(made) for made in monitoring.check_results.all()],
                    }
                    for monitoring in deployment.monitoring_periods
                ],
                "rollbacks": [
                    as_json(rollback)
                    | {
                        "documents": [
                            as_json(text) | {"signatures": [as_json(signed) for signed in text.signatures.all()]}
                            for text in rollback.documents.all()
                        ]
                    }
                    for rollback in deployment.rollbacks
                ],
                "decision_requests": [as_json(decision_request) for decision_request in deployment.decision_requests],
            }
            for deployment in change.deployments
        ]
        procedure = change.release.procedure
        return rfc8785.dumps(
            {
                "v": 1,
                "type": "change",
                "release": as_json(change.release),
                "people": change.people,
                **{name: [as_json(row) for row in rows] for name, rows in change.rows.items()},
                "meetings": [
                    as_json(meeting) | {"attendees": [{"id": who.pk, "name": str(who)} for who in there]}
                    for meeting, there in change.meetings
                ],
                "approval_requests": approval_requests,
                "deployments": deployments,
                "evidence": [as_json(row) | {"file": file_name(row)} for row in change.evidence],
                "procedure": as_json(procedure) if procedure is not None else None,
                "removed": change.removed,
            }
        )


def file_name(evidence: Any) -> str:
    """Return the name of a piece of evidence in the pack."""
    kind = "-".join(part for part in (evidence.kind, evidence.test_type) if part)
    return f"evidence/{evidence.pk}-{''.join(c if c.isalnum() else '-' for c in kind)}"


def series_name(monitoring: MonitoringPeriod) -> str:
    """Return the name of a monitoring period's series in the pack."""
    return f"measurements/{monitoring.pk}.jsonl"


def series(monitoring: MonitoringPeriod) -> Iterator[bytes]:
    """Yield the measurements of a monitoring period as lines of JSON."""
    measurements = (
        Measurement.objects.filter(period=monitoring).order_by("due_at").values("due_at", "at", "up", "values", "error")
    )
    for measurement in measurements.iterator(chunk_size=2000):
        yield rfc8785.dumps(plain(measurement)) + b"\n"
