"""decision_request:escalate, decision_request:expire: how a decision request goes on to the next person, and how it
ends.

It is made inside the operation that lets the deployment wait, and answered inside the operation of the decision.
"""

from datetime import datetime, timedelta
from functools import partial

from audit.clock import now
from audit.operation import Operation, operation
from audit.refusals import NotPossible
from environments.targets.words import gettext as _, gettext_noop
from releases import dispatch
from releases.models import DecisionRequest, Deployment, Rollback, Step
from releases.operations.poll.retry_limit import with_retry_limit
from releases.operations.rollback.decide import raise_
from releases.queries.decision_request import agreed_on_timeout, asked_of, last_rollback_start
from releases.queries.rollback_causes import NO_RESPONSE

# The least time that a person has to answer, however late it is.
LEAST = timedelta(minutes=1)


def create(op: Operation, deployment: Deployment, step: Step, *, minutes: float | None = None) -> DecisionRequest:
    """Ask the first person of the team how a waiting deployment goes on, inside an open operation.

    The answer is due after the procedure's minutes (or `minutes`, where these are more), and not later than the last
    moment from which the rollback still fits into the window. What happens without an answer was
      approved.
    """
    moment, content = now(), deployment.content
    due = moment + timedelta(minutes=max(minutes or 0, content.rollback.decision_request_minutes))
    if (safe := last_rollback_start(deployment)) is not None:
        due = max(moment + LEAST, min(due, safe))
    decision_request = DecisionRequest.objects.create(
        deployment=deployment, step=step, requested_at=moment, due_at=due, on_timeout=agreed_on_timeout(deployment)
    )
    op.details["decision_request"] = decision_request.pk
    op.details["asked"] = [str(entry) for entry in asked_of(decision_request)]
    return decision_request


def escalation_level(decision_request: DecisionRequest, moment: datetime) -> int:
    """Return how many team roles should have been asked by a moment: each has an equal share of the time."""
    share = (decision_request.due_at - decision_request.requested_at) / len(DecisionRequest.ORDER)
    return min(len(DecisionRequest.ORDER), 1 + int((moment - decision_request.requested_at) / share))


def escalate_or_expire(moment: datetime) -> None:
    """Escalate open decision requests to the next of the team, and end those without an answer (called by the poll)."""
    for decision_request in DecisionRequest.objects.filter(answered_at=None).select_related("deployment"):
        if decision_request.deployment.state != "awaiting_decision" or moment >= decision_request.due_at:
            follow = partial(_expire, decision_request)
        elif escalation_level(decision_request, moment) > decision_request.roles_asked:
            follow = partial(_escalate, decision_request.pk, moment)
        else:
            continue
        with_retry_limit("decision_request", decision_request, follow, deployment_id=decision_request.deployment_id)


def _escalate(request_id: int, moment: datetime) -> None:
    with operation("decision_request:escalate", (DecisionRequest, request_id)) as op:
        decision_request = op.get(DecisionRequest)
        before = asked_of(decision_request)
        decision_request.roles_asked = max(decision_request.roles_asked, escalation_level(decision_request, moment))
        op.details["asked"] = [str(entry) for entry in asked_of(decision_request) if entry not in before]
        op.details["until"] = decision_request.due_at.isoformat()


def _expire(seen: DecisionRequest) -> None:
    run = seen.deployment
    goes_back = run.state == "awaiting_decision" and seen.on_timeout == "roll_back"
    alarm = Rollback.objects.filter(deployment=run).exclude(state__in=list(Rollback.ENDS)).first()
    if goes_back and alarm is None:
        # The alarm comes first and the end of the request second: a scheduler that dies between the two finds the
        # request again.
        try:
            text = _("No one responded in time, so the deployment is rolled back as approved.")
            raise_(run.pk, cause=NO_RESPONSE, note=text)
        except NotPossible:
            return  # decided meanwhile
    raised = [(Rollback, alarm.pk)] if goes_back and alarm is not None else []
    with operation("decision_request:expire", (DecisionRequest, seen.pk), (Deployment, run.pk), *raised) as op:
        decision_request, deployment = op.get(DecisionRequest), op.get(Deployment)
        if decision_request.answered_at is not None:
            return
        decision_request.answered_at = now()
        decision_request.answer = (
            decision_request.on_timeout if deployment.state == "awaiting_decision" else deployment.state
        )
        op.details["default"] = decision_request.answer
        if raised and deployment.state == "awaiting_decision":
            # A rollback that a person has raised starts as pre-authorised too; rows written since then are counted
            # again.
            rollback = op.get(Rollback)
            rollback.facts = {key: value for key, value in rollback.facts.items() if not key.startswith("rows")}
            dispatch.wake_on_commit(deployment.environment.slug, "prepare_rollback", rollback_id=rollback.pk)
        if deployment.state == "awaiting_decision" and decision_request.on_timeout == "keep":
            deployment.blockers = [
                gettext_noop("No one responded in time, so the deployment stays as it is, as approved.")
            ]
