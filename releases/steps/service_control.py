"""The target's service as a plain process: stop, start, restart; a step kind."""

from __future__ import annotations

import json
import os
import select
import shlex
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from releases.steps import detach
from releases.steps.base import Parameters, Probe, StepContext, StepFailed
from releases.steps.masking import masked
from releases.steps.runner import base_environment, demand, run_command, secrets_of
from releases.steps.target import (
    Held,
    Layout,
    TargetStep,
    configuration_digest,
    filled,
    journal_lines,
    journal_once,
)
from releases.steps.words import gettext as _

POLL_SECONDS = 0.05
# Without a `ready` address a service counts as started when it lives this long.
SETTLE_SECONDS = 0.5
_LAST_LINES = 5


class ServiceParameters(Parameters):
    """action: stop, start, or restart (stop what runs, then start)."""

    action: Literal["stop", "start", "restart"]


class ServiceControl(TargetStep):
    """Stops and starts the service; a process is touched only when its start time is the recorded one."""

    name: ClassVar[str] = "service_control"
    parameters: ClassVar[type[Parameters]] = ServiceParameters
    repeatable: ClassVar[bool] = True
    estimate_seconds: ClassVar[float] = 30

    def make(self, context: StepContext, held: Held, parameters: ServiceParameters) -> dict[str, Any]:
        """Stop, start, or both; facts: stopped (pid), pid, started_at (ISO time, UTC), ready_seconds,
        nothing_to_stop, nothing_to_start.
        """
        facts: dict[str, Any] = {}
        running = running_service(context.target.root)
        started_by_us = running is not None and running["key"] == context.key
        if parameters.action in ("stop", "restart") and not started_by_us:
            facts |= self._stop(context, running)
            running = None
        if parameters.action == "stop":
            return facts
        layout = Layout(context.target.root)
        if not layout.current.is_symlink():
            return facts | {"nothing_to_start": True}
        if running is None:
            context.beat()
            start_service(context, held)
        elif not started_by_us and not _is_current(context, running):
            raise StepFailed(_("another version of the service is running: restart it or stop it first"))
        record, seconds = _wait_until_ready(context, held)
        journal_once(context, "service_control:started", pid=record["pid"], tree=record["tree"])
        return facts | _process(record) | {"ready_seconds": round(seconds, 3)}

    def look(self, context: StepContext, held: Held, parameters: ServiceParameters) -> tuple[Probe, dict[str, Any]]:
        """Done when the service is as wanted, by the process itself, and this key's line is there."""
        running = running_service(context.target.root)
        if parameters.action == "stop":
            stopped = journal_lines(context.target, key=context.key, effect="service_control:stopped")
            if running is None and stopped:
                return Probe.DONE, {"stopped": stopped[-1]["pid"]}
            return Probe.NOT_DONE, {}
        if not Layout(context.target.root).current.is_symlink():
            return (Probe.DONE, {"nothing_to_start": True}) if running is None else (Probe.NOT_DONE, {})
        lines = journal_lines(context.target, key=context.key, effect="service_control:started")
        if running is None or not lines or lines[-1]["pid"] != running["pid"] or not _answers(context.target.settings):
            return Probe.NOT_DONE, {}
        return Probe.DONE, _process(running)

    def describe(self, context: StepContext, parameters: ServiceParameters) -> list[str]:
        """Return the lines of the dry run, secrets masked."""
        service = context.target.settings.get("service", {})
        lines: list[str] = []
        if parameters.action != "start":
            lines.append(_("stop the service: TERM, KILL after %(seconds)s s") % {"seconds": _stop_seconds(service)})
        if parameters.action != "stop":
            command = shlex.join(filled(service.get("start", ()), context.target))
            lines.append(masked(command, secrets_of(context)) or _("no service is configured"))
        return lines

    @staticmethod
    def _stop(context: StepContext, running: Mapping[str, Any] | None) -> dict[str, Any]:
        if running is None:
            stopped = journal_once(context, "service_control:stopped", pid=None)["pid"]
            return {"stopped": stopped, "nothing_to_stop": stopped is None}
        killed = stop_service(running, _stop_seconds(context.target.settings.get("service", {})), context.beat)
        journal_once(context, "service_control:stopped", pid=running["pid"], killed=killed)
        return {"stopped": running["pid"], "killed": killed}


def _stop_seconds(service: Mapping[str, Any]) -> float:
    return float(service.get("stop_seconds", 10))


def start_time(pid: int) -> int | None:
    """Return the start time of a living process (clock ticks since boot); None when there is none, or a dead
    one.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def _process(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of the recorded process: pid, and the time of its start in ISO form, UTC."""
    return {"pid": record["pid"], "started_at": record["started_at"]}


