"""Proves that the service which Ringi started is the one that serves; called by service_control and by checks.

Two proofs count: the started process, or one that descends from it, listens on the port; or the service itself reports
the wanted version. With neither the version is unknown, and a person decides.
"""

import http.client
import json
import re
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from environments.targets.base import Probe, StepFailed, TargetSpec
from environments.targets.json_paths import ABSENT, at_path
from environments.targets.processes import (
    Listener,
    family,
    holders,
    listeners,
    named_process,
    sockets_of,
    start_time,
    visible,
)
from environments.targets.runner import run_on
from environments.targets.service_settings import Service, VersionReport, service_of
from environments.targets.target import Layout, filled
from environments.targets.words import gettext as _

ANSWER_SECONDS = 2.0
COMMAND_SECONDS = 10.0
MOST_BYTES = 65_536
# A commit may be reported shortened to so many characters; fewer name no commit.
LEAST_COMMIT = 7


def recorded_service(root: Path) -> dict[str, Any] | None:
    """Return what the last start on the target wrote down, whether that process lives or not; None: nothing yet.

    pid, started (clock ticks since boot), started_at (ISO, UTC), key, tree, configuration, version {version, tag,
    commit}, log (its position at the start), reported_before (the version was reported before the start already),
    exit_code (0: the command that started it has ended well, None: it was not waited for).
    """
    path = Layout(root).service_record
    if not path.exists():
        return None
    known: dict[str, Any] = {"key": "", "tree": "", "configuration": "", "version": {}, "log": None}
    return known | {"reported_before": False, "exit_code": None} | json.loads(path.read_bytes())


def lives(record: Mapping[str, Any] | None) -> bool:
    """Tell whether the very process that is recorded lives."""
    return record is not None and start_time(record["pid"]) == record["started"]


def occupied(target: TargetSpec) -> str:
    """Return who serves at the target's port or ready URL now, as a sentence; empty for none."""
    service = service_of(target.settings)
    if found := _listening(service):
        return _("port %(port)s is used by %(who)s") % {"port": service.listens_on, "who": holders(found)}
    if service.ready is not None and answers(service.ready.url):
        return _("%(url)s answers") % {"url": service.ready.url}
    return ""


def serving(target: TargetSpec, record: Mapping[str, Any] | None) -> tuple[Probe, str]:
    """Look once whether the recorded service serves.

    DONE: it does, with how that is proven ("version", "port", "process"). NOT_DONE: it does not, with why. UNKNOWN:
    something serves, and nothing shows that it is the recorded service; with what would prove it.
    """
    service = service_of(target.settings)
    if record is None:
        return Probe.NOT_DONE, _("no process of the service is recorded")
    alive = lives(record)
    if not alive and service.version is None:
        return Probe.NOT_DONE, _("the process that was started has ended")
    if service.ready is not None and not answers(service.ready.url):
        return Probe.NOT_DONE, _("%(url)s does not answer with a status from 200 to 299") % {"url": service.ready.url}
    if service.version is not None:
        if fault := version_fault(target, record):
            return Probe.NOT_DONE, fault
        # A process that was left behind may report it as well: then the start itself must have told a supervisor, or
        # served.
        if not record["reported_before"] or record["exit_code"] == 0:
            return Probe.DONE, "version"
    if not alive:
        return Probe.UNKNOWN, _("the reported version was the same before the start")
    if service.without_port:
        return Probe.DONE, "process"
    if service.listens_on is None:
        return Probe.UNKNOWN, _("the process is running, but the target options name no port for it")
    return _owns(service, record["pid"])


def _owns(service: Service, leader: int) -> tuple[Probe, str]:
    named: dict[str, Any] = {"port": service.listens_on}
    found = _listening(service)
    if not found:
        said = _("no process on this host listens on port %(port)s") % named
        return (Probe.NOT_DONE if service.ready is None else Probe.UNKNOWN), said
    own = sockets_of(family(leader))
    if not (others := [listener for listener in found if listener.inode not in own]):
        return Probe.DONE, "port"
    named |= {"who": holders(others), "started": named_process(leader)}
    said = _("port %(port)s is used by %(who)s, not by the started %(started)s") % named
    return (Probe.NOT_DONE if visible(others) else Probe.UNKNOWN), said


