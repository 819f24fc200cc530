"""Builds the small frozen context that a step kind gets, from the rows of the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from environments.models import ConfigurationVersion, Target
from releases.actions.watch.sample import spec_of
from releases.models import Deployment, Step
from releases.steps.base import StepContext, Version

BACK = ("back", "back_verify")


def target_of(deployment: Deployment) -> Target:
    """Return the target of a run."""
    return Target.objects.select_related("application", "environment").get(
        application=deployment.application, environment=deployment.environment
    )


def _version(base: dict[str, Any]) -> Version | None:
    if not base:
        return None
    return Version(base["version"], base["tag"], base["commit"], base["tree"])


def configuration_of(pk: Any) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return (values with secrets in clear, the secrets); empty for none."""
    row = ConfigurationVersion.objects.filter(pk=pk).first() if pk else None
    return (row.opened(), row.secret_values()) if row is not None else ({}, ())


def context_of(
    step: Step, epoch: int, output: Callable[[bytes], None], beat: Callable[[], None], deadline: float
) -> StepContext:
    """Return the context of one attempt; on the way back, wanted and previous change places."""
    deployment = step.deployment
    release = deployment.release
    base = deployment.base.get("in_force", {})
    new = Version(release.version, release.tag, release.commit, release.tree)
    old = _version(base)
    new_values, new_secrets = configuration_of(deployment.base.get("wanted_configuration"))
    old_values, old_secrets = configuration_of(base.get("configuration"))
    back = step.phase in BACK
    done = deployment.steps.filter(phase__in=["forward", "verify"], state="done").order_by("-ordinal")
    return StepContext(
        key=step.key,
        epoch=epoch,
        run_token=f"deployment:{deployment.pk}",
        target=spec_of(target_of(deployment)),
        repository=str(Path(release.application.repository)),
        wanted=old if back else new,
        previous=new if back else old,
        configuration=old_values if back else new_values,
        previous_configuration=new_values if back else old_values,
        earlier={row.kind: row.result for row in done if row.kind != "check"},
        deadline_seconds=deadline,
        output=output,
        beat=beat,
        secrets=tuple({*new_secrets, *old_secrets}),
    )
