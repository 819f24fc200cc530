"""decision_request:escalate, decision_request:expire: what a waiting run asks of its roster, to whom it goes on, and how it ends.

A question is put inside the door that lets the run wait, and answered inside the door of the decision.
"""

from datetime import datetime, timedelta
from functools import partial

from audit.change import Act, change
from audit.clock import now
from audit.refusals import WrongState
from environments.models import Account
from releases import dispatch
from releases.actions.poll.limited import limited
from releases.actions.rollback.causes import NO_RESPONSE
from releases.actions.rollback.decide import raise_
from releases.gates.durations import Needed, durations
from releases.models import DecisionRequest, Deployment, Rollback, Step, TeamMember
from releases.steps.words import gettext as _, gettext_noop

# However late it is, somebody has this long to answer.
LEAST = timedelta(minutes=1)


def put(act: Act, deployment: Deployment, step: Step, *, minutes: float | None = None) -> DecisionRequest:
    """Ask the first of the roster how a waiting run goes on, inside an open door.

    The answer is due after the procedure's minutes (or `minutes`, where these are more), and not later than the last
    moment from which the way back still fits into the window (切戻し判断時刻); what happens without one was consented to.
    """
    moment, release, content = now(), deployment.release, deployment.procedure.document
    due = moment + timedelta(minutes=max(minutes or 0, content.rollback.question_minutes))
    if (safe := last_return(deployment)) is not None:
        due = max(moment + LEAST, min(due, safe))
    agreed = deployment.approval_request.document.get("on_timeout") if deployment.approval_request is not None else None
    question = DecisionRequest.objects.create(
        deployment=deployment, step=step, requested_at=moment, due_at=due, on_timeout=agreed or release.on_timeout
    )
    act.details["question"] = question.pk
    act.details["asked"] = [str(entry) for entry in asked_of(question)]
    return question


def answered(deployment: Deployment, answer: str, account: Account | None = None) -> None:
    """Close the open question of a run, inside an open door; the answer is the key of the act that gave it."""
    for question in DecisionRequest.objects.select_for_update(no_key=True).filter(
        deployment=deployment, answered_at=None
    ):
        question.answer, question.answered_by, question.answered_at = answer, account, now()
        question.save()


def asked_of(question: DecisionRequest) -> list[TeamMember]:
    """Return the entries of the roster that have been asked so far, in the order in which it goes on."""
    roster = TeamMember.objects.filter(release=question.deployment.release_id).select_related("account")
    by_duty = {entry.team_role: entry for entry in roster}
    return [by_duty[duty] for duty in DecisionRequest.ORDER[: question.roles_asked] if duty in by_duty]


def last_return(deployment: Deployment) -> datetime | None:
    """Return the last moment from which the way back still fits into the window; None without a window."""
    if deployment.window_end is None:
        return None
    return deployment.window_end - timedelta(seconds=back_needed(deployment).seconds)


def back_needed(deployment: Deployment) -> Needed:
    """Return how long the whole rollback of a deployment takes, and by what that was reckoned."""
    release = deployment.release
    return durations(release, deployment.environment_id).needed(
        release.step_plan, ("rollback", "rollback_verification")
    )


def level(question: DecisionRequest, moment: datetime) -> int:
    """Return how many duties should have been asked by a moment: each has an equal share of the time."""
    share = (question.due_at - question.requested_at) / len(DecisionRequest.ORDER)
    return min(len(DecisionRequest.ORDER), 1 + int((moment - question.requested_at) / share))


def follow_up(moment: datetime) -> None:
    """Let open questions go on to the next of the roster, and end those that nobody answered (the sweeper's act)."""
    for question in DecisionRequest.objects.filter(answered_at=None).select_related("deployment"):
        if question.deployment.state != "awaiting_decision" or moment >= question.due_at:
            follow = partial(_lapse, question)
        elif level(question, moment) > question.roles_asked:
            follow = partial(_escalate, question.pk, moment)
        else:
            continue
        limited("decision_request", question, follow, deployment_id=question.deployment_id)


def _escalate(question_id: int, moment: datetime) -> None:
    with change("decision_request:escalate", (DecisionRequest, question_id)) as act:
        question = act.get(DecisionRequest)
        before = asked_of(question)
        question.roles_asked = max(question.roles_asked, level(question, moment))
        act.details["asked"] = [str(entry) for entry in asked_of(question) if entry not in before]
        act.details["until"] = question.due_at.isoformat()


def _lapse(seen: DecisionRequest) -> None:
    run = seen.deployment
    goes_back = run.state == "awaiting_decision" and seen.on_timeout == "roll_back"
    alarm = Rollback.objects.filter(deployment=run).exclude(state__in=list(Rollback.ENDS)).first()
    if goes_back and alarm is None:
        # First the alarm, then the end of the question: a scheduler that dies between the two finds the question again.
        try:
            text = _("No one responded in time, so the deployment is rolled back as approved.")
            raise_(run.pk, cause=NO_RESPONSE, note=text)
        except WrongState:
            return  # decided meanwhile
    raised = [(Rollback, alarm.pk)] if goes_back and alarm is not None else []
    with change("decision_request:expire", (DecisionRequest, seen.pk), (Deployment, run.pk), *raised) as act:
        question, deployment = act.get(DecisionRequest), act.get(Deployment)
        if question.answered_at is not None:
            return
        question.answered_at = now()
        question.answer = question.on_timeout if deployment.state == "awaiting_decision" else deployment.state
        act.details["default"] = question.answer
        if raised and deployment.state == "awaiting_decision":
            # What a person has raised goes back as was agreed too; what has been written since is counted anew.
            rollback = act.get(Rollback)
            rollback.facts = {key: value for key, value in rollback.facts.items() if not key.startswith("rows")}
            dispatch.wake_on_commit(deployment.environment.slug, "prepare_rollback", rollback_id=rollback.pk)
        if deployment.state == "awaiting_decision" and question.on_timeout == "keep":
            deployment.blockers = [
                gettext_noop("No one responded in time, so the deployment stays as it is, as approved.")
            ]
