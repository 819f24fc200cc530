"""deployment:resolve: a person says in what state a failed deployment left its target, and the target must agree."""

from dataclasses import asdict
from typing import Any, Literal, get_args

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted, OperationRefused
from environments import access
from environments.models import Account, DeploymentTarget
from environments.models.environment import targets_in
from environments.targets.base import StepFailed
from environments.targets.configuration_file import digest_of, rendered
from environments.targets.measured import measure
from releases.models import DeployedVersion, Deployment, Release
from releases.operations.deployment.completion import leave, restore_previous_version, set_deployed_version
from releases.operations.deployment.superseded import Superseded, supersede, superseded_by
from releases.operations.release.end_approval import cancel_waiting
from releases.queries.release_artefact import code_wanted
from releases.queries.target_spec import configuration_of, spec_of

How = Literal["previous", "planned", "unknown"]


def resolve(deployment_id: int, *, how: str, reason: str) -> Deployment:
    """Say in what state a failed deployment left the target: as_before, as_planned or unknown; the deployed version
    follows.

    The first two are measured there before they count. Raises InvalidInput, NotPermitted; GateNotPassed where the
    measurement differs.
    """
    unlocked = Deployment.objects.select_related("environment").get(pk=deployment_id)
    looked = _looked(unlocked, how) if how in ("previous", "planned") and _may(unlocked) else {}
    own: tuple[tuple[type, int], ...] = ((Deployment, deployment_id), (Release, unlocked.release_id))
    earlier = superseded_by(unlocked) if how in ("planned", "unknown") else Superseded((), ())
    with operation("deployment:resolve", *own, *earlier.targets, reason=reason, sign=True) as op:
        deployment, release = op.get(Deployment, deployment_id), op.get(Release, unlocked.release_id)
        account = access.require("resolve", deployment.environment)
        if why := why_not_permitted(account, deployment):
            raise NotPermitted(why)
        if how not in get_args(How):
            raise InvalidInput(_("Choose previous, planned or unknown."))
        op.require_reason()
        if isinstance(looked, OperationRefused):
            raise looked
        if how != "unknown" and not looked:  # the permission came only after the measurement that needs it
            raise access.lacking("resolve", deployment.environment)
        deployment.resolve()
        deployment.resolved_as = how
        deployment.ended_at = now()
        deployment.cancel_rest(now())
        op.signature()
        if looked:
            deployment.measured = {**deployment.measured, "resolve": looked}
            op.details["measured"] = looked
        _follow(deployment, release, how, looked)
        supersede(op, earlier, known=how != "unknown")
    return deployment


def why_not_permitted(account: Account, deployment: Deployment) -> str:
    """Return why a person may not resolve a deployment; empty when they may."""
    if deployment.environment.protected and deployment.was_started_by(account):
        return _("You have scheduled this deployment; another person must resolve it.")
    return ""


def _follow(deployment: Deployment, release: Release, how: str, found: dict[str, str]) -> None:
    """Bring the deployed version and the release in line with the target."""
    if how == "previous":
        restore_previous_version(deployment, found)
        if release.state == "releasing" and deployment.environment == release.destinations[0]:
            release.abort()
            cancel_waiting(release)
        else:
            leave(release, deployment, restored=True)
        return
    if how == "planned":
        set_deployed_version(deployment, "resolved", found)
    for row in DeployedVersion.objects.filter(application=deployment.application, environment=deployment.environment):
        row.unknown = how == "unknown"
        row.save()
    leave(release, deployment, restored=False)


def _may(deployment: Deployment) -> bool:
    """Tell whether the current account may have the target measured; the operation says why not."""
    try:
        return access.may(access.current_account(), "resolve", deployment.environment, deployment.application_id)
    except NotPermitted:
        return False


def _looked(deployment: Deployment, how: str) -> dict[str, Any] | OperationRefused:
    """Return the digests of the target, of several those of the first and of each; the refusal where one cannot be
    reached, or where they differ.
    """
    targets = targets_in(deployment.application, deployment.environment)
    found = [_looked_at(target, deployment, how) for target in targets]
    refused = [one for one in found if isinstance(one, OperationRefused)]
    if refused:
        return refused[0]
    measured = [one for one in found if isinstance(one, dict)]
    if len(targets) == 1:
        return measured[0]
    by_name = {target.name: one for target, one in zip(targets, measured, strict=True)}
    return {**measured[0], "targets": by_name}


def _looked_at(target: DeploymentTarget, deployment: Deployment, how: str) -> dict[str, Any] | OperationRefused:
    before, planned = deployment.previous.get("deployed_version", {}), deployment.previous.get("wanted_configuration")
    values = configuration_of(before.get("configuration") if how == "previous" else planned)[0]
    try:
        spec = spec_of(target, planned)
        found = measure(spec, values)
        code, settings = before.get("code", ""), before.get("configuration_digest", "")
        if how == "planned":
            wanted = deployment.previous.get("wanted", {})
            plan = deployment.release.step_plan.get("deployment", ())
            # Else a pipeline or a playbook deploys, and Ringi has no code there.
            if any(row["step_type"] in ("code_deploy", "container") for row in plan):
                tree = deployment.previous.get("wanted_tree", "")
                code = code_wanted(deployment.application, wanted) if "artefact" in wanted else tree
            settings = digest_of(rendered(spec, values)) if planned else settings
    except StepFailed as fault:
        return InvalidInput(
            _("The deployment target cannot be read, so its state is unknown: %(why)s") % {"why": fault}
        )
    if found.code != code:
        text = _("The Git tree hash on the deployment target is not the expected one: %(tree)s.")
        return GateNotPassed(text % {"tree": found.code[:12] or _("none")})
    if found.configuration != settings:
        return GateNotPassed(_("The configuration on the deployment target is not the expected one."))
    return asdict(found)
