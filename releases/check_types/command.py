"""The check type whose result a program of the target decides; used by deployments and monitoring."""

import re
import shlex
from typing import Annotated, ClassVar

from environments.targets.base import Parameters, StepFailed
from environments.targets.declared import Field, StringConstraints, field_validator, model_validator
from environments.targets.target import filled
from environments.targets.words import gettext as _
from releases.check_types.base import CheckContext, CheckResult, Result, TargetCheck
from releases.check_types.excerpt import excerpt, run_program
from releases.check_types.limits import LimitParameters

Argument = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
Code = Annotated[int, Field(ge=0, le=255)]


class CommandCheckParameters(LimitParameters):
    """argv: argument list, no shell; {root}, {tree}, {config} are replaced. passes: exit codes that pass.

    unknown: exit codes by which the program reports an unknown result; every other one fails. value: pattern whose
    first group is the value in the output; with equals, at_least, at_most it is compared too. seconds: deadline.
    """

    argv: Annotated[tuple[Argument, ...], Field(min_length=1)]
    passes: Annotated[tuple[Code, ...], Field(min_length=1)] = (0,)
    unknown: tuple[Code, ...] = ()
    value: str = ""
    seconds: float = Field(default=30.0, gt=0, le=600)

    @field_validator("value")
    @classmethod
    def _has_a_group(cls, value: str) -> str:
        try:
            groups = re.compile(value).groups
        except re.error as error:
            raise ValueError(_("is not a regular expression: %(fault)s") % {"fault": error}) from error
        if value and groups != 1:
            raise ValueError(_("must have exactly one group"))
        return value

    @model_validator(mode="after")
    def _is_whole(self) -> "CommandCheckParameters":
        if self.limited and not self.value:
            raise ValueError(_("a limit needs `value`, the pattern that finds what is limited"))
        if set(self.passes) & set(self.unknown):
            raise ValueError(_("an exit code cannot pass and be unknown"))
        return self


class Command(TargetCheck):
    """Runs one argument list on the target and evaluates its exit code, and a value in its output."""

    name: ClassVar[str] = "command"
    parameters: ClassVar[type[Parameters]] = CommandCheckParameters

    def look(self, context: CheckContext, parameters: CommandCheckParameters) -> CheckResult:
        """Run once. A program that cannot start or does not end in time is an error."""
        limit = parameters.limit_text() or _("exit code %(codes)s") % {
            "codes": ", ".join(str(code) for code in parameters.passes)
        }
        argv = filled(parameters.argv, context.target)
        try:
            outcome = run_program(context, argv, parameters.seconds)
        except StepFailed as failed:
            output = excerpt([shlex.join(argv), str(failed), *failed.state.splitlines()], context)
            return CheckResult(Result.ERROR, limit=limit, output=output)
        output = excerpt([shlex.join(argv), *outcome.text.splitlines()[-15:]], context)
        value = _("exit code %(codes)s") % {"codes": outcome.code}
        if outcome.code in parameters.unknown:
            return CheckResult(Result.NO_DATA, value, limit, output)
        if outcome.code not in parameters.passes:
            return CheckResult(Result.FAILED, value, limit, output)
        if not parameters.value:
            return CheckResult(Result.PASSED, value, limit, output)
        found = re.search(parameters.value, outcome.text)
        if found is None or found[1] is None:
            return CheckResult(Result.NO_DATA, limit=limit, output=f"{output}\n" + _("The output has no value."))
        kept = parameters.holds(found[1])
        result = Result.ERROR if kept is None else Result.PASSED if kept else Result.FAILED
        return CheckResult(result, found[1][:100], limit, output)
