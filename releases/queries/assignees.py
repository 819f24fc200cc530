"""Who must act on an event, and to whom it goes on when they do not."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Model, Q

from audit.clock import now
from environments import access
from environments.models import AccessRequest, Account, ChangeFreeze, Environment
from environments.sign_in_names import accounts_named
from releases.gates import quorum
from releases.gates.base import final_check_of
from releases.models import (
    ApprovalDecision,
    ApprovalRequest,
    DecisionRequest,
    Deployment,
    Milestone,
    MonitoringPeriod,
    Notification,
    PollFailure,
    Release,
    Rollback,
    TeamMember,
)
from releases.queries.decision_request import asked_of
from releases.queries.milestone_dates import TURNS
from releases.queries.notification_subject import Subject, subject_of, thing_of
from releases.queries.step_plan import production_of

# Who hears of it when those who must act do not.
NEXT = {
    "release:submit": ("release_manager",),
    "approval:request": ("release_manager",),
    "access:request": ("release_manager",),
    "poll:suspend": ("release_manager",),
    "monitoring:report_no_data": ("release_manager",),
    "milestone:remind": ("project_manager",),
    "waiver:request": ("release_manager",),
    "rollback:raise": ("release_manager", "project_manager"),
    "freeze:request_lift": ("project_manager",),
    "notification:await_external_approval": ("release_manager", "project_manager"),
}
# Questions to the team go on by themselves, and have their own deadline.
ALONE = ("deployment:await_decision", "decision_request:escalate")
ASKED_AGAIN, MOST = 2, 6


def assignees(event: str, subject: Subject, payload: dict[str, Any]) -> list[Account]:
    """Return the persons who must act on an event, or whom it concerns, as things stand now."""
    thing = thing_of(event, subject, payload)
    with access.about(thing, subject.row):
        return _assignees(event, subject, payload, thing)


def _assignees(event: str, subject: Subject, payload: dict[str, Any], thing: Model | None) -> list[Account]:
    match event, thing:
        case (("release:submit" | "approval:request"), ApprovalRequest()):
            return quorum.asked(thing)
        case "access:request", AccessRequest():
            return holding("manage_access", thing.environment, without=thing.account)
        case "release:end_approval", _:
            return _had_approved(payload)
        case "milestone:remind", Milestone():
            return _reaching(thing)
        case (("window:create_freeze" | "freeze:lift"), ChangeFreeze()):
            return _touched(thing, payload)
        case "freeze:request_lift", ChangeFreeze():
            return holding("plan", thing.environment, without=thing.lift_requested_by)
        case "procedure:report_overdue", _:
            return list({one.pk: one for one in (*holding("manage_access"), *holding("plan"))}.values())
        case (("ledger:alarm" | "procedure:restore" | "account:use_break_glass"), _):
            return list({one.pk: one for one in (*holding("manage_accounts"), *holding("audit"))}.values())
        case "waiver:request", _:
            return holding("confirm_waiver", without=getattr(thing, "requested_by", None))
        case (("deployment:await_decision" | "decision_request:escalate"), DecisionRequest()):
            named = _named(thing)
            asked = [entry.account for entry in asked_of(thing) if entry.account not in named]
            return [*named, *asked] or _operators(thing.deployment.environment)
        case "poll:suspend", PollFailure():
            deployment = thing.deployment
            return _operators(deployment.environment) if deployment is not None else holding("prepare")
        case "monitoring:report_no_data", MonitoringPeriod():
            deployment = thing.deployment
            team = [entry.account for entry in TeamMember.objects.filter(release=deployment.release_id)]
            return list(dict.fromkeys(team)) or _operators(deployment.environment)
        case "drift:detect", _:
            return _operators(getattr(subject.row, "environment", None))
        case "job:refuse", _:
            return _operators(subject.row if isinstance(subject.row, Environment) else None)
        case "rollback:raise", Rollback():
            return _deciders(thing)
        case "notification:await_external_approval", Notification():
            kept_out = {thing.cause, thing.writer, thing.release.author.person_key if thing.release else ""}
            return [one for one in holding("approve_external") if not kept_out & one.identities]
        case (("notification_channel:mark_unavailable" | "notification_channel:mark_available"), _):
            return holding("configure_notifications")
    return []


def reminder_recipients(root: Notification) -> list[Account]:
    """Return the persons whom a reminder of a notification goes to."""
    subject = subject_of(root.object)
    return assignees(root.event, subject, root.payload) if subject is not None else []


def escalation_recipients(root: Notification) -> list[Account]:
    """Return the persons to whom a notification escalates; the people who must act are notified once more beside
    them.
    """
    subject = subject_of(root.object)
    environment = subject.deployment.environment if subject is not None and subject.deployment is not None else None
    found = {one.pk: one for one in reminder_recipients(root)}
    with access.about(subject.row if subject is not None else None):
        for role in NEXT.get(root.event, ("release_manager",)):
            found |= {one.pk: one for one in access.holders_based_on(role, environment)}
    return list(found.values())


def reminder_delay(event: str, payload: dict[str, Any], urgent: bool) -> timedelta | None:
    """Return after what time something undone is told again; None where it never is, or has leads of its own."""
    if event in ALONE or event not in NEXT or (event == "milestone:remind" and payload.get("lead_hours") != 0):
        return None
    if event == "approval:request" and "stage" in payload:
        return None  # the reminder is for those asked first, and then for those asked by now
    return timedelta(minutes=settings.REMINDER_MINUTES_URGENT if urgent else settings.REMINDER_MINUTES)


def holding(right: str, environment: Environment | None = None, without: Account | None = None) -> list[Account]:
    """Return the persons with a right, but for one of them."""
    found = access.holders_with(right, environment)
    return [one for one in found if without is None or not one.is_among(without.identities)]


def _operators(environment: Environment | None) -> list[Account]:
    """Return the operators of an environment; where no role is based on them, those who decide about its
    deployments.
    """
    found = access.holders_based_on("operator", environment)
    return found or (holding("decide", environment) if environment is not None else holding("prepare"))


def _reaching(milestone: Milestone) -> list[Account]:
    """Return the persons who take a release over the edge that a milestone guards, in the state that it is in."""
    release, found = milestone.release, dict[int, Account]()
    permission = TURNS[milestone.guards].get(release.state, "prepare")
    if permission == "approve":
        for approval_request in release.approval_requests.filter(state="in_review"):
            found |= {one.pk: one for one in quorum.asked(approval_request)}
        return list(found.values())
    if permission == "sign_final_check":
        rows = release.final_checks.filter(invalidated_at=None, account__is_active=True)
        for role in sorted(set(final_check_of(release).signers) - set(rows.values_list("role", flat=True))):
            found |= {one.pk: one for one in access.holders(role, production_of(release))}
        return list(found.values())
    return holding(permission, production_of(release) if permission == "schedule" else None)


def _had_approved(payload: dict[str, Any]) -> list[Account]:
    """Return the persons whom the end of an approval concerns: author, requester, deciders, and those still asked."""
    found: dict[int, Account] = {}
    for approval_request in ApprovalRequest.objects.filter(pk__in=payload.get("approval_requests", [])).select_related(
        "release__author"
    ):
        words = ApprovalDecision.objects.filter(approval_request=approval_request).select_related(
            "account", "on_behalf"
        )
        spoke = [person for word in words for person in (word.account, word.on_behalf) if person is not None]
        author = [approval_request.release.author] if approval_request.release is not None else []
        found |= {
            one.pk: one for one in (*author, approval_request.requested_by, *spoke, *quorum.asked(approval_request))
        }
    return list(found.values())


def _touched(freeze: ChangeFreeze, payload: dict[str, Any]) -> list[Account]:
    """Return the persons whom a freeze concerns: planners of its environment, and participants of releases planned
    inside it.
    """
    found: dict[int, Account] = {}
    moment = now()
    for row in ChangeFreeze.objects.filter(pk__in=payload.get("freezes", [freeze.pk])).select_related("environment"):
        found |= {one.pk: one for one in holding("plan", row.environment)}
        times = [(span.starts_at, span.ends_at) for span in row.spans(moment)]
        whom = {"application": row.application_id} if row.application_id is not None else {}
        deployments = Deployment.objects.filter(environment=row.environment, state__in=["scheduled", "queued"], **whom)
        for deployment in deployments.select_related("requested_by", "scheduled_by"):
            if deployment.scheduled_start_at is not None and any(
                begins <= deployment.scheduled_start_at < ends for begins, ends in times
            ):
                found |= {one.pk: one for one in (deployment.requested_by, deployment.scheduled_by) if one is not None}
        planned = Release.objects.filter(
            Q(scheduled_end_at__gt=moment) | ~Q(later_windows={}), state__in=Release.PREPARING, **whom
        )
        for release in planned.select_related("author") if row.environment.protected else ():
            start, end = release.window_in(row.environment)
            if start and end and any(begins < end and start < ends for begins, ends in times):
                team = [entry.account for entry in release.team_members.select_related("account")]
                found |= {one.pk: one for one in (release.author, *team)}
    return list(found.values())


def _named(decision_request: DecisionRequest) -> list[Account]:
    """Return who confirms the step that a run waits for, where only a person can do it."""
    if decision_request.step.step_type != "manual":
        return []
    if role := decision_request.step.parameters.get("role"):
        return access.holders(role, decision_request.deployment.environment)
    return list(accounts_named(decision_request.step.parameters.get("person") or "").filter(is_active=True))


def _deciders(rollback: Rollback) -> list[Account]:
    deployment = rollback.deployment
    named = TeamMember.objects.filter(
        release=deployment.release_id, team_role=TeamMember.TeamRole.ROLLBACK_DECISION_MAKER
    ).select_related("account")
    deciders = [entry.account for entry in named] or holding("authorise_rollback", deployment.environment)
    found = {one.pk: one for one in [*deciders, *holding("assess_rollback")]}
    return list(found.values())
