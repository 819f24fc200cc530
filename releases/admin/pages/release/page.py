"""The release page: its status, its blockers, who must act next, and everything that belongs to it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Model, prefetch_related_objects
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _, ngettext

from audit.clock import now
from environments.admin.rights import found_or_404, page, rights_of
from environments.attach_related import attach_accounts, attach_related
from environments.language import language, listed
from environments.models import AccessRule, Application, Environment
from environments.models.role import role_names
from environments.roles import LEVELS
from releases.admin.components.change_history import history_of
from releases.admin.components.formatting import show, stations
from releases.admin.components.live import updates
from releases.admin.pages.approval_request.rows import Standing, standing_of
from releases.admin.pages.release.board import at_hand, board_of
from releases.admin.pages.release.content import commit_shown, content_of
from releases.admin.pages.retention.page import kept_until
from releases.admin.pages.sign.page import waiting_rows
from releases.gates import quorum
from releases.gates.base import Answer, Known
from releases.gates.evaluation import evaluate
from releases.gates.evidence import matrix as matrix_of_tests
from releases.models import ApprovalRequest, Deployment, Procedure, Release, Rollback, TeamMember
from releases.models.waiver import NOTIFICATIONS_SENT
from releases.operations.deployment.request import right_for
from releases.operations.release.sign_final_check import announcement_of, facts_now, words_of_item
from releases.procedures.document import Procedure as Content
from releases.queries.changes_since import chosen
from releases.queries.reviewed_requests import reading_of
from releases.queries.rollback_plan import faults, migrations_of
from releases.queries.step_plan import production_of
from releases.queries.waivable import waivable_in

PATH = (*Release.UNDER_WAY, "completed")
BELONGING = (
    "editors changes checklist team_members documents__signatures final_checks milestones follow_ups waivers facts "
    "approval_requests deployments merge_requests"
)
PHASES = ("deployment", "verification", "rollback", "rollback_verification")
# Only the newest deployments and events; the others are on their lists.
SHOWN = 25
SHORT_PATH = ("draft", "scope_locked", "testing_completed", "closed")


@dataclass(frozen=True)
class Row:
    """One gate in every environment that the release is bound for; None where it does not apply."""

    label: str
    anchor: str
    cells: list[tuple[Environment, Answer | None]]


def matrix(asked: list[tuple[Environment, list[Answer]]]) -> list[Row]:
    """Return gate × environment from each environment's results, in the order of the procedure."""
    keys: dict[str, Answer] = {}
    for _environment, found in asked:
        for answer in found:
            keys.setdefault(answer.gate, answer)
    columns = [(environment, {answer.gate: answer for answer in found}) for environment, found in asked]
    return [
        Row(a.label_ja if language() == "ja" else a.label_en, a.anchor, [(e, column.get(key)) for e, column in columns])
        for key, a in keys.items()
    ]


def next_environment(asked: list[tuple[Environment, list[Answer]]], verified: set[int]) -> int:
    """Return the index of the first environment where the release is not verified yet; the last one otherwise."""
    for index, (environment, _found) in enumerate(asked):
        if environment.pk not in verified:
            return index
    return len(asked) - 1


def who_next(
    release: Release, content: Content | None, standing: Standing | None, deployments: list[Deployment]
) -> str:
    """Return who must act next."""
    roles = role_names()
    match release.state:
        case "draft":
            return _("%(who)s completes the draft and locks the scope.") % {"who": release.author}
        case "scope_locked":
            return _(
                "The release team gathers test results, checklist and documents; then the release manager "
                "completes testing."
            )
        case "testing_completed":
            return (
                _("The release manager submits the release for approval.")
                if release.bound_for_production
                else _("The release manager closes the release without production.")
            )
        case "in_review" if standing is not None:
            names = listed(str(a) for a in standing.candidates) or _("none")
            text = _("Approval is missing: %(missing)s. Eligible approvers: %(names)s.")
            return text % {"missing": standing.missing_words, "names": names}
        case "approved":
            signed = {row.role for row in release.final_checks.all() if row.invalidated_at is None}
            asked = content.final_check_of(release.kind, release.risk) if content is not None else None
            signers = asked.signers if asked is not None else ()
            waiting = [roles.get(role, role) for role in signers if role not in signed]
            if not waiting:
                return _("The final check asks for no further signature: it is completed within a minute.")
            return _("The final check waits for: %(roles)s.") % {"roles": listed(waiting)}
        case "final_check_completed":
            deployment = next(
                (r for r in deployments if r.environment.protected and r.state in Deployment.WAITING_TO_RUN), None
            )
            if deployment is None:
                text = _("The production deployment has not been requested. Roles that can request it: %(roles)s.")
                return text % {"roles": listed(roles[role] for role in roles_for_deployment(release)) or "—"}
            if deployment.state == "requested":
                return _("An operator who has not approved the release schedules the production deployment.")
            return _("The production deployment starts automatically at the scheduled start.")
        case "releasing" | "monitoring":
            return _next_deployment(deployments)
        case "rolled_back":
            return _after_rollback(release, deployments)
    return ""


