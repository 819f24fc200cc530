"""A step type: the target's service as a plain process: stop, start, restart."""

import json
import os
import select
import shlex
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, ClassVar, Literal

from environments.targets import detach
from environments.targets.base import NotProven, Overdue, Parameters, Probe, StepContext, StepFailed
from environments.targets.log_position import after_start, log_position
from environments.targets.masking import masked
from environments.targets.processes import group_lives, start_time
from environments.targets.runner import run_on, secrets_of
from environments.targets.sandbox import inside, sandbox_of
from environments.targets.service_proof import (
    is_version,
    lives,
    occupied,
    recorded_service,
    reported,
    running_service,
    serving,
)
from environments.targets.service_settings import Service, VersionReport, service_of
from environments.targets.target import (
    Held,
    Layout,
    TargetStep,
    configuration_digest,
    filled,
    journal_lines,
    journal_once,
)
from environments.targets.words import gettext as _

POLL_SECONDS = 0.05
# How long a service without a ready URL may take until it serves.
START_SECONDS = 20.0
# At least so many checks in a row must find it serving.
LEAST_LOOKS = 3
STARTED, STOPPED = "service_control:started", "service_control:stopped"
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
        """Stop, start, or both; facts: stopped (pid), pid, started_at (ISO time, UTC), ready_seconds, proved_by,
        nothing_to_*.

        proved_by: port, version or process. nothing_to_stop, nothing_to_start: there was nothing to do. Raises
        NotProven when nothing shows which process serves.
        """
        facts: dict[str, Any] = {}
        service = service_of(context.target.settings)
        running = running_service(context.target.root)
        started_by_us = running is not None and running["key"] == context.key
        if parameters.action in ("stop", "restart") and not started_by_us:
            facts |= _stop(context, held, service, running, only=parameters.action == "stop")
            running = None
        if parameters.action == "stop":
            return facts
        if not Layout(context.target.root).current.is_symlink():
            return facts | {"nothing_to_start": True}
        if running is None:
            context.heartbeat()
            start_service(context, held, service)
        elif not started_by_us and not _is_current(context, running):
            raise StepFailed(_("another version of the service is running: restart it or stop it first"))
        record, seconds, result, said = _wait_until_serving(context, held, service)
        facts |= _process(record) | {"ready_seconds": round(seconds, 3)}
        proof = said if result is Probe.DONE else ""
        # The log of a service that ran before this step is read from here on.
        ours = record["key"] == context.key
        path = Layout(context.target.root).log(context.target.settings)
        log = after_start(path, record["log"]) if ours else log_position(path)
        journal_once(context, STARTED, pid=record["pid"], tree=record["tree"], log=log, proved_by=proof)
        if not proof:
            raise NotProven(f"{said}. {_how_to_prove()}", facts=facts)
        return facts | {"proved_by": proof}

    def look(self, context: StepContext, held: Held, parameters: ServiceParameters) -> tuple[Probe, dict[str, Any]]:
        """Done when the service is as wanted and this key's line is there; else the fact `why` names what is
        missing.
        """
        if parameters.action == "stop":
            stopped = journal_lines(context.target, key=context.key, effect=STOPPED)
            stands = running_service(context.target.root) is None and not occupied(context.target)
            return (Probe.DONE, {"stopped": stopped[-1]["pid"]}) if stands and stopped else (Probe.NOT_DONE, {})
        record = recorded_service(context.target.root)
        if not Layout(context.target.root).current.is_symlink():
            return (Probe.NOT_DONE, {}) if lives(record) else (Probe.DONE, {"nothing_to_start": True})
        lines = journal_lines(context.target, key=context.key, effect=STARTED)
        if not lines or record is None or lines[-1]["pid"] != record["pid"]:
            return Probe.NOT_DONE, {"why": _("the recorded process is not the one that was started")}
        result, said = serving(context.target, record)
        if result is Probe.DONE:
            return result, _process(record) | {"proved_by": said}
        if result is Probe.NOT_DONE and not lines[-1]["proved_by"] and occupied(context.target):
            result = Probe.UNKNOWN  # no more than what was known at the start
        return result, {"why": said}

    def describe(self, context: StepContext, parameters: ServiceParameters) -> list[str]:
        """Return the lines of the dry run, secrets masked."""
        service = service_of(context.target.settings)
        lines: list[str] = []
        if parameters.action != "start":
            lines.append(_("stop the service: TERM, KILL after %(seconds)s s") % {"seconds": service.stop_seconds})
            if service.stop:
                lines.append(masked(shlex.join(filled(service.stop, context.target)), secrets_of(context)))
        if parameters.action != "stop":
            command = shlex.join(filled(service.start, context.target))
            lines.append(masked(command, secrets_of(context)) or _("no service is configured"))
        return lines


