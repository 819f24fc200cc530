"""step:assign and step:confirm_manual: the named person, or one with the role, confirms a manual step."""

from collections.abc import Collection

from audit.clock import now
from audit.operation import operation
from audit.plain import is_blank
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.models import Account
from environments.models.role import role_names
from environments.sign_in_names import has_name
from environments.targets.words import gettext as _
from releases.models import DecisionRequest, Deployment, Step
from releases.operations.step.resume import resume_after
from releases.step_types.manual import ManualParameters


def confirm_manual(step_id: int, *, reason: str) -> Step:
    """Confirm a manual step with a note (`reason`), and let the deployment go on."""
    unlocked = Step.objects.get(pk=step_id)
    with operation(
        "step:confirm_manual", (Step, step_id), (Deployment, unlocked.deployment_id), reason=reason, sign=True
    ) as op:
        step, deployment = op.get(Step), op.get(Deployment)
        account = access.current_account()
        if why := why_not_permitted(account, step):
            raise NotPermitted(why)
        if deployment.state != "awaiting_decision":
            raise NotPossible(_("This deployment is not awaiting a decision."))
        if is_blank(reason):
            raise InvalidInput(_("Say what was done."))
        step.mark_succeeded()
        step.deployment = deployment
        moment = now()
        step.ended_at, step.failure = moment, ""
        step.decision = {"by": account.pk, "name": str(account), "verb": "step:confirm_manual", "reason": reason}
        step.result = {"confirmed_by": str(account), "confirmed_at": moment.isoformat(), "note": reason}
        op.signature(deployment.plan_digest)
        resume_after(op, step)
        DecisionRequest.close_open(deployment, "step:confirm_manual", account, now())
    return step


def assign(step_id: int, *, reason: str = "") -> Step:
    """Claim a manual step that a deployment waits for; a claim of another person is taken over with a reason."""
    unlocked = Step.objects.get(pk=step_id)
    with operation("step:assign", (Step, step_id), (Deployment, unlocked.deployment_id), reason=reason) as op:
        step, deployment = op.get(Step), op.get(Deployment)
        account = access.current_account()
        if why := not_named(account, step):
            raise NotPermitted(why)
        if deployment.state != "awaiting_decision" or step.state != "outcome_unknown":
            raise NotPossible(_("This deployment is not awaiting a decision."))
        if step.assignee is not None:
            if step.assignee.person_key == account.person_key:
                raise NotPossible(_("You have claimed this step already."))
            if is_blank(reason):
                raise InvalidInput(
                    _("%(name)s has claimed this step. Say why you take it over.") % {"name": step.assignee}
                )
            op.details["taken_over_from"] = str(step.assignee)
        step.assignee = account
    return step


def why_not_permitted(account: Account, step: Step, held: Collection[str] | None = None) -> str:
    """Return why a person may not confirm a step; empty when they may. A step that another person has claimed is
    refused.
    """
    if why := not_named(account, step, held):
        return why
    if step.assignee is not None and step.assignee.person_key != account.person_key:
        return _("%(name)s has claimed this step. Take it over first, with a reason.") % {"name": step.assignee}
    return ""


def not_named(account: Account, step: Step, held: Collection[str] | None = None) -> str:
    """Return why a step is not for a person; empty when it is. held: their roles there, where known.

    Where a role is named, the person who scheduled a deployment in a protected environment does not confirm it.
    """
    if step.step_type != "manual":
        return _("A worker runs this step; a person cannot confirm it.")
    wanted = ManualParameters(**step.parameters)
    environment = step.deployment.environment
    roles = access.roles_of(account, environment, step.deployment.application_id) if held is None else held
    named = wanted.role in roles
    if wanted.person is not None and has_name(account, wanted.person):
        named = access.may(account, "read", application=step.deployment.application_id)
    if not (named and account.is_active and account.kind == Account.Kind.PERSON):
        return _("Only %(who)s can confirm this step.") % {"who": role_names().get(wanted.role or "", wanted.who)}
    if wanted.role and environment.protected and step.deployment.was_started_by(account):
        return _("You have scheduled this deployment; another person confirms the step.")
    return ""
