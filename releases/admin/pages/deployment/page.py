"""The page of one deployment: its steps with every attempt, the growing log, checks, monitoring and rollback."""

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import get_language, gettext as _

from audit.clock import now
from audit.cover import warning
from environments.admin.rights import found_or_404, page, rights_of
from environments.targets.words import in_words
from releases.admin.components.change_history import history_of
from releases.admin.components.formatting import show, stations
from releases.admin.components.live import updates
from releases.admin.pages.deployment.window_bar import MOVING, WindowBar, window_bar
from releases.admin.pages.monitoring.page import drawings, rows_of
from releases.models import Deployment, PollFailure, Step, StepOutput, TeamMember
from releases.queries.decision_request import agreed_on_timeout, asked_of
from releases.queries.rollback_causes import cause_of
from releases.queries.rollback_digests import digests

TAIL, CHUNKS, MEASUREMENTS = 200, 500, 240
PATH = ("requested", "scheduled", "queued", "running", "verifying", "monitoring", "succeeded")
MAIN = {
    "requested": "deployment:schedule",
    "verifying": "deployment:verify",
    "awaiting_decision": "rollback:raise",
    "failed": "rollback:raise",
    "stopped": "rollback:raise",
}
UNDER_WAY = ("running", "on_hold", "outcome_unknown", "failed")


@dataclass(frozen=True)
class Limit:
    """A time by which something must be: its name, itself, and the seconds that are left (less than 0: past)."""

    name: str
    at: datetime
    left: float


@dataclass(frozen=True)
class Present:
    """steps: with the seconds since each began. on_timeout: `roll_back` or `keep`, as approved."""

    steps: list[tuple[Step, float]]
    limits: list[Limit]
    team: list[TeamMember]
    on_timeout: str


def present_of(
    deployment: Deployment, steps: list[Step], bar: WindowBar | None, moment: datetime, *, sees: bool
) -> Present | None:
    """Return what a deployment does now; None before it is queued and after its end. sees: whether the reader may know
    the team's telephone numbers.
    """
    if deployment.state not in MOVING:
        return None
    begun = [(s, (moment - s.started_at).total_seconds()) for s in steps if s.state in UNDER_WAY and s.started_at]
    ends = (("decide", bar.decide_by), ("window", bar.ends)) if bar is not None else ()
    team = deployment.release.team_members.select_related("account") if sees else TeamMember.objects.none()
    return Present(
        begun,
        [Limit(name, at, (at - moment).total_seconds()) for name, at in ends],
        sorted(team, key=lambda entry: TeamMember.TeamRole.values.index(entry.team_role)),
        agreed_on_timeout(deployment),
    )


def progress(deployment: Deployment, steps: list[Step], moment: datetime) -> dict[str, Any]:
    """Return the progress: finished steps, elapsed and estimated seconds."""
    phases = (
        ("rollback", "rollback_verification")
        if any(s.phase in ("rollback", "rollback_verification") for s in steps)
        else ("deployment", "verification")
    )
    mine = [s for s in steps if s.phase in phases]
    finished = sum(1 for s in mine if s.state in Step.FINISHED)
    begun = deployment.started_at
    ends = [s.ended_at for s in mine if s.ended_at is not None]
    over = mine and all(s.state in Step.ENDS for s in mine) and ends
    until = max(ends) if over else moment
    return {
        "finished": finished,
        "count": len(mine),
        "share": round(100 * finished / len(mine)) if mine else 0,
        "elapsed": (until - begun).total_seconds() if begun is not None else None,
        "estimate": sum(s.estimate_seconds for s in mine),
    }


def log_step(steps: list[Step]) -> Step | None:
    """Return the step whose log is followed: the one that runs or waits, else the last one begun."""
    begun = [s for s in steps if s.started_at is not None]
    return next((s for s in begun if s.state in ("running", "outcome_unknown", "failed")), begun[-1] if begun else None)


def matrix(steps: list[Step]) -> dict[str, Any]:
    """Return the steps of several targets as a table: `columns` (phase, name), and `rows` with a target, the number of
    its batch and its step in each column (None: it has none). Empty for one target.
    """
    several = [step for step in steps if step.wave and step.target is not None and step.step_type != "wait"]
    columns = list(dict.fromkeys((step.phase, step.label_ja, step.label_en) for step in several))
    rows = []
    for target in sorted({step.target for step in several if step.target is not None}, key=lambda row: row.pk):
        own = {(s.phase, s.label_ja, s.label_en): s for s in several if s.target_id == target.pk}
        batch = max((step.batch for step in own.values() if step.phase == Step.Phase.DEPLOYMENT), default=0)
        rows.append({"target": target, "batch": batch or None, "cells": [own.get(column) for column in columns]})
    japanese = (get_language() or "ja").startswith("ja")
    heads = [(Step.Phase(phase).label, ja if japanese else en) for phase, ja, en in columns]
    return {"columns": heads, "rows": rows} if rows else {}