def roles_for_deployment(release: Release) -> list[str]:
    """Return the roles that may request its production deployment, in their usual order."""
    places = Environment.objects.of(release.application_id).filter(tier="production")
    held = {
        rule.role_id
        for rule in AccessRule.objects.filter(environment__in=places).select_related("environment")
        if right_for(rule.environment) in LEVELS[rule.level]
    }
    return [key for key in role_names() if key in held]


def _after_rollback(release: Release, deployments: list[Deployment]) -> str:
    """Return what is left to do after a rollback."""
    said = []
    if any(
        back.state not in Rollback.ENDS for deployment in deployments[:SHOWN] for back in deployment.rollbacks.all()
    ):
        said.append(_("The release was rolled back. Monitor, report and close the rollback."))
    if due := sum(row.completed_at is None for row in release.follow_ups.all()):
        said.append(ngettext("%(n)d follow-up action is open.", "%(n)d follow-up actions are open.", due) % {"n": due})
    return " ".join(said)


def _next_deployment(deployments: list[Deployment]) -> str:
    deployment = next((r for r in deployments if r.environment.protected), None)
    if deployment is None:
        return ""
    return {
        "verifying": _("An operator other than the one who scheduled the deployment verifies the deployment."),
        "awaiting_decision": _("The deployment awaits the decision of an operator."),
        "failed": _("The deployment has failed: roll it back or resolve it."),
        "stopped": _("The deployment was stopped: roll it back or resolve it."),
        "rollback_failed": _("The rollback has failed: retry the rollback or resolve the deployment."),
        "monitoring": _("No action is needed: monitoring is in progress."),
        "running": _("No action is needed: the deployment is in progress."),
    }.get(deployment.state, "")


def _facts(release: Release, content: Content | None) -> list[dict[str, Any]]:
    """Return each item of the final check as measured now, with its label."""
    signing = release.state in ("approved", "final_check_completed")
    if content is None or not signing or not release.bound_for_production:
        return []
    measured = facts_now(release, connect=False)
    tones = {True: "passed", False: "failed"}
    announced = announcement_of(release, production_of(release))
    return [
        {
            "label": item.label(language()),
            "result": tones.get(measured[item.key], measured[item.key]),
            "text": words_of_item(measured[item.key]),
            "announced": announced if item.key == NOTIFICATIONS_SENT else None,
        }
        for item in content.final_check_of(release.kind, release.risk).items
    ]


def line(release: Release, moment: datetime) -> dict[str, Any]:
    """Return the timeline T-14 … T-0: each milestone with its place in per cent, and where now is."""
    rows = list(release.milestones.all())
    if not rows:
        return {}
    first, last = rows[0].due_at, max(rows[-1].due_at, release.scheduled_start_at or rows[-1].due_at)
    whole = max((last - first).total_seconds(), 1.0)
    count = max(len(rows) - 1, 1)
    marks = [
        {
            "milestone": row,
            # Even spacing: hours and weeks on one scale would overlap.
            "place": round(4 + index / count * 92, 2),
            "tone": "good" if row.done_at else "bad" if row.due_at < moment and not row.due_immediately else "going",
        }
        for index, row in enumerate(rows)
    ]
    passed = sum(1 for row in rows if row.due_at <= moment)
    share = (passed - 0.5) / count if 0 < passed < len(rows) else float(passed >= len(rows))
    return {"marks": marks, "now": round(4 + min(max(share, 0.0), 1.0) * 92, 2), "days": round(whole / 86400)}