def _listening(service: Service) -> list[Listener]:
    if service.listens_on is None:
        return []
    # A port that is named may be asked for on any address; that of the ready URL is where the URL leads.
    host = "" if service.port is not None or service.ready is None else urlsplit(service.ready.url).hostname
    return listeners(service.listens_on, host or "")


def version_fault(target: TargetSpec, record: Mapping[str, Any]) -> str:
    """Return why the service does not report the version that was started; empty when it does."""
    report = service_of(target.settings).version
    assert report is not None
    try:
        answer = reported(target, report)
    except StepFailed as failed:
        return str(failed)
    wanted: Mapping[str, str] = record["version"]
    if is_version(answer, wanted):
        return ""
    # Not what the whole answer holds: a page that is no version may be long, and may hold anything.
    said = {"reported": answer[:60], "wanted": wanted.get("version") or "—"}
    return _("the service reports version “%(reported)s”, not “%(wanted)s”") % said


def is_version(answer: str, wanted: Mapping[str, str]) -> bool:
    """Tell whether what a service reports is this version: its number, its tag, or its commit (7 characters or
    more).
    """
    if not answer:
        return False
    if answer in (wanted.get("version"), wanted.get("tag")):
        return True
    commit = wanted.get("commit", "")
    return len(answer) >= LEAST_COMMIT and bool(commit) and commit.startswith(answer.lower())


def reported(target: TargetSpec, report: VersionReport) -> str:
    """Ask the running service for its version. Raises StepFailed when it does not say one."""
    text = _asked(target, report)
    if report.json_path:
        try:
            found = at_path(json.loads(text), report.json_path)
        except ValueError:
            found = ABSENT
        if found == ABSENT or isinstance(found, dict | list | None):
            raise StepFailed(_("the service's answer contains no version at “%(path)s”") % {"path": report.json_path})
        return str(found).strip()
    if report.pattern:
        match = re.search(report.pattern, text)
        if match is None:
            raise StepFailed(_("the service's answer contains no version that matches the pattern"))
        return match[1].strip()
    return text.strip()


def _asked(target: TargetSpec, report: VersionReport) -> str:
    if report.command:
        argv = filled(report.command, target)
        outcome = run_on(target, argv, seconds=COMMAND_SECONDS)
        if outcome.code != 0:
            said = {"command": Path(argv[0]).name, "code": outcome.code}
            raise StepFailed(_("%(command)s, which asks for the version, ended with exit code %(code)d") % said)
        return outcome.text
    content = _fetched(report.url)
    if content is None:
        raise StepFailed(_("%(url)s, where the service reports its version, does not answer") % {"url": report.url})
    return content.decode(errors="replace")


def answers(url: str) -> bool:
    """Tell whether a URL itself answers with a status from 200 to 299 within two seconds."""
    return _fetched(url, 0) is not None


class _Stays(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: a page of sign-in, or another service, would answer in place of the one that is asked."""

    def redirect_request(self, *_given: Any) -> None:
        """Leave the redirect as the answer."""


def opened(url: str, seconds: float) -> Any:
    """Request a URL without proxies and redirects. Raises HTTPError for a status other than 200 to 299, OSError."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stays).open(url, timeout=seconds)


def _fetched(url: str, most: int = MOST_BYTES) -> bytes | None:
    try:
        with opened(url, ANSWER_SECONDS) as response:
            content: bytes = response.read(most)
            return content if 200 <= response.status < 300 else None
    except (http.client.HTTPException, OSError):
        return None


def running_service(root: Path) -> dict[str, Any] | None:
    """Return the record of the target's service if that very process lives, else None."""
    record = recorded_service(root)
    return record if lives(record) else None