@page
def deployment(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one deployment."""
    row = found_or_404(
        request,
        Deployment.objects.select_related(
            "release__application",
            "procedure",
            "application",
            "environment",
            "approval_request",
            "requested_by",
            "scheduled_by",
            "verified_by",
        ).prefetch_related("rollbacks"),
        pk=pk,
    )
    rights, moment, zone = rights_of(request).about(row), now(), row.environment.zone
    steps = list(row.steps.select_related("assignee", "target").prefetch_related("attempts"))
    for step in steps:
        step.deployment = row
    sees, logs = rights.sees(row.environment), rights.sees(row.environment, "read_logs")
    monitoring_periods = list(row.monitoring_periods.order_by("pk")) if sees else []
    for monitoring in monitoring_periods:
        monitoring.deployment = row
    followed, bar = log_step(steps), window_bar(row, steps, moment)
    text, last = (_log_of(followed) if followed is not None else ("", 0)) if logs else ("", 0)
    decision_request = row.decision_requests.filter(answered_at=None).select_related("step", "deployment").first()
    return show(
        request,
        "pages/deployment/deployment.html",
        str(row),
        updates=updates(
            request.user,
            *(row, row.release, *steps, *row.rollbacks.all(), *monitoring_periods),
            every=30 if row.state == "monitoring" else 0,
        ),
        deployment=row,
        zone=zone,
        moment=moment,
        stops=stations(row, PATH, *(["running"] if row.started_at is not None else [])),
        suspended=PollFailure.objects.filter(deployment=row).exclude(suspended_at=None).order_by("pk"),
        main=MAIN.get(row.state, ""),
        progress=progress(row, steps, moment),
        bar=bar,
        present=present_of(row, steps, bar, moment, sees=sees),
        matrix=matrix(steps),
        phases=[(p, [s for s in steps if s.phase == p]) for p in Step.Phase.values],
        planned=[] if steps else [(p, row.release.step_plan.get(p, [])) for p in ("deployment", "verification")],
        waiting=[s for s in steps if s.state in ("on_hold", "outcome_unknown", "failed")]
        if row.state == "awaiting_decision"
        else [],
        decision_request=decision_request,
        asked=asked_of(decision_request) if decision_request is not None and sees else [],
        rollbacks=[(b, cause_of(b)) for b in row.rollbacks.all()],
        sees=sees,
        logs=logs,
        log_text=text,
        log_last=last,
        followed=followed,
        monitoring_periods=[(w, drawings(w, rows_of(w, MEASUREMENTS))) for w in monitoring_periods],
        digests=digests(row) if sees and row.started_at else {},
        back_plan=row.release.step_plan.get("rollback", []),
        history=history_of(
            [row, *steps, *row.rollbacks.all(), *monitoring_periods],
            40,
            hidden=() if logs else (Step._meta.label,),
            zone=zone,
        ),
    )


def lines_with(text: str, wanted: str) -> str:
    """Return the lines that contain a text, each with its number; full width, half width and case do not matter."""
    key = same_width(wanted)
    found = [f"{number}: {line}\n" for number, line in enumerate(text.splitlines(), 1) if key in same_width(line)]
    return "".join(found) or _("No line contains this text.") + "\n"


def same_width(text: str) -> str:
    """Return a text in the form that searches compare: NFKC, without case."""
    return unicodedata.normalize("NFKC", text).casefold()


def _log_of(step: Step) -> tuple[str, int]:
    rows = list(StepOutput.objects.filter(step=step).order_by("-pk").values_list("pk", "text")[:TAIL])[::-1]
    return in_words("".join(text for _pk, text in rows)), rows[-1][0] if rows else 0


@page
def step_log(request: HttpRequest, pk: int) -> HttpResponse:
    """Return a step's log as text; ?after=<chunk>: newer output as JSON; ?find=: lines with it; ?download=1: a file."""
    step = found_or_404(request, Step.objects.select_related("deployment__environment"), pk=pk)
    if not rights_of(request).about(step).sees(step.deployment.environment, "read_logs"):
        raise PermissionDenied
    rows = StepOutput.objects.filter(step=step).order_by("pk")
    after = request.GET.get("after", "")
    if not after:
        text = "\n".join(filter(None, [warning(rows), in_words("".join(rows.values_list("text", flat=True)))]))
        wanted = request.GET.get("find", "")
        response = HttpResponse(lines_with(text, wanted) if wanted else text, content_type="text/plain; charset=utf-8")
        how = "attachment" if request.GET.get("download") else "inline"
        response.headers["Content-Disposition"] = f'{how}; filename="step-{step.pk}.log"'
        return response
    if not after.isdigit():
        return JsonResponse({"error": _("The parameter “after” must be the number of a chunk.")}, status=400)
    chunks = list(rows.filter(pk__gt=int(after)).values_list("pk", "text")[:CHUNKS])
    return JsonResponse(
        {
            "after": chunks[-1][0] if chunks else int(after),
            "text": in_words("".join(text for _pk, text in chunks)),
            "state": step.state,
            "run": step.deployment.state,
            "ended": step.state not in ("pending", "ready", "running"),
        }
    )


def active_deployments() -> Any:
    """Return the active deployments with the number of their finished steps, for the pages that list them."""
    mine = Q(steps__phase__in=["deployment", "verification"])
    return (
        Deployment.objects.filter(state__in=[*Deployment.OCCUPYING, "monitoring"])
        .select_related("release__application", "environment", "application", "scheduled_by")
        .annotate(
            steps_all=Count("steps", filter=mine),
            steps_done=Count("steps", filter=mine & Q(steps__state__in=list(Step.FINISHED))),
        )
        .order_by("environment__order", "-pk")
    )
