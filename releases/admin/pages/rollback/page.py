"""The page of one rollback: the alarm, the decision makers, the rows at risk, the proof by digest, and the report."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from environments.admin.rights import found_or_404, page, rights_of
from environments.language import listed
from releases.admin.components.change_history import history_of
from releases.admin.components.formatting import show, stations
from releases.admin.components.live import updates
from releases.admin.pages.deployment.page import MEASUREMENTS
from releases.admin.pages.monitoring.page import drawings, rows_of
from releases.admin.pages.monitoring.series import figure
from releases.gates.quorum import words_for
from releases.models import Rollback, TeamMember
from releases.operations.rollback.complete_manually import counting
from releases.operations.rollback.confirm_late import confirmations, missing, why_not_approved
from releases.queries.manual_completion import statement, troubles
from releases.queries.rollback_authorisation import authorisation
from releases.queries.rollback_causes import cause_of, raiser_of, seen_of
from releases.queries.rollback_communication import communications, uncommunicated
from releases.queries.rollback_digests import digests
from releases.queries.step_waves import BACK

PATH = ("raised", "assessed", "authorised", "running", "verifying", "monitoring", "reporting", "closed")
MAIN = {
    "raised": "rollback:assess",
    "assessed": "rollback:communicate rollback:authorise",
    "failed": "rollback:retry",
    "reporting": "rollback:assess rollback:communicate rollback:close",
}


def _measurements(rollback: Rollback) -> list[dict[str, Any]]:
    """Return each measurement before the alarm of the trigger's metric, oldest first."""
    trigger = rollback.facts.get("trigger", {})
    metric = trigger.get("metric", "")
    metrics = rollback.deployment.content.metrics
    unit = next((m.unit for m in metrics if m.key == metric), "")
    return [
        {
            "value": figure(measurement.get(metric, {}).get("value"), unit),
            "limit": figure(measurement.get(metric, {}).get("limit"), unit),
            "result": measurement.get(metric, {}).get("result", "no_data"),
        }
        for measurement in rollback.facts.get("measurements", [])
    ]


def _moments(rollback: Rollback) -> list[tuple[str, datetime | None, str]]:
    by_hand = [statement(entry) for entry in rollback.facts.get("manual_completions", [])]
    at = datetime.fromisoformat(rollback.facts["manual_completions"][-1]["at"]) if by_hand else None
    let = authorisation(rollback)
    agreed = [
        (_("Late rollback approved"), datetime.fromisoformat(entry["at"]), entry["name"])
        for entry in confirmations(rollback)
    ]
    return [
        (_("Outage begins"), rollback.outage_began_at, ""),
        (_("Raised"), rollback.raised_at, raiser_of(rollback)),
        *agreed,
        (_("Authorised"), let.at if let else None, let.words if let else ""),
        (_("Started"), rollback.started_at, ""),
        (_("Restored"), rollback.restored_at, ""),
        *([(_("Completed manually"), at, listed(by_hand))] if by_hand else []),
        (_("Closed"), rollback.closed_at, ""),
    ]


def who_next(rollback: Rollback, decider: TeamMember | None) -> str:
    """Return who must act next."""
    match rollback.state:
        case "raised":
            return _("The release manager assesses the rollback: impact, method and timing.")
        case "assessed":
            if needed := missing(rollback):
                return _("Monitoring has ended. Approval is still needed from: %(who)s") % {"who": words_for(needed)}
            if open_ := uncommunicated(rollback):
                return _("Not communicated yet: %(items)s") % {"items": listed(open_)}
            text = _("%(who)s (rollback decision maker) authorises the rollback.")
            return text % {"who": decider.account if decider else "—"}
        case "authorised" | "running" | "verifying":
            if rollback.state == "authorised" and (why := why_not_approved(rollback)):
                return why
            return _("No action is needed: the rollback is in progress.")
        case "monitoring":
            return _("No action is needed: monitoring after the rollback is in progress.")
        case "failed":
            if counting(rollback):
                return _("Another operator confirms that the rollback was completed manually.")
            return _(
                "An operator retries the failed step, or records that the rollback was completed manually. A "
                "second operator confirms the manual completion."
            )
        case "reporting":
            return _("Report, cause and prevention are written, checked and approved; then the rollback is closed.")
    return ""


@page
def rollback(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one rollback."""
    row = found_or_404(
        request,
        Rollback.objects.select_related(
            "deployment__release__application",
            "deployment__procedure",
            "deployment__environment",
            "deployment__application",
            "deployment__approval_request",
            "raised_by",
            "assessed_by",
            "authorised_by",
        ).prefetch_related("documents__edited_by", "documents__signatures__account"),
        pk=pk,
    )
    deployment = row.deployment
    rights, zone = rights_of(request).about(row), deployment.environment.zone
    sees, logs = rights.sees(deployment.environment), rights.sees(deployment.environment, "read_logs")
    team = list(TeamMember.objects.filter(release=deployment.release).select_related("account"))
    decider = next((entry for entry in team if entry.team_role == TeamMember.TeamRole.ROLLBACK_DECISION_MAKER), None)
    monitoring_periods = list(row.monitoring_periods.order_by("pk")) if sees else []
    for monitoring in monitoring_periods:
        monitoring.deployment = deployment
    documents = list(row.documents.all())
    return show(
        request,
        "pages/rollback/rollback.html",
        str(row),
        updates=updates(
            request.user,
            *(row, deployment, deployment.release, *deployment.steps.filter(phase__in=BACK)),
            every=30 if row.state == "monitoring" else 0,
        ),
        rollback=row,
        deployment=deployment,
        zone=zone,
        stops=stations(row, PATH),
        cause=cause_of(row),
        seen=seen_of(row),
        next_words=who_next(row, decider),
        main=MAIN.get(row.state, ""),
        logs=logs,
        # Persons who check a report must read it; for others its excerpts of the log are hidden, like the log.
        closed=not logs and not rights.may("check_document", deployment.environment),
        team=team,
        measurements=_measurements(row) if sees else [],
        discarded_rows=sorted(row.facts.get("rows", {}).items()),
        digests=(row.facts.get("digests") or (digests(deployment) if row.started_at else {})) if sees else {},
        moments=_moments(row),
        accepted_problems=troubles(row.facts["manual_completions"][-1])
        if "measured" in row.facts.get("manual_completions", [{}])[-1]
        else [],
        communications=communications(row),
        steps=list(deployment.steps.filter(phase__in=["rollback", "rollback_verification"])),
        monitoring_periods=[(w, drawings(w, rows_of(w, MEASUREMENTS))) for w in monitoring_periods],
        documents=documents,
        history=history_of([row, *documents], 40, zone=zone),
    )
