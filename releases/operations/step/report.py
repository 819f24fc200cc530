"""step:report: a pipeline that deploys by itself says what became of it."""

from typing import Literal, get_args

from audit.operation import NothingToDo, operation
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.models import Account
from environments.targets.words import gettext as _
from releases import dispatch
from releases.models import Deployment, Step
from releases.step_types.external import ExternalParameters

Result = Literal["succeeded", "failed"]
MOST_CHARACTERS = 500


def report(deployment_id: int, *, key: str, result: Result, url: str = "", says: str = "") -> Step:
    """Record the report for the step of a deployment that waits for one; a worker then goes on at once.

    key: key_of the step. url: of the pipeline's run. says: its own words. The same report again changes nothing. Raises
    NotPermitted, NotPossible, InvalidInput.
    """
    unlocked = waiting_step(deployment_id)
    targets: list[tuple[type, int]] = [(Deployment, deployment_id)]
    targets += [(Step, unlocked.pk)] if unlocked is not None else []
    with operation("step:report", *targets) as op:
        deployment = op.get(Deployment)
        account = access.require("start", deployment.environment)
        if unlocked is None:
            raise NotPossible(_("No step of this deployment waits for a report."))
        step = op.get(Step)
        if why := why_not_permitted(account, step):
            raise NotPermitted(why)
        if result not in get_args(Result):
            raise InvalidInput(_("A report says “succeeded” or “failed”."))
        if max(len(url), len(says)) > MOST_CHARACTERS:
            raise InvalidInput(_("Shorten the text to at most %(number)d characters.") % {"number": MOST_CHARACTERS})
        given = {"result": result, "url": url, "says": says, "by": account.username}
        if key != key_of(step):
            raise NotPossible(_("This report is not for the attempt that waits for one. Send the key that waits now."))
        if step.reported == given:
            raise NothingToDo
        if step.state != "running" or step.owner or step.reported:
            raise NotPossible(_("No step of this deployment waits for a report."))
        op.details.update(given)
        step.reported = given
        # The pause is over: any worker takes the step up again.
        step.lease_until = op.at
        dispatch.wake_on_commit(deployment.environment.slug, "run_step", step_id=step.pk)
    return step


def waiting_step(deployment_id: int) -> Step | None:
    """Return the step of a deployment that waits for a report."""
    waiting = Step.objects.filter(deployment=deployment_id, step_type="external", state="running", owner="")
    return waiting.order_by("ordinal").first()


def key_of(step: Step) -> str:
    """Return the word by which a report names the attempt that waits for it."""
    return f"{step.ordinal}-{step.fencing_token}"


def why_not_permitted(account: Account, step: Step) -> str:
    """Return why an account may not report for a step; empty where it may."""
    if account.kind != Account.Kind.SERVICE:
        return _("Only a service account reports for a pipeline.")
    named = ExternalParameters(**step.parameters).account
    if named is not None and named != account.username:
        return _("Only %(who)s reports for this step.") % {"who": named}
    return ""
