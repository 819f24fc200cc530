"""The check kind that counts suspicious lines in the log; used by deployments and watches."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from releases.checks.base import CheckContext, CheckResult, TargetCheck, Verdict
from releases.checks.excerpt import MOST_LINES, excerpt
from releases.steps.base import Parameters
from releases.steps.declared import Field, field_validator, model_validator
from releases.steps.target import Layout
from releases.steps.words import gettext as _

LONGEST_LINE = 4000
MOST_BYTES = 64_000_000
TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?\s?(Z|[+-]\d\d:?\d\d)?")
TIME_KEYS = ("at", "time", "timestamp", "ts")


class LogParameters(Parameters):
    """pattern: regular expression of a line that counts. at_most, at_least: how many there may and must be.

    silent_passes: a log without any line since the run began passes; else it is no data. zone: of the times that the
    log writes without an offset.
    """

    pattern: str = "ERROR|CRITICAL|Traceback"
    at_most: int = Field(default=0, ge=0)
    at_least: int = Field(default=0, ge=0)
    silent_passes: bool = False
    zone: str = "UTC"

    @field_validator("zone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("is no time zone of the IANA list") from error
        return value

    @field_validator("pattern")
    @classmethod
    def _is_a_pattern(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value

    @model_validator(mode="after")
    def _can_be_met(self) -> LogParameters:
        if self.at_least > self.at_most:
            raise ValueError("at_least is above at_most")
        return self


@dataclass
class Seen:
    """What a log held since a time: number of its lines, of those that matched, and the first of these."""

    lines: int = 0
    matched: int = 0
    first: list[str] = field(default_factory=list)


class Log(TargetCheck):
    """Counts the lines of the target's log that match a pattern."""

    name: ClassVar[str] = "log"
    parameters: ClassVar[type[Parameters]] = LogParameters

    def look(self, context: CheckContext, parameters: LogParameters) -> CheckResult:
        """Count once. A log that is missing, or silent since the run began, is no data."""
        limit = f"≤ {parameters.at_most}"
        if parameters.at_least:
            limit = f"{parameters.at_least} ≤ … {limit}"
        path = Layout(context.target.root).log(context.target.settings)
        if not path.resolve().is_relative_to(context.target.root.resolve()):
            return CheckResult(Verdict.ERROR, limit=limit, output=_("The log lies outside the target."))
        try:
            # A host need know no zones where none is named.
            zone = UTC if parameters.zone == "UTC" else ZoneInfo(parameters.zone)
            seen = count(lines_of(path), context.since, re.compile(parameters.pattern), zone)
        except ZoneInfoNotFoundError:
            unknown = {"zone": parameters.zone}
            return CheckResult(Verdict.ERROR, limit=limit, output=_("The host knows no zone “%(zone)s”.") % unknown)
        except FileNotFoundError:
            return CheckResult(Verdict.NO_DATA, limit=limit, output=_("There is no log."))
        except OSError as error:
            why = {"why": error.strerror or str(error)}
            return CheckResult(Verdict.ERROR, limit=limit, output=_("The log can't be read: %(why)s") % why)
        if not seen.lines and not parameters.silent_passes:
            return CheckResult(Verdict.NO_DATA, limit=limit, output=_("The log has no line since the run began."))
        fits = parameters.at_least <= seen.matched <= parameters.at_most
        verdict = Verdict.PASS if fits else Verdict.FAIL
        return CheckResult(
            verdict, str(seen.matched), limit, excerpt(seen.first, context.configuration, context.secrets)
        )


def lines_of(path: Path) -> Iterator[str]:
    """Yield the lines of a log, of a very long one those in its last MOST_BYTES. Raises OSError."""
    with path.open("rb") as log:
        size = log.seek(0, 2)
        log.seek(max(0, size - MOST_BYTES))
        if size > MOST_BYTES:
            log.readline()  # the rest of a line that began before
        while line := log.readline(LONGEST_LINE):
            yield line.decode("utf-8", "replace").rstrip("\r\n")


def count(lines: Iterable[str], since: datetime, pattern: re.Pattern[str], zone: tzinfo = UTC) -> Seen:
    """Count the lines since a time. One without a time of its own belongs to the line before it.

    Lines before the first time are counted: whether they are old can't be known. zone: of times without an offset.
    """
    seen, recent = Seen(), True
    for line in lines:
        at = time_of(line, zone)
        if at is not None:
            recent = at >= cut_as(line, since)
        if not recent or not line:
            continue
        seen.lines += 1
        if pattern.search(line):
            seen.matched += 1
            if len(seen.first) < MOST_LINES:
                seen.first.append(line)
    return seen


def cut_as(line: str, moment: datetime) -> datetime:
    """Return a moment cut to the digits in which a line writes its own, so that one of the same moment is not before it."""
    found = TIME.match(_stamp(line))
    digits = len(found[3] or "") if found is not None else 0
    unit = 10 ** max(0, 6 - digits)
    return moment.replace(microsecond=moment.microsecond // unit * unit)


def time_of(line: str, zone: tzinfo = UTC) -> datetime | None:
    """Return the ISO time at the start of a line or in a JSON line's time key; without an offset it is of `zone`."""
    found = TIME.match(_stamp(line))
    if found is None:
        return None
    day, clock, fraction, offset = found.groups()
    try:
        at = datetime.fromisoformat(f"{day}T{clock}.{(fraction or '0')[:6]:0<6}{offset or ''}")
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=zone)


def _stamp(line: str) -> str:
    """Return the text that begins with the time of a line, if it has one."""
    if not line.startswith("{"):
        return line
    try:
        fields = json.loads(line)
    except ValueError:
        return ""
    return next((str(fields[key]) for key in TIME_KEYS if key in fields), "")
