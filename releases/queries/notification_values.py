"""What the places of a text are filled with: facts of the release, the run and the operation, in one language."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Model
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _, override

from audit.models import Reconciliation, Verification
from environments.language import labelled
from environments.models import AccessRequest, ChangeFreeze
from environments.targets.words import in_words
from environments.times import ZONE
from releases.gates import staffing
from releases.gates.content import clause_labels
from releases.models import (
    ApprovalRequest,
    DecisionRequest,
    Deployment,
    Drift,
    EmergencyStop,
    Milestone,
    MonitoringPeriod,
    Notification,
    NotificationChannel,
    PollFailure,
    Release,
    Rollback,
    Waiver,
)
from releases.notifications.templates import notes
from releases.queries.notification_subject import Subject
from releases.queries.release_facts import facts_of, when, zone_of
from releases.queries.rollback_causes import cause_of
from releases.queries.waivable import waivable

# Where something is done about each kind of row: path and the column with its number. Written out: looking addresses up
# by name would load all pages of the admin into a process that only sends messages.
PAGES: tuple[tuple[type[Model], str, str], ...] = (
    (Rollback, "/admin/rollback/{}/", "pk"),
    (Deployment, "/admin/deployment/{}/", "pk"),
    (ApprovalRequest, "/admin/release/{}/#approvals", "release_id"),
    (ApprovalRequest, "/admin/approval-request/{}/", "pk"),
    (DecisionRequest, "/admin/deployment/{}/#decide", "deployment_id"),
    (Milestone, "/admin/release/{}/#plan", "release_id"),
    (Waiver, "/admin/release/{}/#waivers", "release_id"),
    (Release, "/admin/release/{}/", "pk"),
    (Notification, "/admin/releases/notification/{}/change/", "pk"),
    (EmergencyStop, "/admin/releases/emergencystop/{}/change/", "pk"),
    (AccessRequest, "/admin/environments/accessrequest/{}/change/", "pk"),
    (PollFailure, "/admin/operation/poll/resume/{}/", "pk"),
    (MonitoringPeriod, "/admin/deployment/{}/#monitoring", "deployment_id"),
    (Drift, "/admin/environments/deploymenttarget/{}/change/#drift", "target_id"),
    (ChangeFreeze, "/admin/environments/changefreeze/{}/change/", "pk"),
    (Reconciliation, "/admin/audit-tests/unexplained-history/", "pk"),
    (Verification, "/admin/audit/verification/{}/change/", "pk"),
    (NotificationChannel, "/admin/releases/notificationchannel/{}/change/", "pk"),
)


def zone_for(subject: Subject) -> str:
    """Return the zone of a subject's times, and of the quiet hours of people without their own."""
    if subject.deployment is not None:
        return subject.deployment.environment.zone
    if subject.release is not None:
        return zone_of(subject.release)
    environment = getattr(subject.row, "environment", None)
    return environment.zone if environment is not None else ZONE


def values_of(
    subject: Subject,
    *,
    language: str,
    at: datetime,
    actor: str,
    reason: str,
    payload: dict[str, Any],
    thing: Model | None = None,
) -> dict[str, str]:
    """Return name of a place → its text; a place without a value is left out.

    payload: details of the operation; thing: the row whose being done ends what is asked for.
    """
    release, deployment, zone = subject.release, subject.deployment, zone_for(subject)
    if isinstance(thing, ApprovalRequest):
        actor, reason = str(thing.requested_by), str(thing.document.get("reason", "" if "stage" in payload else reason))
    with override(language):
        found = {
            "actor": actor,
            "reason": in_words(_reason(subject.row, reason, payload)),
            "occurred_at": when(at, zone, language),
            "url": settings.BASE_URL.rstrip("/") + path_of(subject, thing),
            "affected_item": _what(subject, language, payload, thing),
            "due_at": _due(subject.row, payload, zone, language, thing),
        }
        if release is not None:
            facts = facts_of(release, language)
            found |= {
                "application": facts.application,
                "version": facts.version,
                "number": release.number or "",
                "title": facts.title,
                "type": str(release.get_kind_display()),
                "state": str(release.get_state_display()),
                "window_opens": facts.opens,
                "window_closes": facts.closes,
                "impact": facts.impact,
                "change_entries": "\n".join(f"- {change.text}" for change in facts.changes),
                "status": notes.status(facts, language),
            }
        if subject.rollback is not None:
            found["rollback_plan"] = plan_of(subject.rollback)
        if isinstance(subject.row, Drift):
            found |= {"application": str(subject.row.application), "environment": str(subject.row.environment)}
        if deployment is not None:
            found["environment"] = str(deployment.environment)
            found["state"] = str(deployment.get_state_display())
    return found


def plan_of(rollback: Rollback) -> str:
    """Return impact, method and timing of a rollback, a line each."""
    names = ("impact", "method", "timing")
    rows = [(Rollback._meta.get_field(name).verbose_name, getattr(rollback, name)) for name in names]  # type: ignore[union-attr]
    return "\n".join(_("%(label)s: %(text)s") % {"label": label, "text": text or "—"} for label, text in rows)


