"""The metric source that runs a program of the target; used by monitoring and checks."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

from environments.targets.base import Parameters, StepFailed, TargetSpec
from environments.targets.declared import Field, StringConstraints
from environments.targets.json_paths import number_in
from environments.targets.runner import run_on
from environments.targets.target import filled
from environments.targets.words import gettext as _
from releases.metric_sources.base import NOTHING, MetricName, Reading, TargetSource, greatest, provided_by

Argument = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]


class CommandSourceParameters(Parameters):
    """argv: argument list, no shell; {root}, {tree}, {config} are replaced. It prints lines `name value`, or JSON.

    values: metric (or requests, errors, duration_sum, duration_count, started) → name in the output. seconds:
    deadline, at most 5. Another exit code than 0 gives no numbers and says nothing about the service.
    """

    argv: Annotated[tuple[Argument, ...], Field(min_length=1)]
    values: dict[MetricName, str] = Field(min_length=1)
    seconds: float = Field(default=4.0, gt=0, le=5)


class Command(TargetSource):
    """Runs one argument list on the target and reads numbers from its output (the last 4 kB)."""

    name: ClassVar[str] = "command"
    parameters: ClassVar[type[Parameters]] = CommandSourceParameters
    runs_program: ClassVar[bool] = True

    def look(
        self, target: TargetSpec, parameters: CommandSourceParameters, configuration: Mapping[str, str] = NOTHING
    ) -> Reading:
        """Run once. A program that fails or does not end in time is not up."""
        at = datetime.now(UTC)
        try:
            outcome = run_on(target, filled(parameters.argv, target), seconds=parameters.seconds)
        except StepFailed as failed:
            return Reading(at, False, {}, str(failed)[:200])
        if outcome.code != 0:
            return Reading(at, False, {}, _("exit code %(codes)s") % {"codes": outcome.code})
        named = numbers_in(outcome.text)
        found = {name: named[column] for name, column in parameters.values.items() if column in named}
        return Reading(at, True, found)

    def provides(self, parameters: CommandSourceParameters) -> frozenset[str]:
        """Return the metrics that are read."""
        return provided_by(parameters.values)


def numbers_in(text: str) -> dict[str, float]:
    """Return the finite numbers of a JSON object, or of lines `name value`, of one name the greatest; other lines are
    left out.
    """
    try:
        content: Any = json.loads(text)
    except ValueError:
        content = None
    if isinstance(content, dict):
        return greatest((str(name), number_in(value)) for name, value in content.items())
    named: list[tuple[str, float]] = []
    for line in text.splitlines():
        name, _between, value = line.strip().rpartition(" ")
        try:
            number = float(value)
        except ValueError:
            continue
        if name and math.isfinite(number):
            named.append((name.strip(), number))
    return greatest(named)
