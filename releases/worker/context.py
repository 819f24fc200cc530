"""Builds the small frozen context that a step type gets, from the rows of the deployment."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from environments.models import DeploymentTarget
from environments.targets.base import StepContext, StepFailed, TargetSpec, Version
from environments.targets.words import gettext as _
from releases import telemetry
from releases.gates.content import target_digest
from releases.models import Step
from releases.queries.release_artefact import completed, fetch_for, version_of
from releases.queries.repository import place_of
from releases.queries.target_spec import configuration_of, spec_of

BACK = ("rollback", "rollback_verification")


def target_of(step: Step) -> DeploymentTarget:
    """Return the target that a step works on; a step from before there were several names none."""
    rows = DeploymentTarget.every.select_related("application", "environment")
    if step.target_id is not None:
        return rows.get(pk=step.target_id)
    here = rows.filter(application=step.deployment.application, environment=step.deployment.environment)
    return here.earliest("pk")


@dataclass(frozen=True)
class RunFacts:
    """The facts that are the same for all steps of a deployment on a target: the target, both versions, both
    configurations with secrets.

    `earlier` grows with the deployment: the result of the first succeeded step of each type in the phase `deployment`.
    """

    target_id: int | None
    target: TargetSpec
    repository: str
    new: Version | None
    old: Version | None
    new_values: dict[str, str]
    old_values: dict[str, str]
    secrets: tuple[str, ...]
    earlier: dict[str, dict[str, Any]]

    def remember(self, step: Step, result: dict[str, Any]) -> None:
        """Keep a step's result for later steps of the deployment."""
        if step.phase not in BACK and step.step_type != "check":
            self.earlier.setdefault(step.step_type, result)


def facts_of(step: Step) -> RunFacts:
    """Read the facts of a deployment once for a target, with its first step that is claimed here.

    Raises StepFailed where an approved deployment begins on another target than the one that was approved.
    """
    deployment = step.deployment
    if (
        deployment.approval_request is not None
        and step.begins
        and deployment.approval_request.content_for(deployment.environment)["target"]
        != target_digest(deployment.application, deployment.environment)
    ):
        raise StepFailed(_("The folder or the commands of the deployment target are not those that were approved."))
    base = deployment.previous.get("deployed_version", {})
    done = deployment.steps.filter(phase__in=["deployment", "verification"], state="succeeded").exclude(
        step_type="check"
    )
    if step.wave:
        done = done.filter(target=step.target_id)
    new_values, new_secrets = configuration_of(deployment.previous.get("wanted_configuration"))
    old_values, old_secrets = configuration_of(base.get("configuration"))
    return RunFacts(
        target_id=step.target_id,
        target=spec_of(target_of(step), deployment.previous.get("wanted_configuration")),
        repository=str(place_of(deployment.application)),
        new=version_of(deployment.previous.get("wanted", {})),
        old=version_of(base),
        new_values=new_values,
        old_values=old_values,
        secrets=tuple({*new_secrets, *old_secrets}),
        earlier=dict(done.order_by("-ordinal").values_list("step_type", "result")) if step.ordinal > 1 else {},
    )


def context_of(
    step: Step,
    fencing_token: int,
    output: Callable[[bytes], None],
    heartbeat: Callable[[], None],
    deadline: float,
    facts: RunFacts,
) -> StepContext:
    """Return the context of one attempt, from the facts of its deployment; in the rollback, wanted and previous change
    places.
    """
    back = step.phase in BACK
    wanted = facts.old if back else facts.new
    return StepContext(
        key=step.key,
        fencing_token=fencing_token,
        attempt=uuid4().hex,
        deployment_key=f"deployment:{step.deployment_id}",
        target=facts.target,
        repository=facts.repository,
        wanted=wanted,
        previous=facts.new if back else facts.old,
        configuration=facts.old_values if back else facts.new_values,
        previous_configuration=facts.new_values if back else facts.old_values,
        earlier=facts.earlier,
        deadline_seconds=deadline,
        no_output_timeout_seconds=step.no_output_timeout_seconds,
        output=output,
        heartbeat=heartbeat,
        secrets=facts.secrets,
        fetch=fetch_for(step.deployment.application, wanted, heartbeat),
        reported=step.reported,
        traceparent=telemetry.traceparent(step, fencing_token),
    )


def with_tree(step: Step, context: StepContext) -> StepContext:
    """Return the context with the tree of the wanted artefact's files, where this step needs it.

    The first step fetches it as well: an artefact that cannot be had is found before anything is changed. Raises
    StepFailed.
    """
    if context.wanted is None or step.phase in BACK or (step.step_type != "code_deploy" and not step.begins):
        return context
    return replace(context, wanted=completed(step.deployment.application, context.wanted, context.heartbeat))