def path_of(subject: Subject, thing: Model | None = None) -> str:
    """Return the path of the page on which the thing is done that a subject is told for; else of what it is about."""
    for row in (thing, subject.row, subject.deployment, subject.release):
        for model, path, key in PAGES:
            if isinstance(row, model) and (number := getattr(row, key)) is not None:
                return path.format(number)
    return "/admin/"


def _what(subject: Subject, language: str, payload: dict[str, Any], thing: Model | None) -> str:
    row = subject.row
    if isinstance(row, Notification):
        return str(row.texts[language]["subject"])
    if isinstance(row, Release) and "approval_requests" in payload:
        return _why_ended(str(payload.get("key", "")))
    if isinstance(thing, ApprovalRequest):
        return labelled(thing.get_subject_display(), thing.about)
    if isinstance(row, NotificationChannel):
        because = payload.get("cause", row.unavailable_because)
        return f"{row} · {_(because)}" if because else str(row)
    if isinstance(row, AccessRequest):
        return f"{row} · {_('%(n)d h') % {'n': row.hours}}"
    if isinstance(row, EmergencyStop):
        return _stop_words(row)
    if "unmet" in payload:
        return staffing.words_of(payload["unmet"])
    if isinstance(row, ChangeFreeze):
        rows = ChangeFreeze.objects.filter(pk__in=payload.get("freezes", [row.pk])).select_related(
            "environment", "application"
        )
        return "\n".join(_frozen_words(each, language) for each in rows.order_by("pk"))
    if isinstance(row, Drift | Verification):
        return row.words
    if isinstance(row, Reconciliation):
        return _("No event explains these rows: %(rows)s") % {"rows": ", ".join(payload["rows"])}
    if isinstance(row, MonitoringPeriod):
        return ", ".join(_metrics_without_values(row, payload.get("without_values", []), language))
    if isinstance(row, PollFailure):
        return str(row)
    if isinstance(row, Rollback):
        return cause_of(row)
    if isinstance(row, Waiver):
        words = {key: ja if language == "ja" else en for key, ja, en in waivable(row.release)}
        return words.get(row.gate, row.gate)
    if subject.step is not None:
        return str(subject.step.parameters["task"] if subject.step.step_type == "manual" else subject.step)
    return str(row)


def _stop_words(row: EmergencyStop) -> str:
    whom = row.application or _("all applications")
    if row.pauses:
        return _("Production of %(whom)s: running deployments wait before their next step.") % {"whom": whom}
    return _("Production of %(whom)s: running deployments are stopped.") % {"whom": whom}


def _frozen_words(row: ChangeFreeze, language: str) -> str:
    zone = row.environment.zone
    words = {
        "name": row.name,
        "where": " · ".join(str(part) for part in (row.environment, row.application) if part is not None),
        "begin": when(row.starts_at, zone, language),
        "end": when(row.ends_at, zone, language),
        "minutes": row.length_minutes,
        "rule": row.rrule,
    }
    if not row.rrule:
        return _("%(name)s (%(where)s): %(begin)s – %(end)s") % words
    return _("%(name)s (%(where)s): %(begin)s – %(end)s, %(minutes)d minutes each time (%(rule)s)") % words


def _reason(row: Model, reason: str, payload: dict[str, Any]) -> str:
    if isinstance(row, Deployment) and "emergency" in payload:
        text = _("The deployment was cancelled for an emergency release: %(release)s")
        return text % {"release": payload["emergency"]}
    if isinstance(row, Deployment) and "approval_request" in payload:
        return _("The approval of this release has ended.")
    return row.error if isinstance(row, PollFailure) else reason


def _why_ended(key: str) -> str:
    if key == "window":
        return _("the approval has expired")
    return _("“%(key)s” differs from the approved content") % {"key": clause_labels().get(key, key)}


def _metrics_without_values(monitoring: MonitoringPeriod, keys: Sequence[str], language: str) -> list[str]:
    """Return metrics and checks of a monitoring period in the procedure's words."""
    content = monitoring.deployment.content
    words = {item.key: item.label(language) for item in (*content.metrics, *content.checks)}
    return [words.get(key, key) for key in keys]


def _due(row: Model, payload: dict[str, Any], zone: str, language: str, thing: Model | None) -> str:
    moment = getattr(row, "due_at", None)
    if isinstance(thing, ApprovalRequest):
        moment = thing.valid_until
    if isinstance(row, MonitoringPeriod):
        moment = row.ends_at
    if moment is None and isinstance(asked := payload.get("decision_request"), int):
        moment = DecisionRequest.objects.filter(pk=asked).values_list("due_at", flat=True).first()
    if moment is None and isinstance(given := payload.get("due"), str):
        moment = parse_datetime(given)
    return when(moment, zone, language)
