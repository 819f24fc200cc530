"""deployment:verify: the second person's word that a run is as it should be."""

from django.utils.translation import get_language, gettext as _

from audit.change import change
from audit.refusals import GateClosed, Invalid, NotYou, WrongState
from environments import access
from environments.language import listed
from environments.models import Account
from releases.actions.deployment.replaced import cut_short, replaced_by
from releases.actions.deployment.verified import begin_watch, enter_force
from releases.actions.release.steps import manual_checks
from releases.models import Deployment, Release, Step


def verify(deployment_id: int, *, confirmed: tuple[str, ...] = (), reason: str = "") -> Deployment:
    """Say, as another person than the starter, that the run is as it should be; the watch begins.

    confirmed: keys of the checks that only a person can make; each one must be there. What is watched there until now is
    no longer what runs: those watches are cut short, with all that their end brings about.
    """
    peek = Deployment.objects.filter(pk=deployment_id).first()
    if peek is None:
        raise Invalid(_("This deployment does not exist."))
    earlier = replaced_by(peek)
    own: tuple[tuple[type, int], ...] = ((Deployment, deployment_id), (Release, peek.release_id))
    with change("deployment:verify", *own, *earlier.targets, reason=reason, sign=True) as act:
        deployment, release = act.get(Deployment, deployment_id), act.get(Release, peek.release_id)
        account = access.require("verify", deployment.environment)
        if why := not_yours(account, deployment):
            raise NotYou(why)
        if deployment.state != "verifying":
            text = _("This operation is not possible in the state “%(state)s”.")
            raise WrongState(text % {"state": deployment.get_state_display()})
        open_steps = deployment.steps.filter(phase__in=["deployment", "verification"]).exclude(state__in=Step.FINISHED)
        if open_steps.exists():
            raise WrongState(_("The checks are not finished yet."))
        asked = manual_checks(deployment.procedure.document, "deployment")
        owed = [c for c in asked if c.required and c.key not in confirmed]
        if owed:
            language = get_language() or "ja"
            raise Invalid(_("Not confirmed: %(items)s") % {"items": listed(c.label(language) for c in owed)})
        if not deployment.measured.get("verification"):
            raise GateClosed(
                _("The deployment target was not measured after the last check. Roll back or resolve the deployment.")
            )
        act.signature("verify", deployment.plan_digest)
        act.details["confirmed"] = list(confirmed)
        deployment.start_monitoring()
        deployment.verified_by = account
        enter_force(deployment, "verified")
        begin_watch(deployment)
        production = deployment.environment.tier == "production"  # no other run moves a release
        if production and release.state == "releasing":
            release.start_monitoring()
        cut_short(act, earlier)
    return deployment


def not_yours(account: Account, deployment: Deployment) -> str:
    """Return why a person may not verify a run; empty when he may."""
    if deployment.was_started_by(account):
        return _("You have scheduled this deployment; another person must verify it.")
    return ""
