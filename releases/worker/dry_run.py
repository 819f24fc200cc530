"""The dry run of a release in an environment: what each step of its plan would do there, without any effect."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from environments.models import ConfigurationVersion, Environment
from environments.models.environment import targets_in
from environments.targets.base import StepContext, StepFailed
from environments.targets.masking import masker
from environments.targets.runner import secrets_of
from environments.targets.ssh import call, place as ssh
from environments.targets.target import TargetStep
from releases import check_types, step_types
from releases.check_types.base import TargetCheck
from releases.gates.content import digest
from releases.models import DeployedVersion, Release, Step
from releases.operations.step.claim import recorded
from releases.queries.release_artefact import version_of, wanted
from releases.queries.repository import place_of
from releases.queries.step_waves import lay_out
from releases.queries.target_spec import configuration_of, contents_of, spec_of
from releases.worker.context import BACK
from releases.worker.executor import DEADLINE_FACTOR, LEAST_DEADLINE


@dataclass(frozen=True)
class Planned:
    """One step of the plan: its place, its lines (commands and effects, secrets masked), and a fault if it has one.

    target: the name of the target, where there are several.
    """

    phase: str
    ordinal: int
    step_type: str
    label_ja: str
    label_en: str
    deadline_seconds: float
    no_output_timeout_seconds: float | None
    lines: tuple[str, ...]
    fault: str = ""
    target: str = ""


def dry_run(release: Release, environment: Environment) -> list[Planned]:
    """Return every step of the plan in order; empty where the application has no target. Changes and asks nothing.

    The configuration is the one chosen for the environment; the version to be replaced is the deployed one.
    """
    targets = targets_in(release.application, environment)
    if not targets:
        return []
    base = recorded(DeployedVersion.established(release.application, environment))
    chosen = {row.pk: row for row in ConfigurationVersion.read(*sorted(release.configurations.values()))}
    brought = chosen.get(release.configurations.get(environment.slug))
    new_values, new_secrets = contents_of(brought) if brought is not None else ({}, ())
    old_values, old_secrets = configuration_of(base.get("configuration"))
    # A draft without a commit yet is described with what it has.
    new, old = version_of(wanted(release)), version_of(base)
    plan, process = digest(release.step_plan), release.process.document if release.process is not None else None
    found: list[Planned] = []
    for phase in Step.Phase.values:
        back = phase in BACK
        rows = [(phase, row) for row in release.step_plan.get(phase, [])]
        # As if the deployment had touched all of them.
        for laid in lay_out(rows, targets, process, {target.pk for target in targets} if back else None):
            planned = laid.row
            context = StepContext(
                key=f"N/{len(found) + 1}/{plan[:16]}",
                fencing_token=1,
                deployment_key="deployment:N",
                target=spec_of(laid.target),
                repository=str(place_of(release.application)),
                wanted=old if back else new,
                previous=new if back else old,
                configuration=old_values if back else new_values,
                previous_configuration=new_values if back else old_values,
                earlier={},
                deadline_seconds=deadline_of(planned),
                output=_nothing,
                heartbeat=_nothing,
                secrets=tuple({*new_secrets, *old_secrets}),
            )
            name = laid.target.name if len(targets) > 1 else ""
            found.append(_described(phase, len(found) + 1, planned, context, name))
    return found


def deadline_of(planned: Mapping[str, Any]) -> float:
    """Return the seconds after which a planned step is stopped."""
    given = planned.get("deadline_seconds")
    return float(given) if given else max(LEAST_DEADLINE, planned["estimate_seconds"] * DEADLINE_FACTOR)


def _nothing(*given: Any) -> None:
    """Take what a deployment would write or ask, and discard it: a dry run does neither."""


def _described(phase: str, ordinal: int, planned: Mapping[str, Any], context: StepContext, target: str) -> Planned:
    lines: list[str] = []
    fault = ""
    try:
        if planned["step_type"] == "check":
            given = json.dumps(planned["parameters"]["parameters"], ensure_ascii=False, sort_keys=True)
            lines = [f"{planned['parameters']['check']} {given}"]
            check = check_types.by_name(planned["parameters"]["check"])
            if ssh.lies_elsewhere(context.target) and isinstance(check, TargetCheck):
                fault = call.refuses(check)
        else:
            kind = step_types.by_name(planned["step_type"])
            lines = kind.describe(context, kind.parameters(**planned["parameters"]))
            if ssh.lies_elsewhere(context.target) and isinstance(kind, TargetStep):
                lines = [f"{ssh.place_of(context.target).label}: {line}" for line in lines]
                fault = call.refuses(kind)
    except (StepFailed, ValidationError, step_types.UnknownType, check_types.UnknownType) as wrong:
        fault = str(wrong)
    covered = masker(secrets_of(context))
    return Planned(
        phase=phase,
        ordinal=ordinal,
        step_type=planned["step_type"],
        label_ja=planned["label_ja"],
        label_en=planned["label_en"],
        deadline_seconds=context.deadline_seconds,
        no_output_timeout_seconds=planned.get("no_output_timeout_seconds"),
        lines=tuple(map(covered, lines)),
        fault=covered(fault),
        target=target,
    )
