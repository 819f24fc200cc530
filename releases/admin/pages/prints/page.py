"""Print pages for A4: 申請書兼承認記録, 作業手順書, 連絡網, and the rollback report."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _

from audit.clock import now
from environments.admin.rights import found_or_404, page, rights_of
from environments.language import language
from environments.models import Environment
from releases.admin.components.formatting import show
from releases.admin.pages.approval_request.rows import clauses, ended_because
from releases.gates.base import procedure_of
from releases.gates.durations import Durations, durations
from releases.gates.evidence import matrix
from releases.models import (
    ApprovalRequest,
    DecisionRequest,
    Deployment,
    Document,
    Evidence,
    Procedure,
    Release,
    Rollback,
    Step,
    TeamMember,
)
from releases.queries.decision_request import last_rollback_start
from releases.queries.rollback_authorisation import authorisation
from releases.queries.rollback_causes import cause_of, raiser_of, seen_of
from releases.queries.rollback_communication import communications
from releases.queries.rollback_digests import digests


@dataclass(frozen=True)
class Line:
    """One step of the runbook: its number, words, planned times, and the actual ones after its execution."""

    number: int
    phase: str
    label: str
    kind: str
    begins: datetime | None
    ends: datetime | None
    seconds: float
    required: bool
    began: datetime | None = None
    ended: datetime | None = None
    state: str = ""


def _release(request: HttpRequest, pk: int) -> Release:
    return found_or_404(
        request,
        Release.objects.select_related("application", "author", "procedure").prefetch_related(
            "changes__author",
            "checklist__signed_by",
            "documents__signatures__account",
            "final_checks__account",
            "milestones__done_by",
            Prefetch("team_members", TeamMember.objects.select_related("account")),
        ),
        pk=pk,
    )


def _place(release: Release) -> Environment | None:
    """Return the final environment of a release: the production environment that has a target."""
    places = Environment.objects.of(release.application_id).order_by("-order")
    return places.filter(tier=Environment.Tier.PRODUCTION).first() or places.first()


def _content(release: Release) -> Any:
    row = release.procedure or Procedure.objects.of(release.application)
    return procedure_of(release) if row is not None else None


def _sheet(request: HttpRequest, template: str, title: str, zone: str, **context: Any) -> HttpResponse:
    return show(request, template, title, zone=zone, printed_at=now(), **context)


@page
def approval_request_form(request: HttpRequest, pk: int) -> HttpResponse:
    """Show 申請書兼承認記録: what is submitted, its evidence, and every approval decision about it."""
    row = _release(request, pk)
    place = _place(row)
    zone = place.zone if place is not None else ""
    approval_requests = list(
        ApprovalRequest.objects.filter(release=row)
        .select_related("environment", "requested_by")
        .prefetch_related("decisions__account", "decisions__on_behalf", "decisions__meeting")
        .order_by("opened_at")
    )
    live = next((r for r in reversed(approval_requests) if not ended_because(r)), None)
    content = _content(row)
    return _sheet(
        request,
        "pages/prints/print_approval_request.html",
        _("Approval request and record"),
        zone,
        release=row,
        place=place,
        approval_requests=approval_requests,
        live=live,
        clauses=clauses(live, rights_of(request), zone) if live is not None else [],
        matrix=matrix(row) if content is not None and row.tree else [],
        evidence=Evidence.objects.filter(application_id=row.application_id, tree=row.tree)
        .exclude(tree="")
        .select_related("environment")
        .defer("content")
        .order_by("at")[:60],
        criterion=next(
            (
                c.label(language())
                for c in (content.criteria(row.kind) if content is not None else ())
                if c.key == row.criterion
            ),
            row.criterion,
        ),
    )


def lines(
    plan: dict[str, list[dict[str, Any]]], phases: tuple[str, ...], start: datetime | None, ja: bool, lasts: Durations
) -> list[Line]:
    """Return the steps of some phases in order, each with its planned time from `start` on."""
    found: list[Line] = []
    at = start
    for phase in phases:
        for entry in plan.get(phase, []):
            seconds = lasts.seconds(phase, entry)
            ends = at + timedelta(seconds=seconds) if at is not None else None
            found.append(
                Line(
                    len(found) + 1,
                    phase,
                    entry["label_ja"] if ja else entry["label_en"],
                    entry["step_type"],
                    at,
                    ends,
                    seconds,
                    bool(entry.get("required", True)),
                )
            )
            at = ends
    return found


def _with_facts(planned: list[Line], steps: list[Step]) -> list[Line]:
    """Add the actual times of the steps that the deployment has executed."""
    if [step.step_type for step in steps] != [line.kind for line in planned]:
        return planned
    return [
        Line(**{**line.__dict__, "began": step.started_at, "ended": step.ended_at, "state": step.get_state_display()})
        for line, step in zip(planned, steps, strict=True)
    ]


@page
def runbook(request: HttpRequest, pk: int, environment: str) -> HttpResponse:
    """Show 作業手順書: the steps with their planned times, the rollback, and the rollback decision time.

    Only the protected environment's window belongs to the release. Elsewhere only a deployment has a start, and there
    is no rollback decision time.
    """
    row = _release(request, pk)
    place = get_object_or_404(Environment, slug=environment)
    if not rights_of(request).about(row).sees(place):
        raise PermissionDenied
    deployment = (
        Deployment.objects.filter(release=row, environment=place).exclude(state__in=["cancelled", "missed"]).first()
    )
    planned = row.window_in(place) if place.protected else (None, None)
    start, closes = (
        planned
        if deployment is None
        else (deployment.scheduled_start_at or planned[0], deployment.scheduled_end_at or planned[1])
    )
    japanese = language() == "ja"
    lasts = durations(row, place.pk)
    out = lines(row.step_plan, ("deployment", "verification"), start, japanese, lasts)
    steps = list(deployment.steps.order_by("ordinal")) if deployment is not None else []
    out = _with_facts(out, [s for s in steps if s.phase in ("deployment", "verification")])
    decide_by = last_rollback_start(Deployment(release=row, environment=place, scheduled_end_at=closes))
    back = lines(row.step_plan, ("rollback", "rollback_verification"), decide_by, japanese, lasts)
    needed = lasts.needed(row.step_plan)
    return _sheet(
        request,
        "pages/prints/print_runbook.html",
        _("Runbook"),
        place.zone,
        release=row,
        place=place,
        deployment=deployment,
        start=start,
        closes=closes,
        out=out,
        back=back,
        ends=out[-1].ends if out else None,
        decide_by=decide_by,
        spare=(decide_by - out[-1].ends).total_seconds() if decide_by and out and out[-1].ends else None,
        basis=needed.basis,
        latest=closes - timedelta(seconds=needed.seconds) if closes is not None else None,
        monitoring=_content(row).monitoring if _content(row) is not None else None,
        team=row.team_members.all(),
    )


@page
def contact_list(request: HttpRequest, pk: int) -> HttpResponse:
    """Show 連絡網: the persons in the order in which they are called, with telephone numbers."""
    row = _release(request, pk)
    place = _place(row)
    entries = {entry.team_role: entry for entry in row.team_members.all()}
    order = list(DecisionRequest.ORDER)
    team_roles = [(key, str(name)) for key, name in TeamMember.TeamRole.choices]
    content = _content(row)
    return _sheet(
        request,
        "pages/prints/print_contacts.html",
        _("Contact sheet"),
        place.zone if place is not None else "",
        release=row,
        place=place,
        order=[(index, dict(team_roles)[key], entries.get(key)) for index, key in enumerate(order, 1)],
        others=[(name, entries.get(key)) for key, name in team_roles if key not in order],
        minutes=content.rollback.decision_request_minutes if content is not None else None,
        stakeholders=content.recipient_groups if content is not None else (),
    )


@page
def rollback_report(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the rollback report with the facts that it was drafted from."""
    row = found_or_404(
        request,
        Rollback.objects.select_related(
            "deployment__release__application",
            "deployment__release__procedure",
            "deployment__environment",
            "raised_by",
            "assessed_by",
            "authorised_by",
        ),
        pk=pk,
    )
    deployment = row.deployment
    sees = rights_of(request).about(row).sees(deployment.environment)
    return _sheet(
        request,
        "pages/prints/print_rollback.html",
        _("Rollback report"),
        deployment.environment.zone,
        rollback=row,
        deployment=deployment,
        cause=cause_of(row),
        authorised=authorisation(row),
        raised_by=raiser_of(row),
        seen=seen_of(row),
        communications=communications(row),
        documents=Document.objects.filter(rollback=row).prefetch_related("signatures__account"),
        steps=list(deployment.steps.filter(phase__in=["rollback", "rollback_verification"]).order_by("ordinal")),
        digests=(row.facts.get("digests") or (digests(deployment) if deployment.started_at else {})) if sees else {},
        logs=rights_of(request).about(row).sees(deployment.environment, "read_logs"),
    )
