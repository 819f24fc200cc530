"""The subject of an outbox entry: its row, release, deployment and rollback, and the row whose completion ends it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db.models import Model
from django.utils.dateparse import parse_datetime

from audit.clock import now
from environments.models import AccessRequest, ChangeFreeze
from releases.models import (
    ApprovalRequest,
    DecisionRequest,
    Deployment,
    EmergencyStop,
    Milestone,
    MonitoringPeriod,
    Notification,
    PollFailure,
    Release,
    Rollback,
    Step,
    Waiver,
)

# Events that repeat another notification.
AGAIN = ("notification:remind", "notification:escalate")
# Which key of an operation's details names the row that must be done.
NAMED = {
    "release:submit": ("approval_request", ApprovalRequest),
    "approval:request": ("approval_request", ApprovalRequest),
    "deployment:await_decision": ("decision_request", DecisionRequest),
}
THINGS = (
    Milestone,
    Waiver,
    DecisionRequest,
    Rollback,
    Notification,
    AccessRequest,
    MonitoringPeriod,
    ChangeFreeze,
    PollFailure,
)


@dataclass(frozen=True)
class Subject:
    """One row with what it belongs to. step: where a deployment stopped."""

    row: Model
    release: Release | None = None
    deployment: Deployment | None = None
    rollback: Rollback | None = None
    step: Step | None = None


def row_of(label: str) -> Model | None:
    """Return the row of a label `app.Model:pk`; None when it is gone or is no label."""
    name, _colon, pk = label.partition(":")
    try:
        model = apps.get_model(name)
    except (LookupError, ValueError):
        return None
    return model._base_manager.filter(pk=pk).first() if pk.isdecimal() else None


def subject_of(label: str) -> Subject | None:
    """Return the subject of a label; None when its row is gone."""
    row = row_of(label)
    step = row if isinstance(row, Step) else row.step if isinstance(row, DecisionRequest) else None
    rollback = row if isinstance(row, Rollback) else None
    deployment: Any = row if isinstance(row, Deployment) else getattr(row, "deployment", None)
    if rollback is None and deployment is not None:
        rollback = deployment.rollbacks.order_by("pk").last()
    release: Any = row if isinstance(row, Release) else getattr(row, "release", None)
    if release is None and deployment is not None:
        release = deployment.release
    if isinstance(row, Notification) and row.parent is not None and release is None:
        release = row.parent.release
    return Subject(row, release, deployment, rollback, step) if row is not None else None


def thing_of(event: str, subject: Subject, payload: dict[str, Any]) -> Model | None:
    """Return the row whose completion ends the task of an event; None when it has no task."""
    if event in NAMED:
        key, model = NAMED[event]
        found: Model | None = model._base_manager.filter(pk=payload.get(key)).first()
        return found
    row = subject.row
    if isinstance(row, Notification) and event in AGAIN:
        return row_of(row.required_action)
    return row if isinstance(row, THINGS) else None


def is_done(thing: Model | None) -> bool:
    """Tell whether nothing is left to do about a row; a row that is gone has no task any more."""
    match thing:
        case ApprovalRequest():
            return thing.state != "in_review"
        case Milestone():
            return thing.done_at is not None or thing.release.state not in Release.PREPARING
        case Waiver():
            return any((thing.approved_at, thing.rejected_at, thing.revoked_at))
        case DecisionRequest():
            return thing.answered_at is not None
        case Rollback():
            return thing.state not in ("raised", "assessed")
        case Notification():
            return not thing.waits
        case EmergencyStop():
            return thing.lifted_at is not None
        case AccessRequest():
            return thing.decided_at is not None
        case ChangeFreeze():
            return thing.lifted_at is not None or thing.ends_at <= now()
        case PollFailure():
            return thing.suspended_at is None
        case MonitoringPeriod():
            return thing.ended_at is not None or (thing.no_data_at is None and not thing.result)
    return True


def is_moved(thing: Model | None, asked: Mapping[str, Any]) -> bool:
    """Tell whether a milestone's date differs from the notified one. asked: the details of the operation with the
    task.
    """
    due = asked.get("due") if isinstance(thing, Milestone) else None
    return due is not None and isinstance(thing, Milestone) and parse_datetime(due) != thing.due_at


def asked_in(notification: Notification) -> dict[str, Any]:
    """Return the details of the operation with the task: for a reminder, of the operation that it repeats."""
    asks = notification.parent if notification.event in AGAIN and notification.parent is not None else notification
    found: dict[str, Any] = asks.payload
    return found
