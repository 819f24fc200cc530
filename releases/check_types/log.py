"""The check type that counts suspicious lines in the log, from a position on; used by deployments and monitoring."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from environments.targets import log_position
from environments.targets.base import Parameters, Pattern
from environments.targets.declared import Field, model_validator
from environments.targets.log_position import Rest
from environments.targets.service_settings import log_errors_of
from environments.targets.target import Layout, journal_lines, lock_record
from environments.targets.words import gettext as _
from releases.check_types.base import CheckContext, CheckResult, Result, TargetCheck
from releases.check_types.excerpt import MOST_LINES, excerpt


class LogParameters(Parameters):
    """pattern: regular expression of a line that counts; empty: the target's `log_error_pattern`. at_most, at_least:
    how many there may and must be. silent_passes: a log without any line since the position passes; else it is no data.
    """

    pattern: Pattern = ""
    at_most: int = Field(default=0, ge=0)
    at_least: int = Field(default=0, ge=0)
    silent_passes: bool = False

    @model_validator(mode="after")
    def _can_be_met(self) -> "LogParameters":
        if self.at_least > self.at_most:
            raise ValueError(_("at_least is above at_most"))
        return self


@dataclass
class Seen:
    """The lines of a log from a position on: their number, the number of matches, and the first matches.

    cut: more lines exist than one reading takes. end: where reading ended; None when nothing was read.
    """

    lines: int = 0
    matched: int = 0
    first: list[str] = field(default_factory=list)
    cut: bool = False
    end: Mapping[str, Any] | None = None


class Log(TargetCheck):
    """Counts the lines of the target's log that match a pattern, from the service start or the last reading on."""

    name: ClassVar[str] = "log"
    parameters: ClassVar[type[Parameters]] = LogParameters

    def look(self, context: CheckContext, parameters: LogParameters) -> CheckResult:
        """Count once. A missing, unchanged or partly unreadable log is no data."""
        limit = f"≤ {parameters.at_most}"
        if parameters.at_least:
            limit = f"{parameters.at_least} ≤ … {limit}"
        path = Layout(context.target.root).log(context.target.settings).resolve()
        if not path.is_relative_to(context.target.root.resolve()):
            text = _("The log is outside the folder of the deployment target.")
            return CheckResult(Result.ERROR, limit=limit, output=text)
        position, since = (context.position, "") if context.position else _noted(context)
        try:
            if position is None:
                here = log_position.position_at(path, path.stat().st_size)
                return CheckResult(Result.NO_DATA, limit=limit, output=_without_position(), position=here)
            rest = log_position.rest_of(path, position)
            seen = read(rest, re.compile(parameters.pattern or log_errors_of(context.target.settings)))
        except FileNotFoundError:
            return CheckResult(Result.NO_DATA, limit=limit, output=_("There is no log."))
        except OSError as error:
            why = {"why": error.strerror or str(error)}
            return CheckResult(Result.ERROR, limit=limit, output=_("The log cannot be read: %(why)s") % why)
        result, notes = _evaluated(seen, rest, parameters)
        output = excerpt([*notes, *filter(None, [since]), *seen.first], context)
        return CheckResult(result, str(seen.matched), limit, output, seen.end)


def _noted(context: CheckContext) -> tuple[Mapping[str, Any] | None, str]:
    """Return the log's position when this deployment last started the service or switched the code, else its beginning,
    with a message for the latter; (None, "") where nothing is known.
    """
    lines = journal_lines(context.target, deployment=context.deployment) if context.deployment else []
    noted: list[Mapping[str, Any]] = [line["log"] for line in lines if line.get("log")]
    if noted:
        return noted[-1], ""
    first = lock_record(Layout(context.target.root))
    if context.deployment and first.get("deployment") == context.deployment and first.get("log"):
        return first["log"], _(
            "No step started the service or switched the code, so the log was read from the start of the deployment."
        )
    return None, ""


def _without_position() -> str:
    return _(
        "The log was not read, because no step of this deployment recorded the log position. The next check "
        "reads the lines that are written from now on."
    )


def read(rest: Rest, pattern: re.Pattern[str]) -> Seen:
    """Count the lines of a log from a position on. Raises OSError."""
    seen = Seen()
    for path, start in rest.pieces:
        seen.end = _counted(path, start, pattern, seen)
        if seen.cut:
            break
    return seen


def _counted(path: Path, start: int, pattern: re.Pattern[str], seen: Seen) -> Mapping[str, Any]:
    end = start
    for line, following in log_position.lines_from(path, start):
        end = following
        if not line:
            continue
        seen.lines += 1
        if pattern.search(line):
            seen.matched += 1
            if len(seen.first) < MOST_LINES:
                seen.first.append(line)
    seen.cut = end - start >= log_position.MOST_BYTES
    return log_position.position_at(path, end)


def _evaluated(seen: Seen, rest: Rest, parameters: LogParameters) -> tuple[Result, list[str]]:
    """Return the result and the further facts: the start of the reading, and a part that may be missing."""
    path, start = rest.pieces[0]
    read_from = {"file": path.name, "start": start, "lines": seen.lines}
    notes = [_("%(file)s was read from byte %(start)d on: %(lines)d lines.") % read_from]
    if rest.lost:
        notes.append(
            _("The log was cut or begun anew, and no file beside it holds the earlier content. Lines may be missing.")
        )
    if seen.cut:
        notes.append(_("The log holds more than one check can read. The next check continues from here."))
    if seen.matched > parameters.at_most:
        return Result.FAILED, notes
    if rest.lost or seen.cut or not (seen.lines or parameters.silent_passes):
        return Result.NO_DATA, notes
    return (Result.PASSED if seen.matched >= parameters.at_least else Result.FAILED), notes
