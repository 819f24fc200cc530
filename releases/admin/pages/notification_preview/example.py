"""An example row for a notification event, so that its text can be read with real values before it happens."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.db.models import Model

from audit.clock import now
from audit.operation import label
from environments.application_scope import within
from environments.models import AccessRequest, ChangeFreeze
from releases.models import (
    ApprovalRequest,
    DecisionRequest,
    Deployment,
    EmergencyStop,
    Milestone,
    MonitoringPeriod,
    Notification,
    NotificationChannel,
    Release,
    Rollback,
    Waiver,
)
from releases.queries.notification_subject import subject_of
from releases.queries.notification_values import values_of


@dataclass(frozen=True)
class Example:
    """A row that an event could be about, with the details that its operation would record."""

    row: Model
    payload: dict[str, Any]


def example_of(event: str, release: Release | None, seen: Collection[int] | None = None) -> Example | None:
    """Return the newest row that an event could be about, of one release where given; None when there is none.

    seen: the keys of the applications of which it may be; None: of all.
    """
    noun = event.partition(":")[0]
    mine: dict[str, Any] = {"release": release} if release is not None else {}
    deployment: dict[str, Any] = {"deployment__release": release} if release is not None else {}
    payload: dict[str, Any] = {}
    row: Model | None
    match noun:
        case "milestone":
            found = Milestone.objects.filter(**mine, done_at=None).order_by("-pk").first()
            row, payload = found, {"lead_hours": 24} if found else {}
        case "waiver":
            row = Waiver.objects.filter(**mine).order_by("-pk").first()
        case "decision_request":
            row = DecisionRequest.objects.filter(**deployment).order_by("-pk").first()
        case "rollback":
            row = Rollback.objects.filter(**deployment).order_by("-pk").first()
        case "monitoring":
            row = (
                MonitoringPeriod.objects.filter(**deployment)
                .exclude(purpose=MonitoringPeriod.Purpose.BASELINE)
                .order_by("-pk")
                .first()
            )
            payload = {"without_values": [row.triggers[0]["metric"]]} if row is not None and row.triggers else {}
        case "approval":
            row = ApprovalRequest.objects.filter(**mine).order_by("-pk").first()
            payload = {"approval_request": row.pk} if row is not None else {}
        case "access":
            row = within(AccessRequest.objects.all(), seen).first()
        case "window" | "freeze":
            row = within(ChangeFreeze.objects.all(), seen).order_by("-pk").first()
        case "emergency_stop":
            row = within(EmergencyStop.objects.all(), seen).first()
        case "notification_channel":
            row = NotificationChannel.objects.order_by("-unavailable_since", "pk").first()
        case "notification":
            row = Notification.objects.filter(**mine).exclude(event__startswith="notification:").first()
        case "deployment":
            deployments = Deployment.objects.filter(**mine).order_by("-environment__protected", "-pk")
            row = deployments.first()
            asked = DecisionRequest.objects.filter(deployment=row).order_by("-pk").first() if row is not None else None
            payload = {"decision_request": asked.pk} if asked is not None else {}
        case _:
            row = release or newest(seen)
            approval_request = (
                ApprovalRequest.objects.filter(release=row).order_by("-pk").first() if row is not None else None
            )
            payload = {"approval_request": approval_request.pk} if approval_request is not None else {}
            if event == "release:end_approval":
                payload = {
                    "key": "window",
                    "approval_requests": [approval_request.pk] if approval_request is not None else [],
                }
    # A release without such a row yet shows what is known of the release itself.
    row = row or release
    return Example(row, payload) if row is not None else None


def newest(seen: Collection[int] | None) -> Release | None:
    """Return the newest release of applications, by their keys; None: of all."""
    return within(Release.objects.exclude(state="imported"), seen).order_by("-pk").first()


def example_values(event: str, seen: Collection[int] | None = None) -> tuple[dict[str, dict[str, str]], str]:
    """Return language → values of the newest row that an event could be about, and what that is; empty for none.

    seen: as in `example_of`.
    """
    release = newest(seen) if seen is not None else None
    if seen is not None and release is None:
        return {"ja": {}, "en": {}}, ""
    found = example_of(event, release, seen) or example_of("release:announce", release, seen)
    subject = subject_of(label(found.row)) if found is not None else None
    if found is None or subject is None:
        return {"ja": {}, "en": {}}, ""
    given: dict[str, Any] = {"at": now(), "actor": "", "reason": "", "payload": found.payload}
    values = {code: values_of(subject, language=code, **given) for code in ("ja", "en")}
    return values, str(subject.deployment or subject.release or subject.row)
