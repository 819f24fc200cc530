"""What the places of a text are filled with: facts of the release, the run and the act, in one language."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Model
from django.utils.dateparse import parse_datetime
from django.utils.translation import override

from releases.actions.notice.subject import Subject
from releases.actions.release.facts import ZONE, facts_of, when, zone_of
from releases.gates.base import procedure_of
from releases.letters import notes
from releases.models import ConsentRound, Deployment, Milestone, Notice, Question, Release, Rollback, StopSwitch, Waiver

# Where something is done about each kind of row: path and the column with its number. Written out: looking addresses up
# by name would load all pages of the admin into a process that only sends messages.
PAGES: tuple[tuple[type[Model], str, str], ...] = (
    (Rollback, "/admin/rollback/{}/", "pk"),
    (Deployment, "/admin/deployment/{}/", "pk"),
    (ConsentRound, "/admin/release/{}/#approvals", "release_id"),
    (ConsentRound, "/admin/consent/{}/", "pk"),
    (Question, "/admin/deployment/{}/#decide", "deployment_id"),
    (Milestone, "/admin/release/{}/#plan", "release_id"),
    (Waiver, "/admin/release/{}/#waivers", "release_id"),
    (Release, "/admin/release/{}/", "pk"),
    (Notice, "/admin/releases/notice/{}/change/", "pk"),
    (StopSwitch, "/admin/releases/stopswitch/{}/change/", "pk"),
)


def zone_for(subject: Subject) -> str:
    """Return the zone in which times of a subject are told, and of the quiet hours of who has none of his own."""
    if subject.deployment is not None:
        return subject.deployment.environment.zone
    return zone_of(subject.release) if subject.release is not None else ZONE


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

    payload: details of the act; thing: the row whose being done ends what is asked for.
    """
    release, run, row, zone = subject.release, subject.deployment, subject.row, zone_for(subject)
    with override(language):
        found = {
            "actor": actor,
            "reason": reason,
            "at": when(at, zone, language),
            "url": settings.BASE_URL.rstrip("/") + path_of(subject, thing),
            "what": _what(subject, language),
            "due": _due(row, payload, zone, language),
        }
        if release is not None:
            facts = facts_of(release, language)
            found |= {
                "application": facts.application,
                "version": facts.version,
                "number": release.number or "",
                "title": facts.title,
                "kind": str(release.get_kind_display()),
                "state": str(release.get_state_display()),
                "opens": facts.opens,
                "closes": facts.closes,
                "impact": facts.impact,
                "changes": "\n".join(f"- {change.text}" for change in facts.changes),
                "status": notes.status(facts, language),
            }
        if run is not None:
            found["environment"] = str(run.environment)
            found["state"] = str(run.get_state_display())
    return found


def path_of(subject: Subject, thing: Model | None = None) -> str:
    """Return the path of the page on which the thing is done that a subject is told for; else of what it is about."""
    for row in (thing, subject.row, subject.deployment, subject.release):
        for model, path, key in PAGES:
            if isinstance(row, model) and (number := getattr(row, key)) is not None:
                return path.format(number)
    return "/admin/"


def _what(subject: Subject, language: str) -> str:
    row = subject.row
    if isinstance(row, Notice):
        return str(row.texts[language]["subject"])
    if isinstance(row, Rollback):
        known = [*procedure_of(row.deployment.release).triggers, *procedure_of(row.deployment.release).rollback.grounds]
        return next((item.label(language) for item in known if item.key == row.cause), row.cause)
    if isinstance(row, Waiver):
        release_gates = {gate.key: gate.label(language) for gate in procedure_of(row.release).gates}
        return release_gates.get(row.gate, row.gate)
    if subject.step is not None:
        return str(subject.step.parameters["task"] if subject.step.kind == "manual" else subject.step)
    return str(row)


def _due(row: Model, payload: dict[str, Any], zone: str, language: str) -> str:
    moment = getattr(row, "due_at", None)
    if moment is None and isinstance(asked := payload.get("question"), int):
        moment = Question.objects.filter(pk=asked).values_list("due_at", flat=True).first()
    if moment is None and isinstance(given := payload.get("due"), str):
        moment = parse_datetime(given)
    return when(moment, zone, language)
