"""deployed_version:place: lays a version on a target in Ringi's layout, before what runs there is registered."""

from django.utils.translation import gettext as _

from audit.operation import label, operation, record_event
from audit.refusals import GateNotPassed, InvalidInput
from environments import access
from environments.models import DeploymentTarget
from environments.targets.base import StepContext, StepFailed, StillRunning, Version
from environments.targets.examine import layout_of
from releases.operations.deployed_version.register import require_untouched, target_named
from releases.queries.repository import refreshed
from releases.queries.target_spec import spec_of
from releases.sources import git, versions
from releases.step_types.code_deploy import CodeDeploy

SECONDS = 120.0


def install(target_id: int, *, version: str, beside: bool = False, reason: str) -> DeploymentTarget:
    """Lay a version's tree from the repository below releases/ and point current to it; a running service is left
    alone.

    beside: also where the folder is not empty. Raises InvalidInput, GateNotPassed; a failure on the target is an event
    too.
    """
    target = target_named(target_id)
    if not access.may(access.current_account(), "register_version", target.environment, target.application_id):
        with operation("deployed_version:place", (DeploymentTarget, target_id), reason=reason, sign=True):
            raise access.lacking("register_version", target.environment)
    try:
        text = versions.normalised(version)
        tag = target.application.tag_format.format(version=text)
        place = refreshed(target.application)
        seen = git.commit_facts(place, tag)
        spec = spec_of(target)
        lies = layout_of(spec)
    except (versions.BadVersion, git.SourceUnavailable, git.NoSuchRevision, StepFailed) as fault:
        raise InvalidInput(str(fault)) from fault
    with operation("deployed_version:place", (DeploymentTarget, target_id), reason=reason, sign=True) as op:
        access.require("register_version", target.environment)
        require_untouched(target)
        if not lies["folder"]:
            raise InvalidInput(_("The folder %(path)s does not exist. Make it first.") % {"path": target.root})
        if lies["current"] == "other":
            raise GateNotPassed(_("“current” is a folder and no link. Move it away first; Ringi does not touch it."))
        if lies["current"] == "link" and target.environment.protected:
            raise GateNotPassed(_("“current” leads to a version already. Register that one."))
        if not lies["empty"] and not beside:
            raise GateNotPassed(
                _("The folder is not empty. Confirm that the version is placed beside the existing files.")
            )
        op.details.update(version=text, tag=tag, commit=seen.commit, tree=seen.tree)
    context = StepContext(
        key=f"lay/{op.id}",
        fencing_token=1,
        deployment_key="lay",
        target=spec,
        repository=str(place),
        wanted=Version(text, tag, seen.commit, seen.tree),
        previous=None,
        configuration={},
        previous_configuration={},
        earlier={},
        deadline_seconds=SECONDS,
        output=_nothing,
        heartbeat=_nothing,
    )
    kind = CodeDeploy()
    try:
        facts = kind.run(context, kind.parameters.model_validate({"direction": "deployment"}))
    except (StepFailed, StillRunning, OSError) as fault:
        record_event("deployed_version:place", object=label(target), outcome="failed", error=str(fault)[:300])
        raise InvalidInput(str(fault)) from fault
    record_event("deployed_version:placed", object=label(target), tree=facts["code"], folder=facts["folder"])
    return target


def _nothing(*given: object) -> None:
    """Take what a deployment would write or ask, and discard it: no process waits for either."""