def running_service(root: Path) -> dict[str, Any] | None:
    """Return the record of the target's service if that very process lives, else None."""
    path = Layout(root).service_record
    if not path.exists():
        return None
    record: dict[str, Any] = {"key": "", "tree": "", "configuration": ""} | json.loads(path.read_bytes())
    return record if start_time(record["pid"]) == record["started"] else None


def stop_service(record: Mapping[str, Any], seconds: float, beat: Callable[[], None]) -> bool:
    """End the recorded process and its group, TERM first, KILL after `seconds`; return whether KILL was
    needed.
    """
    pid = int(record["pid"])
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        # From here on the descriptor means this process, whatever becomes of its number.
        if start_time(pid) != record["started"]:
            return False
        leads = os.getpgid(pid) == pid
        _send(process, pid, leads, signal.SIGTERM)
        until = time.monotonic() + seconds
        while time.monotonic() < until and not _gone(process, pid, leads):
            select.select([process], [], [], POLL_SECONDS)
            if _ended(process) and leads:
                time.sleep(POLL_SECONDS)
            beat()
        if _gone(process, pid, leads):
            return False
        _send(process, pid, leads, signal.SIGKILL)
        select.select([process], [], [], 10)
        if not _ended(process):
            raise StepFailed(_("process %(pid)d does not end, not even by KILL") % {"pid": pid})
        return True
    finally:
        os.close(process)


def _ended(process: int) -> bool:
    return bool(select.select([process], [], [], 0)[0])


def _gone(process: int, group: int, leads: bool) -> bool:
    if not _ended(process):
        return False
    return not leads or not _group_lives(group)


def _group_lives(group: int) -> bool:
    """Tell whether a living process is in the group; the dead who nobody has waited for do not count."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[2]) == group and fields[0] not in (b"Z", b"X"):
                return True
    return False


def _send(process: int, group: int, leads: bool, number: signal.Signals) -> None:
    try:
        if leads:
            os.killpg(group, number)
        else:
            signal.pidfd_send_signal(process, number)
    except ProcessLookupError:
        return


def start_service(context: StepContext, held: Held) -> None:
    """Start the service detached: it holds neither the target's lock nor any tie to the worker."""
    layout = Layout(context.target.root)
    command = context.target.settings.get("service", {}).get("start")
    if not command:
        raise StepFailed(_("the target's settings name no command that starts the service"))
    log = layout.log(context.target.settings)
    log.parent.mkdir(parents=True, exist_ok=True)
    layout.service_record.unlink(missing_ok=True)
    tree, digest = os.path.realpath(layout.current), configuration_digest(context.target)
    places = (str(layout.service_record), str(log), context.key, tree, digest)
    starter = [*detach.starter(), *places]
    outcome = run_command(
        [*starter, *filled(command, context.target)],
        environment=base_environment({"RINGI_TARGET_ROOT": str(context.target.root)}),
        folder=layout.root,
        seconds=max(0.0, held.until - time.monotonic()),
        beat=context.beat,
    )
    demand(outcome, starter)


def _is_current(context: StepContext, record: Mapping[str, Any]) -> bool:
    tree = os.path.realpath(Layout(context.target.root).current)
    return bool(record["tree"] == tree and record["configuration"] == configuration_digest(context.target))


def _answers(settings: Mapping[str, Any]) -> bool:
    ready = settings.get("service", {}).get("ready")
    if not ready:
        return True
    address = str(ready["url"])
    if not address.startswith(("http://", "https://")):
        raise StepFailed(_("not an address of a service: %(url)s") % {"url": address})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=2) as response:
            return bool(200 <= response.status < 300)
    except (urllib.error.URLError, OSError):
        return False


def _wait_until_ready(context: StepContext, held: Held) -> tuple[dict[str, Any], float]:
    """Wait until the recorded process lives and answers; raises StepFailed with the log's last lines when it
    does not.
    """
    settings = context.target.settings
    ready = settings.get("service", {}).get("ready")
    began = time.monotonic()
    until = min(held.until, began + (float(ready.get("seconds", 20)) if ready else SETTLE_SECONDS))
    while True:
        running = running_service(context.target.root)
        if running is not None and ready and _answers(settings) and running_service(context.target.root):
            return running, time.monotonic() - began
        if running is None:
            raise _failure(context, _("the service ended while it was starting"))
        if time.monotonic() >= until:
            break
        context.beat()
        time.sleep(POLL_SECONDS)
    if not ready:
        return running, time.monotonic() - began
    raise _failure(context, _("the service does not answer after %(seconds)d s") % {"seconds": round(until - began)})


def _failure(context: StepContext, message: str) -> StepFailed:
    log = Layout(context.target.root).log(context.target.settings)
    text = ""
    if log.exists():
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            text = masked(file.read().decode(errors="replace"), secrets_of(context))
    last = "\n".join(text.strip().splitlines()[-_LAST_LINES:])
    return StepFailed(f"{message}\n{last}" if last else message, state=last)