def _stop(
    context: StepContext, held: Held, service: Service, running: Mapping[str, Any] | None, *, only: bool
) -> dict[str, Any]:
    """Stop the running service; `only`: none is started afterwards, so that whatever still serves is a failure."""
    known = journal_lines(context.target, key=context.key, effect=STOPPED)
    facts: dict[str, Any] = {"stopped": known[-1]["pid"] if known else None}
    if running is not None:
        killed = stop_service(running, service.stop_seconds, context.heartbeat)
        facts = {"stopped": running["pid"], "killed": killed}
        journal_once(context, STOPPED, pid=running["pid"], killed=killed)
    failed = ""
    if service.stop:
        try:
            held.run(filled(service.stop, context.target))
        except Overdue:
            raise
        except StepFailed as failure:
            failed = str(failure)  # no failure where there was nothing to stop
    elif running is None:
        facts["nothing_to_stop"] = facts["stopped"] is None
    # A process that has just ended may leave its port to children that end a moment later.
    until = time.monotonic() + (service.stop_seconds if running is not None or service.stop else 0.0)
    while (who := occupied(context.target)) and time.monotonic() < until:
        context.heartbeat()
        time.sleep(POLL_SECONDS)
    if failed and (who or service.listens_on is None):
        raise StepFailed(failed, facts=facts)
    if who and only:
        raise StepFailed(
            _(
                "Something still answers after the stop: %(who)s. Ringi ends only the process that it started. "
                "End the remaining process on the target and retry, or name a command that ends it as "
                "service.stop in the target options."
            )
            % {"who": who},
            facts=facts,
        )
    journal_once(context, STOPPED, pid=facts["stopped"], killed=facts.get("killed", False))
    return facts