def _content(release: Release) -> tuple[Procedure | None, Content | None]:
    row = release.procedure or Procedure.objects.of(release.application)
    return row, row.document if row is not None else None


def _attach(
    release: Release, deployments: list[Deployment], approval_requests: list[ApprovalRequest], known: Known
) -> None:
    """Attach the persons and places that everything on the page names, read once."""
    places = {place.pk: place for place in known.environments}
    for rows in (deployments, approval_requests, release.waivers.all()):
        attach_related(places, rows, "environment")
    attach_accounts(
        ([release], "author"),
        (release.changes.all(), "author"),
        (release.checklist.all(), "signed_by"),
        (release.team_members.all(), "account"),
        (release.documents.all(), "edited_by"),
        ([signature for document in release.documents.all() for signature in document.signatures.all()], "account"),
        (release.final_checks.all(), "account"),
        (release.milestones.all(), "done_by"),
        (release.follow_ups.all(), "completed_by"),
        (release.waivers.all(), "requested_by decided_by"),
        (known.evidence, "uploaded_by"),
        (deployments, "requested_by scheduled_by verified_by"),
        (approval_requests, "requested_by"),
        ([decision for request in approval_requests for decision in request.decisions.all()], "account on_behalf"),
    )


def _lacking(release: Release, environments: list[Environment], content: Content | None) -> str:
    """Return who is missing for the approvals, now or at T-0, in words; empty when the rules can be met."""
    early = release.state in ("draft", "scope_locked", "testing_completed", "in_review")
    if content is None or not early or not release.bound_for_production:
        return ""
    protected = [e for e in environments if e.protected]
    return quorum.words_for(quorum.lacking(release, protected[-1], content)) if protected else ""


def _uncounted(release: Release, approval_requests: Iterable[ApprovalRequest], moment: datetime) -> str:
    """Return why the given approvals will not count at T-0; empty when they will."""
    if release.state not in ("approved", "final_check_completed"):
        return ""
    at = max(release.scheduled_start_at or moment, moment)
    return " ".join(quorum.uncounted(one, at) for one in approval_requests if one.state == "approved")


def _criterion(release: Release, content: Content | None) -> str:
    items = content.criteria(release.kind) if content is not None else ()
    return next((item.label(language()) for item in items if item.key == release.criterion), release.criterion)


def _waivers(release: Release, content: Content | None, moment: datetime) -> list[dict[str, Any]]:
    """Return each waiver with its words: what is waived, its status, and its tone."""
    labels = {}
    if content is not None:
        labels = {key: ja if language() == "ja" else en for key, ja, en in waivable_in(content)}
    found = []
    for row in release.waivers.all():
        state, tone = _("waits for a second person"), "going"
        if row.rejected_at is not None:
            state, tone = _("rejected"), "bad"
        elif row.revoked_at is not None:
            state, tone = _("ended"), "calm"
        elif row.until <= moment:
            state, tone = _("expired"), "calm"
        elif row.approved_at is not None:
            state, tone = _("waived"), "warn"
        found.append(
            {
                "row": row,
                "label": labels.get(row.gate, row.gate),
                "state": state,
                "tone": tone,
                "live": tone in ("going", "warn"),
            }
        )
    return found


def _shown(release: Release, deployments: list[Deployment]) -> list[Model]:
    """Return the rows whose changes its page shows. Rows that are new point at one of these, evidence at the
    application.
    """
    documents = list(release.documents.all())
    own = (release.checklist, release.final_checks, release.milestones, release.waivers, release.facts)
    return [
        release,
        release.application,
        *deployments,
        *(rollback for deployment in deployments for rollback in deployment.rollbacks.all()),
        *documents,
        *(signature for document in documents for signature in document.signatures.all()),
        *(row for relation in (*own, release.follow_ups, release.merge_requests) for row in relation.all()),
    ]


