"""The contract of a check: a measurement with a result. Types know no model."""

import enum
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from environments.targets.base import Parameters, StepFailed, TargetSpec
from environments.targets.ssh import call, place


class Result(enum.Enum):
    """Outcome of a check or a measurement; no data, stale and error never count as pass."""

    PASSED = "passed"
    FAILED = "failed"
    NO_DATA = "no_data"
    STALE = "stale"
    ERROR = "error"

    @property
    def said(self) -> str:
        """Return the result for people: pass, fail, or unknown, which never passes."""
        return self.value if self in (Result.PASSED, Result.FAILED) else "unknown"


@dataclass(frozen=True)
class CheckContext:
    """The input of a check: target, deployed configuration, its secrets, the deployment's token (`deployment:<id>`).

    position: the end of this check's last reading of the log (environments/targets/log_position.py); None: none yet.
    """

    target: TargetSpec
    configuration: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    deployment: str = ""
    position: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class CheckResult:
    """The output of a check: result, value and limit as shown to people, and the output kept as proof.

    position: where the reading of a log ended, for the next one.
    """

    result: Result
    value: str = ""
    limit: str = ""
    output: str = ""
    position: Mapping[str, Any] | None = None


class CheckType(ABC):
    """One check type. longest_seconds: for one check of a monitoring period, which has no deadline of a step."""

    name: ClassVar[str]
    parameters: ClassVar[type[Parameters]]
    longest_seconds: ClassVar[float] = 600.0

    @abstractmethod
    def run(self, context: CheckContext, parameters: Any) -> CheckResult:
        """Measure once; network and parse errors become Result.ERROR with their text in `output`."""


class TargetCheck(CheckType):
    """A type that examines the target itself, on the target's host."""

    def run(self, context: CheckContext, parameters: Any) -> CheckResult:
        """Measure once; a host or a data store that cannot be used is an error."""
        try:
            if not place.lies_elsewhere(context.target):
                return self.look(context, parameters)
            found = call.ask(
                context.target,
                "look",
                kind=self,
                parameters=parameters,
                configuration=context.configuration,
                secrets=context.secrets,
                deployment=context.deployment,
                position=context.position,
            )
        except StepFailed as failed:
            return CheckResult(Result.ERROR, output=str(failed))
        return CheckResult(**found | {"result": Result(found["result"])})

    def answer(self, target: TargetSpec, parameters: Any, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the result as JSON, on the host; given: configuration, secrets, run, position."""
        secrets = tuple(given["secrets"])
        context = CheckContext(target, given["configuration"], secrets, given["deployment"], given["position"])
        result = self.look(context, parameters)
        return asdict(result) | {"result": result.result.value}

    @abstractmethod
    def look(self, context: CheckContext, parameters: Any) -> CheckResult:
        """Measure once, on the machine of the target."""
