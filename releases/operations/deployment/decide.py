"""deployment:fail, deployment:stop, deployment:succeed: a deployment ends by a decision or without monitoring."""

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import Operation, operation
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.models import Account
from releases.models import DecisionRequest, Deployment


def fail(deployment_id: int, *, reason: str) -> Deployment:
    """End a waiting run; what remains is to go back or to settle."""
    with operation("deployment:fail", (Deployment, deployment_id), reason=reason, sign=True) as op:
        deployment = op.get(Deployment)
        account = require_decider(deployment, reason)
        deployment.fail()
        op.notify_as("deployment:fail")
        DecisionRequest.close_open(deployment, "deployment:fail", account, now())
        deployment.cancel_rest(now())
    return deployment


def stop(deployment_id: int, *, reason: str) -> Deployment:
    """Stop a run: the running step is told to end, and nothing new begins."""
    with operation("deployment:stop", (Deployment, deployment_id), reason=reason) as op:
        deployment = op.get(Deployment)
        stop_within_operation(op, deployment, access.require("stop", deployment.environment))
    return deployment


def stop_within_operation(op: Operation, deployment: Deployment, account: Account | None = None) -> None:
    """Stop a run inside an open operation (account: whose word that is); where no step of it runs it is stopped at once."""
    deployment.stop()
    DecisionRequest.close_open(deployment, "deployment:stop", account, now())
    # A pause is held by no worker: nothing would have to end, and nobody is there to tell.
    for pause in deployment.steps.filter(state="running", owner=""):
        pause.stop()
        pause.ended_at, pause.lease_until = now(), None
        pause.save()
    if deployment.steps.filter(state="running").exists():
        return
    deployment.save()
    deployment.mark_stopped()
    deployment.cancel_rest(now())
    op.states[Deployment, deployment.pk] = "stopping"


def succeed(deployment_id: int) -> Deployment:
    """End a verified run of an environment that asks for no watch; the worker's verb."""
    with operation("deployment:succeed", (Deployment, deployment_id)) as op:
        deployment = op.get(Deployment)
        deployment.succeed()
        deployment.ended_at = now()
    return deployment


def require_decider(deployment: Deployment, reason: str) -> Account:
    """Return the person who acts, where they may decide how a waiting deployment goes on; raises a refusal."""
    account = access.require("decide", deployment.environment)
    if deployment.state != "awaiting_decision":
        raise NotPossible(_("This deployment is not awaiting a decision."))
    if why := why_not_permitted(account, deployment):
        raise NotPermitted(why)
    if not reason.strip():
        raise InvalidInput(_("Enter a reason."))
    return account


def why_not_permitted(account: Account, deployment: Deployment) -> str:
    """Return why a person may not decide how a run goes on; empty when he may."""
    if deployment.was_started_by(account):
        return _("You have scheduled this deployment; another person must decide.")
    return ""
