"""deployment:verify: the second person confirms that a deployment is as it should be."""

from django.utils.translation import get_language, gettext as _

from audit.operation import operation
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.language import listed
from environments.models import Account
from releases.models import Deployment, Release, Step
from releases.operations.deployment.completion import reaches_monitoring, set_deployed_version, start_monitoring
from releases.operations.deployment.superseded import supersede, superseded_by
from releases.queries.every_target import unmeasured
from releases.queries.step_plan import manual_checks


def verify(deployment_id: int, *, confirmed: tuple[str, ...] = (), reason: str = "") -> Deployment:
    """Confirm, as another person than the starter, that the deployment is as it should be; the monitoring begins.

    confirmed: keys of the checks that only a person can make; each one is required. What was monitored there until now
    no longer runs: that monitoring is superseded, with all that its end brings about.
    """
    unlocked = Deployment.objects.filter(pk=deployment_id).first()
    if unlocked is None:
        raise InvalidInput(_("This deployment does not exist."))
    earlier = superseded_by(unlocked)
    own: tuple[tuple[type, int], ...] = ((Deployment, deployment_id), (Release, unlocked.release_id))
    with operation("deployment:verify", *own, *earlier.targets, reason=reason, sign=True) as op:
        deployment, release = op.get(Deployment, deployment_id), op.get(Release, unlocked.release_id)
        account = access.require("verify", deployment.environment)
        if why := why_not_permitted(account, deployment):
            raise NotPermitted(why)
        if deployment.state != "verifying":
            text = _("This operation is not possible in the state “%(state)s”.")
            raise NotPossible(text % {"state": deployment.get_state_display()})
        open_steps = deployment.steps.filter(phase__in=["deployment", "verification"]).exclude(state__in=Step.FINISHED)
        if open_steps.exists():
            raise NotPossible(_("The checks are not finished yet."))
        asked = manual_checks(deployment.content, "deployment")
        missing = [c for c in asked if c.required and c.key not in confirmed]
        if missing:
            language = get_language() or "ja"
            raise InvalidInput(_("Not confirmed: %(items)s") % {"items": listed(c.label(language) for c in missing)})
        if not deployment.measured.get("verification"):
            raise GateNotPassed(
                _("The deployment target was not measured after the last check. Roll back or resolve the deployment.")
            )
        if missing_targets := unmeasured(deployment, "verification"):
            text = _("Not measured after the last check: %(targets)s. Roll back or resolve the deployment.")
            raise GateNotPassed(text % {"targets": listed(missing_targets)})
        op.signature(deployment.plan_digest)
        op.details["confirmed"] = list(confirmed)
        deployment.start_monitoring()
        deployment.verified_by = account
        set_deployed_version(deployment, "verified")
        start_monitoring(deployment)
        if reaches_monitoring(release, deployment):
            release.start_monitoring()
        supersede(op, earlier)
    return deployment


def why_not_permitted(account: Account, deployment: Deployment) -> str:
    """Return why a person may not verify a deployment; empty when they may."""
    if deployment.was_started_by(account):
        return _("You have scheduled this deployment; another person must verify it.")
    return ""
