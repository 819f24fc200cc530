"""The check type for a person's judgement; the result is recorded in the admin."""

from typing import Any, ClassVar

from environments.targets.base import Parameters
from environments.targets.words import gettext as _
from releases.check_types.base import CheckContext, CheckResult, CheckType, Result


class ManualParameters(Parameters):
    """question: the question for the person; empty = the label of the check."""

    question: str = ""


class Manual(CheckType):
    "A person checks and records the result."

    name: ClassVar[str] = "manual"
    parameters: ClassVar[type[Parameters]] = ManualParameters

    def run(self, context: CheckContext, parameters: Any) -> CheckResult:
        """Measure nothing: no data until a person has looked."""
        return CheckResult(Result.NO_DATA, output=parameters.question or _("A person checks and records the result."))