@page
def release(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one release."""
    row = found_or_404(request, Release.objects.select_related("application", "procedure"), pk=pk)
    prefetch_related_objects([row], *BELONGING.split())
    rights, moment = rights_of(request).about(row), now()
    procedure, content = _content(row)
    known = Known(row, moment)
    if content is not None:
        known.content = content
    deployments, approval_requests = list(row.deployments.all()), list(row.approval_requests.all())
    prefetch_related_objects(approval_requests, "decisions__meeting")
    prefetch_related_objects(deployments[:SHOWN], "rollbacks")
    overdue = sorted(
        (debt for debt in known.open_follow_ups if debt.due_at < moment and debt.release_id != row.pk),
        key=lambda debt: debt.due_at,
    )
    _attach(row, deployments, approval_requests, known)
    row.places = known.places
    environments = [e for e in known.places if row.bound_for_production or e.tier != Environment.Tier.PRODUCTION]
    live = row.state not in Release.ENDS
    asked = [(e, evaluate(row, e, moment, known)) for e in environments] if content is not None and live else []
    verified = {r.environment_id for r in deployments if r.state in Deployment.VERIFIED}
    target = next_environment(asked, verified) if asked else -1
    blockers = [a for a in asked[target][1] if not a.passes] if asked else []
    standings = {r.pk: standing_of(r, rights) for r in approval_requests if r.state == "in_review"}
    open_request = next((r for r in approval_requests if r.state == "in_review"), None)
    standing = standings.get(open_request.pk) if open_request is not None else None
    configurations = chosen(row)
    shown = _shown(row, deployments[:SHOWN])
    bound = [place for place in environments if place.tier == "production"] or environments
    zone = bound[-1].zone if bound else ""
    team = {entry.team_role: entry for entry in row.team_members.all()}
    return show(
        request,
        "pages/release/release.html",
        str(row),
        updates=updates(request.user, *shown, *approval_requests),
        release=row,
        zone=zone,
        later_windows=[(p, *row.window_in(p)) for p in known.places if p.slug in row.later_windows],
        stops=stations(row, PATH if row.bound_for_production else SHORT_PATH),
        next_words=who_next(row, content, standing, deployments),
        board=(board := board_of(row, rights, known) if content is not None else None),
        main=at_hand(board, row, open_way=bool(asked) and not blockers),
        procedure=procedure,
        environments=environments,
        rows=matrix(asked),
        where=asked[target][0] if asked else None,
        blockers=blockers,
        line=line(row, moment),
        configurations=[(e, configurations.get(e.pk)) for e in environments],
        commit=commit_shown(row),
        artefact=row.artefact_to_deploy,
        contents=content_of(row, configurations, rights),
        forge=reading_of(known) if row.application.forge else None,
        dry_runs=[e for e in environments if rights.sees(e)],
        plan=[(phase, row.step_plan[phase]) for phase in PHASES if phase in row.step_plan],
        evidence=known.evidence[:SHOWN],
        evidence_left=len(known.evidence[SHOWN:]),
        matrix=matrix_of_tests(row, known) if content is not None and row.bound_for_production else [],
        lacking=_lacking(row, environments, content),
        uncounted=_uncounted(row, approval_requests, moment),
        overdue=overdue,
        waivers=_waivers(row, content, moment),
        criterion=_criterion(row, content),
        team=[(name, team.get(key)) for key, name in TeamMember.TeamRole.choices],
        approval_requests=[(r, standings.get(r.pk)) for r in approval_requests],
        open_request=open_request,
        standing=standing,
        facts=_facts(row, content),
        deployments=deployments[:SHOWN],
        deployments_left=len(deployments[SHOWN:]),
        emergency_stops=known.emergency_stops,
        to_sign=len(waiting_rows(row, rights, [(r, standings[r.pk]) for r in approval_requests if r.pk in standings])),
        migrations=migrations_of(row, known),
        rollback_faults=faults(row, known) if row.step_plan else [],
        kept=kept_until(row.created_at, content) if content is not None and not live else None,
        moment=moment,
        history=history_of(
            [
                *(one for one in shown if not isinstance(one, Application)),
                *(*approval_requests, *row.changes.all(), *row.team_members.all(), *known.evidence[:SHOWN]),
            ],
            SHOWN,
            zone=zone,
        ),
    )
