"""The target's option `service`: how its service is started and stopped, and what proves that it serves."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from environments.targets.base import StepFailed
from environments.targets.declared import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from environments.targets.words import gettext as _

# A line of the log that reports an error, as uvicorn, gunicorn, nginx, syslog, logfmt, JSON and Python write it.
LOG_ERRORS = (
    r"\b(ERROR|CRITICAL|FATAL|PANIC|Traceback)\b|\[(error|crit|critical|alert|emerg|fatal)\]"
    r"|\blevel\"?\s?[=:]\s?\"?(error|crit|critical|fatal|panic)\b"
)


def _address(value: str) -> str:
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid:
        raise ValueError(_("must be an address that begins with http:// or https://"))
    return value


class Ready(BaseModel):
    """url: must answer with a status from 200 to 299. seconds: within which time after the start."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    url: str
    seconds: float = Field(default=20.0, gt=0)

    _is_an_address = field_validator("url")(_address)


class VersionReport(BaseModel):
    """How the running service is asked for its version: a URL, or a command (argument list), one of the two.

    json_path: dotted path in a JSON answer. pattern: regular expression with one group. With neither, the whole answer
    is the version.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    url: str = ""
    command: tuple[str, ...] = ()
    json_path: str = ""
    pattern: str = ""

    @model_validator(mode="after")
    def _one_of_each(self) -> "VersionReport":
        if bool(self.url) == bool(self.command):
            raise ValueError(_("set either url or command"))
        if self.json_path and self.pattern:
            raise ValueError(_("set either json_path or pattern, not both"))
        if self.url:
            _address(self.url)
        return self

    @field_validator("pattern")
    @classmethod
    def _has_one_group(cls, value: str) -> str:
        try:
            groups = re.compile(value).groups
        except re.error as error:
            raise ValueError(_("is not a regular expression: %(fault)s") % {"fault": error}) from error
        if value and groups != 1:
            raise ValueError(_("must have exactly one group, which is the version"))
        return value


class Service(BaseModel):
    """The option `service`; every part may be left out.

    start: argument list that runs the service in the foreground, or tells a supervisor to start it. stop: argument list
    that ends a service which Ringi did not start itself. stop_seconds: how long it may take to end. port: the one that
    the started process listens on; left out: that of the ready URL. without_port: it listens nowhere, so that only a
    living process is required. stable_seconds: how long it must serve without a break before the start counts. status:
    argument list; exit status 0: it runs, 1 to 3: it does not.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    start: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    stop_seconds: float = Field(default=10.0, gt=0)
    ready: Ready | None = None
    port: int | None = Field(default=None, gt=0, lt=65536)
    without_port: bool = False
    stable_seconds: float = Field(default=2.0, ge=0, le=300)
    status: tuple[str, ...] = ()
    version: VersionReport | None = None

    @model_validator(mode="after")
    def _listens_or_does_not(self) -> "Service":
        if self.without_port and (self.port is not None or self.ready is not None):
            raise ValueError(_("a service with without_port can have neither port nor ready"))
        return self

    @property
    def listens_on(self) -> int | None:
        """Return the port that the started process must listen on; None where none is known."""
        if self.port is not None or self.ready is None:
            return self.port
        parts = urlsplit(self.ready.url)
        return parts.port or (443 if parts.scheme == "https" else 80)


def service_of(settings: Mapping[str, Any]) -> Service:
    """Return the option as an object. Raises StepFailed for one that cannot be read."""
    try:
        return _read(settings)
    except (ValidationError, TypeError, ValueError) as wrong:
        raise StepFailed("; ".join(faults_in(settings)) or str(wrong)) from wrong


def faults_in(settings: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each fault of the options `service` and `log_error_pattern`."""
    faults: list[str] = []
    try:
        _read(settings)
    except ValidationError as wrong:
        found = [
            ".".join(["service", *map(str, e["loc"])]) + f": {e['msg']}" for e in wrong.errors(include_input=False)
        ]
        faults += [_("target option %(fault)s") % {"fault": text} for text in found]
    except (TypeError, ValueError) as wrong:
        faults.append(_("target option %(fault)s") % {"fault": f"service: {wrong}"})
    try:
        re.compile(log_errors_of(settings))
    except re.error as wrong:
        faults.append(_("target option %(fault)s") % {"fault": f"log_error_pattern: {wrong}"})
    return faults


def log_errors_of(settings: Mapping[str, Any]) -> str:
    """Return the regular expression of a line that reports an error in this target's log."""
    return str(settings.get("log_error_pattern") or LOG_ERRORS)


def _read(settings: Mapping[str, Any]) -> Service:
    given = settings.get("service") or {}
    if not isinstance(given, Mapping):
        raise ValueError("must be an object")
    given = dict(given)
    # On a target's host, where nothing is validated again, the parts are read one by one (ssh/host/carried.py).
    parts: dict[str, type[BaseModel]] = {"ready": Ready, "version": VersionReport}
    for name, part in parts.items():
        if isinstance(given.get(name), Mapping):
            given[name] = part.model_validate(given[name])
    return Service.model_validate(given)
