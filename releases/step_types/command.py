"""A step type: any command of the target."""

import shlex
import time
from dataclasses import replace
from typing import Annotated, Any, ClassVar

from environments.targets.base import Parameters, Probe, StepContext
from environments.targets.declared import Field, StringConstraints
from environments.targets.masking import masked
from environments.targets.runner import secrets_of
from environments.targets.target import Held, TargetStep, filled, journal, journal_lines
from environments.targets.words import gettext as _

Argument = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]

# Exit code by which a probe command says that the effect is not there.
NOT_DONE_CODE = 3


class CommandParameters(Parameters):
    """argv: argument list; repeatable: a second run is harmless; probe_argv: exit 0 done, 3 not done;
    seconds: limit.
    """

    argv: Annotated[tuple[Argument, ...], Field(min_length=1)]
    repeatable: bool = False
    probe_argv: Annotated[tuple[Argument, ...], Field(min_length=1)] | None = None
    seconds: Annotated[float, Field(gt=0)] | None = None


class Command(TargetStep):
    """Runs one argument list under the target's lock, without a shell."""

    name: ClassVar[str] = "command"
    parameters: ClassVar[type[Parameters]] = CommandParameters
    repeatable: ClassVar[bool] = False
    estimate_seconds: ClassVar[float] = 30

    def make(self, context: StepContext, held: Held, parameters: CommandParameters) -> dict[str, Any]:
        """Run the command; facts: exit_code, seconds, tail. One that succeeded under this key is not run twice."""
        done = journal_lines(context.target, key=context.key, effect="command:done")
        if done and not parameters.repeatable:
            return {name: done[-1][name] for name in ("exit_code", "seconds")} | {"found": True}
        if parameters.seconds is not None:
            held = replace(held, until=min(held.until, time.monotonic() + parameters.seconds))
        journal(context, "command:started", command=parameters.argv[0])
        outcome = held.run(filled(parameters.argv, context.target), extra=context.traced("TRACEPARENT"))
        facts = {"exit_code": outcome.code, "seconds": round(outcome.seconds, 3)}
        journal(context, "command:done", **facts)
        return facts | {"tail": outcome.text}

    def look(self, context: StepContext, held: Held, parameters: CommandParameters) -> tuple[Probe, dict[str, Any]]:
        """Done by the journal; begun but without an end: the result of the probe command, else unknown."""
        done = journal_lines(context.target, key=context.key, effect="command:done")
        if done:
            return Probe.DONE, {name: done[-1][name] for name in ("exit_code", "seconds")}
        if not journal_lines(context.target, key=context.key, effect="command:started"):
            return Probe.NOT_DONE, {}
        if parameters.probe_argv is None:
            return (Probe.NOT_DONE if parameters.repeatable else Probe.UNKNOWN), {}
        outcome = held.run(filled(parameters.probe_argv, context.target), allowed=range(-255, 256))
        if outcome.code == 0:
            return Probe.DONE, {"probed": True, "tail": outcome.text}
        return (Probe.NOT_DONE if outcome.code == NOT_DONE_CODE else Probe.UNKNOWN), {"tail": outcome.text}

    def describe(self, context: StepContext, parameters: CommandParameters) -> list[str]:
        """Return the lines of the dry run, secrets masked."""
        secrets = secrets_of(context)
        lines = [masked(shlex.join(filled(parameters.argv, context.target)), secrets)]
        if parameters.probe_argv:
            probe = masked(shlex.join(filled(parameters.probe_argv, context.target)), secrets)
            lines.append(_("probe after a crash: %(command)s") % {"command": probe})
        return lines
