"""deployment:resolve: in what state a run that failed left its target; whoever says so is held to what lies there."""

from dataclasses import asdict
from typing import Literal, get_args

from django.utils.translation import gettext as _

from audit.change import change
from audit.clock import now
from audit.refusals import GateClosed, Invalid, NotYou, Refused
from environments import access
from environments.models import Account, DeploymentTarget
from releases.actions.deployment.replaced import Replaced, cut_short, replaced_by
from releases.actions.deployment.verified import enter_force, return_to_base, taken_back
from releases.actions.step.finish import drop_rest
from releases.actions.watch.place import configuration_of, spec_of
from releases.models import DeployedVersion, Deployment, Release
from releases.steps.base import StepFailed
from releases.steps.configuration_file import digest_of, rendered
from releases.steps.target import measure

How = Literal["previous", "planned", "unknown"]


def settle(deployment_id: int, *, how: str, reason: str) -> Deployment:
    """Say in what state a failed run left the target: as_before, as_planned or unknown; the pointer follows.

    The first two are measured there before they count. Raises Invalid, NotYou; GateClosed where something else lies.
    """
    peek = Deployment.objects.select_related("environment").get(pk=deployment_id)
    looked = _looked(peek, how) if how in ("previous", "planned") and _may(peek) else {}
    own: tuple[tuple[type, int], ...] = ((Deployment, deployment_id), (Release, peek.release_id))
    earlier = replaced_by(peek) if how in ("planned", "unknown") else Replaced((), ())
    with change("deployment:resolve", *own, *earlier.targets, reason=reason, sign=True) as act:
        deployment, release = act.get(Deployment, deployment_id), act.get(Release, peek.release_id)
        account = access.require("settle", deployment.environment)
        if why := not_yours(account, deployment):
            raise NotYou(why)
        if how not in get_args(How):
            raise Invalid(_("Choose previous, planned or unknown."))
        act.require_reason()
        if isinstance(looked, Refused):
            raise looked
        if how != "unknown" and not looked:  # the right came only after the look that it would have allowed
            raise access.lacking("settle", deployment.environment)
        deployment.resolve()
        deployment.resolved_as = how
        deployment.ended_at = now()
        drop_rest(deployment)
        act.signature("settle")
        if looked:
            deployment.measured = {**deployment.measured, "resolve": looked}
            act.details["measured"] = looked
        _follow(deployment, release, how, looked)
        cut_short(act, earlier, known=how != "unknown")
    return deployment


def not_yours(account: Account, deployment: Deployment) -> str:
    """Return why a person may not settle a run; empty when he may."""
    if deployment.environment.protected and deployment.was_started_by(account):
        return _("You have scheduled this deployment; another person must resolve it.")
    return ""


def _follow(deployment: Deployment, release: Release, how: str, found: dict[str, str]) -> None:
    """Let pointer and release stand where the target does."""
    moves = deployment.environment.tier == "production"  # no other run moves a release
    if how == "previous":
        return_to_base(deployment, found)
        if moves and release.state == "releasing":
            release.abort()
        elif moves and release.state in ("monitoring", "completed"):
            taken_back(release)
        return
    if how == "planned":
        enter_force(deployment, "resolved", found)
    for row in DeployedVersion.objects.filter(application=deployment.application, environment=deployment.environment):
        row.unknown = how == "unknown"
        row.save()
    if moves and release.state in ("releasing", "monitoring"):
        release.fail()


def _may(deployment: Deployment) -> bool:
    """Tell whether who acts may have the target looked at; the door says why not."""
    try:
        return access.may(access.current_account(), "settle", deployment.environment)
    except NotYou:
        return False


def _looked(deployment: Deployment, how: str) -> dict[str, str] | Refused:
    """Return the target's digests; the refusal where it cannot be reached, or something else lies there."""
    target = DeploymentTarget.objects.get(application=deployment.application, environment=deployment.environment)
    before, planned = deployment.previous.get("deployed_version", {}), deployment.previous.get("wanted_configuration")
    values = configuration_of(before.get("configuration") if how == "previous" else planned)[0]
    try:
        spec = spec_of(target, planned)
        found = measure(spec, values)
        code, settings = before.get("code", ""), before.get("configuration_digest", "")
        if how == "planned":
            code = deployment.previous.get("wanted_tree", "")
            settings = digest_of(rendered(spec, values)) if planned else settings
    except StepFailed as fault:
        return Invalid(_("The deployment target cannot be read, so its state is unknown: %(why)s") % {"why": fault})
    if found.code != code:
        text = _("The Git tree hash on the deployment target is not the expected one: %(tree)s.")
        return GateClosed(text % {"tree": found.code[:12] or _("none")})
    if found.configuration != settings:
        return GateClosed(_("The configuration on the deployment target is not the expected one."))
    return asdict(found)