def _process(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of the recorded process: pid, and the time of its start in ISO form, UTC."""
    return {"pid": record["pid"], "started_at": record["started_at"]}


def stop_service(record: Mapping[str, Any], seconds: float, heartbeat: Callable[[], None]) -> bool:
    """End the recorded process and its group, TERM first, KILL after `seconds`; return whether KILL was needed."""
    pid = int(record["pid"])
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        # From here on the descriptor means this process, even if its number is used again.
        if start_time(pid) != record["started"]:
            return False
        leads = os.getpgid(pid) == pid
        _send(process, pid, leads, signal.SIGTERM)
        until = time.monotonic() + seconds
        while time.monotonic() < until and not _gone(process, pid, leads):
            select.select([process], [], [], POLL_SECONDS)
            if _ended(process) and leads:
                time.sleep(POLL_SECONDS)
            heartbeat()
        if _gone(process, pid, leads):
            return False
        _send(process, pid, leads, signal.SIGKILL)
        select.select([process], [], [], 10)
        if not _ended(process):
            raise StepFailed(_("process %(pid)d does not end, even after the KILL signal") % {"pid": pid})
        return True
    finally:
        os.close(process)


def _ended(process: int) -> bool:
    return bool(select.select([process], [], [], 0)[0])


def _gone(process: int, group: int, leads: bool) -> bool:
    if not _ended(process):
        return False
    return not leads or not group_lives(group)


def _send(process: int, group: int, leads: bool, number: signal.Signals) -> None:
    try:
        if leads:
            os.killpg(group, number)
        else:
            signal.pidfd_send_signal(process, number)
    except ProcessLookupError:
        return


def start_service(context: StepContext, held: Held, service: Service) -> None:
    """Start the service detached: it holds neither the target's lock nor any tie to the worker.

    Refused when something serves at its port or ready URL already, unless the service itself reports its version.
    """
    layout = Layout(context.target.root)
    if not service.start:
        raise StepFailed(_("the target options name no command that starts the service"))
    before = recorded_service(context.target.root)
    wanted = asdict(context.wanted) if context.wanted is not None else {}
    if before is not None and before["key"] == context.key:
        reported_before = bool(before["reported_before"])
    else:
        reported_before = service.version is not None and _reports(context, service.version, wanted)
    if service.version is None and (who := occupied(context.target)):
        raise StepFailed(
            _(
                "The service was not started, because something already answers: %(who)s. Ringi did not start "
                "that process, and its answers could be mistaken for those of the new version. End the process "
                "on the target and retry. Where a proxy uses this port, name the service's own port as "
                "service.port in the target options. Where the service continues during a deployment, name "
                "service.version."
            )
            % {"who": who}
        )
    log = inside(context.target, layout.log(context.target.settings))
    log.parent.mkdir(parents=True, exist_ok=True)
    beside = {
        "key": context.key,
        "tree": os.path.realpath(layout.current),
        "configuration": configuration_digest(context.target),
        "version": wanted,
        "log": log_position(log),
        "reported_before": reported_before,
    }
    layout.service_record.unlink(missing_ok=True)
    # Only where the version cannot distinguish the new service from the earlier one, the end of the start command does.
    waits = (service.ready.seconds if service.ready is not None else START_SECONDS) if reported_before else 0.0
    starter = [*detach.starter(), str(layout.service_record), str(log.resolve()), json.dumps(beside), str(waits)]
    arguments = filled(service.start, context.target)
    outcome = run_on(
        context.target,
        [*starter, json.dumps(sandbox_of(context.target, arguments[0]), default=asdict), *arguments],
        seconds=max(0.0, held.until - time.monotonic()),
        heartbeat=context.heartbeat,
        confined=False,  # the program that it starts is confined, once it is recorded
    )
    if outcome.code != 0:
        text = _("the command that starts the service ended with exit code %(code)d")
        raise _failure(context, text % {"code": outcome.code})


def _reports(context: StepContext, report: VersionReport, wanted: Mapping[str, str]) -> bool:
    try:
        return is_version(reported(context.target, report), wanted)
    except StepFailed:
        return False


def _is_current(context: StepContext, record: Mapping[str, Any]) -> bool:
    tree = os.path.realpath(Layout(context.target.root).current)
    return bool(record["tree"] == tree and record["configuration"] == configuration_digest(context.target))


def _wait_until_serving(context: StepContext, held: Held, service: Service) -> tuple[dict[str, Any], float, Probe, str]:
    """Wait until the started service serves, several times over `stable_seconds` without a break.

    Return its record, the seconds until it first served, DONE or UNKNOWN, and the proof or why there is none. Raises
    StepFailed with the log's last lines when it does not serve.
    """
    began = time.monotonic()
    until = min(held.until, began + (service.ready.seconds if service.ready is not None else START_SECONDS))
    served_at, looks = began, 0
    while True:
        record = recorded_service(context.target.root)
        result, said = serving(context.target, record)
        moment = time.monotonic()
        if result is not Probe.NOT_DONE and record is not None:
            served_at, looks = (served_at, looks + 1) if looks else (moment, 1)
            if looks >= LEAST_LOOKS and moment - served_at >= service.stable_seconds:
                return record, served_at - began, result, said
        else:
            looks = 0
            if service.version is None and not lives(record):
                if record is not None and (who := occupied(context.target)):
                    return record, moment - began, Probe.UNKNOWN, f"{said}; {who}"
                raise _failure(context, _("the service ended while it was starting"))
            if moment >= until:
                seconds = {"seconds": round(moment - began), "why": said}
                raise _failure(context, _("the service does not serve after %(seconds)d s: %(why)s") % seconds)
        context.heartbeat()
        time.sleep(max(POLL_SECONDS, service.stable_seconds / 8) if looks else POLL_SECONDS)


def _how_to_prove() -> str:
    return _(
        "Ringi cannot confirm that the started version is the one that answers. Check the target. To confirm "
        "later deployments, set one of these target options. Use service.version to ask the service for its "
        "version. Use service.ready or service.port to name where the started process listens, or "
        "service.without_port if it listens nowhere."
    )


def _failure(context: StepContext, message: str) -> StepFailed:
    log = inside(context.target, Layout(context.target.root).log(context.target.settings))
    text = ""
    if log.exists():
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            text = masked(file.read().decode(errors="replace"), secrets_of(context))
    last = "\n".join(text.strip().splitlines()[-_LAST_LINES:])
    return StepFailed(f"{message}\n{last}" if last else message, state=last)
