"""The digests of a deployment to several targets: which targets they must be measured on, and whether they agree."""

from collections.abc import Mapping
from typing import Any

from django.db.models import Q, QuerySet

from environments.models import DeploymentTarget
from environments.targets.words import gettext_noop
from releases.models import Deployment, Step
from releases.queries.step_waves import phase_of

type Digests = Mapping[str, str]
# Steps that lay what is measured afterwards.
LAYING = ("code_deploy", "container", "configuration_update")


def _of(deployment: Deployment, phase: str) -> QuerySet[DeploymentTarget]:
    """Return the targets that a phase must measure: those with steps in it, and those that got code or configuration.

    The latter have changed, whatever the plan of the phase names.
    """
    laid = Q(phase=Step.Phase.DEPLOYMENT, step_type__in=LAYING, fencing_token__gt=0)
    rows = deployment.steps.filter(Q(phase=phase) | laid).values("target")
    return DeploymentTarget.every.filter(pk__in=rows).select_related("application", "environment").order_by("pk")


def without_steps(step: Step) -> list[DeploymentTarget]:
    """Return the targets that the last step of a phase measures beside its own: those without a step in the phase."""
    rows = step.deployment.steps.filter(phase=step.phase)
    if not step.wave or rows.filter(ordinal__gt=step.ordinal).exists():
        return []
    return list(_of(step.deployment, step.phase).exclude(pk__in=rows.values("target")))


def unmeasured(deployment: Deployment, phase: str) -> list[str]:
    """Return the names of the targets that a phase must have measured and has not; none of a deployment to one."""
    if not deployment.steps.filter(phase=phase, wave__gt=0).exists():
        return []
    known = deployment.measured.get(phase, {}).get("targets", {})
    return [target.name for target in _of(deployment, phase) if target.name not in known]


def measured_with(
    deployment: Deployment, step: Step, measured: dict[str, str], beside: Mapping[str, Digests]
) -> dict[str, Any]:
    """Return the digests of a phase: of the target; of several, those of the first and of each by its name.

    beside: of targets without a step in the phase.
    """
    if not step.wave or step.target is None:
        return measured
    known = deployment.measured.get(step.phase, {})
    first = step.target_id == min(phase.target_id or 0 for phase in phase_of(deployment, step.phase))
    own = measured if first else {key: value for key, value in known.items() if key != "targets"}
    return {**own, "targets": {**known.get("targets", {}), step.target.name: measured, **beside}}


def differs(deployment: Deployment, step: Step, measured: Digests, beside: Mapping[str, Digests]) -> str:
    """Return that a target has other code or another configuration than one that was measured before; else empty."""
    known = {**deployment.measured.get(step.phase, {}).get("targets", {}), **beside}
    for name, other in known.items():
        parts = [part for part in ("code", "configuration") if other.get(part) != measured.get(part)]
        if parts and step.target is not None and name != step.target.name:
            text = gettext_noop("%(target)s and %(other)s differ: %(parts)s")
            return str(text % {"target": step.target.name, "other": name, "parts": ", ".join(parts)})
    return ""
