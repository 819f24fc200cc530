"""deployment:fail, deployment:stop, deployment:succeed: a deployment ends by a decision or without monitoring."""

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import Operation, operation
from audit.plain import is_blank
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.models import Account
from releases.models import DecisionRequest, Deployment


def fail(deployment_id: int, *, reason: str) -> Deployment:
    """Mark a waiting deployment as failed; what remains is to roll it back or to resolve it."""
    with operation("deployment:fail", (Deployment, deployment_id), reason=reason, sign=True) as op:
        deployment = op.get(Deployment)
        account = require_decider(deployment, reason)
        deployment.fail()
        op.notify_as("deployment:fail")
        DecisionRequest.close_open(deployment, "deployment:fail", account, now())
        deployment.cancel_rest(now())
    return deployment


def stop(deployment_id: int, *, reason: str) -> Deployment:
    """Stop a deployment: the running step is ended, and no further step begins."""
    with operation("deployment:stop", (Deployment, deployment_id), reason=reason) as op:
        deployment = op.get(Deployment)
        stop_within_operation(op, deployment, access.require("stop", deployment.environment))
    return deployment


def stop_within_operation(op: Operation, deployment: Deployment, account: Account | None = None) -> None:
    """Stop a deployment inside an open operation, at once where no step of it runs. account: the person who decided."""
    deployment.stop()
    DecisionRequest.close_open(deployment, "deployment:stop", account, now())
    # No worker holds a pause: there is no process to end or to signal.
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
    """Succeed a verified deployment in an environment without monitoring; called by the worker."""
    with operation("deployment:succeed", (Deployment, deployment_id)) as op:
        deployment = op.get(Deployment)
        deployment.succeed()
        deployment.ended_at = now()
    return deployment


def succeed_if_verified(deployment_id: int) -> None:
    """Succeed a deployment in an environment without monitoring, unless checks of another target still run."""
    if Deployment.objects.filter(pk=deployment_id, state="monitoring").exists():
        succeed(deployment_id)


def require_decider(deployment: Deployment, reason: str) -> Account:
    """Return the current person, where they may decide how a waiting deployment goes on; raises a refusal."""
    account = access.require("decide", deployment.environment)
    if deployment.state != "awaiting_decision":
        raise NotPossible(_("This deployment is not awaiting a decision."))
    if why := why_not_permitted(account, deployment):
        raise NotPermitted(why)
    if is_blank(reason):
        raise InvalidInput(_("Enter a reason."))
    return account


def why_not_permitted(account: Account, deployment: Deployment) -> str:
    """Return why a person may not decide how a deployment goes on; empty when they may."""
    if deployment.was_started_by(account):
        return _("You have scheduled this deployment; another person must decide.")
    return ""
