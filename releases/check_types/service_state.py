"""The check type for the service's own process; used by deployments and monitoring."""

import os
import re
import shlex
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from environments.targets.base import Parameters, Probe, StepFailed
from environments.targets.container import container_of, state_of
from environments.targets.declared import Field
from environments.targets.service_proof import answers, lives, occupied, recorded_service, serving
from environments.targets.service_settings import service_of
from environments.targets.target import Layout, filled
from environments.targets.words import gettext as _
from releases.check_types.base import CheckContext, CheckResult, Result, TargetCheck
from releases.check_types.excerpt import excerpt, run_program

# Exit status of a status command: the program runs; it does not (LSB Core 4.1, §22.2, "Init Script Actions").
RUNS, STANDS = 0, (1, 2, 3)


class ServiceStateParameters(Parameters):
    """running: the expected state. up_seconds: the shortest time that it must have run. seconds: deadline."""

    running: bool = True
    up_seconds: float = Field(default=0.0, ge=0)
    seconds: float = Field(default=10.0, gt=0, le=60)


class ServiceState(TargetCheck):
    """Checks that the service runs, and with the deployed version; `service.status` runs a command."""

    name: ClassVar[str] = "service_state"
    parameters: ClassVar[type[Parameters]] = ServiceStateParameters

    def look(self, context: CheckContext, parameters: ServiceStateParameters) -> CheckResult:
        """Check once. A target without a service is no data."""
        try:
            service = service_of(context.target.settings)
        except StepFailed as failed:
            return CheckResult(Result.ERROR, limit=_limit(parameters), output=str(failed))
        if service.status:
            return _by_command(context, parameters, service.status)
        if context.target.settings.get("container"):
            return _of_container(context, parameters)
        if not service.start:
            text = _("The deployment target has no service.")
            return CheckResult(Result.NO_DATA, limit=_limit(parameters), output=text)
        try:
            record = recorded_service(context.target.root)
            if not parameters.running:
                return _of_stopped(context, parameters, record)
            if record is None:
                return CheckResult(
                    Result.FAILED, _("stopped"), _limit(parameters), _("No process of the service is running.")
                )
            return _of_process(context, parameters, record)
        except (OSError, ValueError, KeyError) as error:
            return CheckResult(Result.ERROR, limit=_limit(parameters), output=f"{type(error).__name__}: {error}")


def _limit(parameters: ServiceStateParameters) -> str:
    if not parameters.running:
        return _("stopped")
    return _("running") + (f", ≥ {parameters.up_seconds:g} s" if parameters.up_seconds else "")


def _of_stopped(
    context: CheckContext, parameters: ServiceStateParameters, record: dict[str, Any] | None
) -> CheckResult:
    faults = [_("The service runs.")] if lives(record) else []
    if who := occupied(context.target):
        faults.append(_("A process is responding: %(who)s.") % {"who": who})
    result, value = (Result.FAILED, _("running")) if faults else (Result.PASSED, _("stopped"))
    output = excerpt(faults or [_("No process of the service is running.")], context)
    return CheckResult(result, value, _limit(parameters), output)


def _of_process(context: CheckContext, parameters: ServiceStateParameters, record: dict[str, Any]) -> CheckResult:
    proof, said = serving(context.target, record)
    if not lives(record) and proof is Probe.NOT_DONE:
        faults = [_("No process of the service is running."), *filter(None, [occupied(context.target)])]
        output = excerpt(faults, context)
        return CheckResult(Result.FAILED, _("stopped"), _limit(parameters), output)
    up = time.clock_gettime(time.CLOCK_BOOTTIME) - record["started"] / os.sysconf("SC_CLK_TCK")
    value = _("running, %(seconds)d s") % {"seconds": max(0, int(up))}
    current = os.path.realpath(Layout(context.target.root).current)
    faults = [] if proof is Probe.DONE else [said]
    result = Result.NO_DATA if proof is Probe.UNKNOWN else Result.FAILED
    if record["tree"] and record["tree"] != current:
        faults.append(_("The service runs another version than the deployed version."))
        result = Result.FAILED
    if up < parameters.up_seconds:
        faults.append(_("The service has not run for the required time yet."))
        result = Result.FAILED
    lines = [*faults, f"pid {record['pid']}", str(record["tree"])]
    output = excerpt(lines, context)
    return CheckResult(result if faults else Result.PASSED, value, _limit(parameters), output)


def _of_container(context: CheckContext, parameters: ServiceStateParameters) -> CheckResult:
    try:
        container = container_of(context.target.settings)
        assert container is not None
        state = state_of(context.target, container)
        ready = service_of(context.target.settings).ready
    except StepFailed as failed:
        return CheckResult(Result.ERROR, limit=_limit(parameters), output=excerpt([str(failed)], context))
    runs = state is not None and state.running
    faults = [] if runs == parameters.running else [_("The service runs.") if runs else _("The container is stopped.")]
    up = _seconds_since(state.started_at) if runs and state is not None else 0.0
    if runs and parameters.running:
        if up < parameters.up_seconds:
            faults.append(_("The service has not run for the required time yet."))
        if ready is not None and not answers(ready.url):
            faults.append(_("%(url)s does not answer with a status from 200 to 299") % {"url": ready.url})
    value = _("running, %(seconds)d s") % {"seconds": max(0, int(up))} if runs else _("stopped")
    lines = [*faults, f"{container.name} {state.digest if state is not None else ''}".rstrip()]
    return CheckResult(Result.FAILED if faults else Result.PASSED, value, _limit(parameters), excerpt(lines, context))


def _seconds_since(written: str) -> float:
    """Return the seconds since a time as container engines write it: ISO 8601, or with nanoseconds and UTC's name."""
    found = re.match(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)", written)
    zone = re.search(r"([+-]\d\d):?(\d\d)(?: \S+)?$", written)
    if found is None:
        return 0.0
    offset = f"{zone[1]}:{zone[2]}" if zone is not None else "+00:00"
    return time.time() - datetime.fromisoformat(f"{found[1]}T{found[2]}{offset}").timestamp()


def _by_command(context: CheckContext, parameters: ServiceStateParameters, status: Sequence[str]) -> CheckResult:
    argv, limit = filled(status, context.target), _limit(parameters)
    try:
        outcome = run_program(context, argv, parameters.seconds)
    except StepFailed as failed:
        return CheckResult(Result.ERROR, limit=limit, output=excerpt([str(failed)], context))
    output = excerpt([shlex.join(argv), *outcome.text.splitlines()[-15:]], context)
    if outcome.code != RUNS and outcome.code not in STANDS:
        return CheckResult(Result.ERROR, str(outcome.code), limit, output)
    deployments = outcome.code == RUNS
    result = Result.PASSED if deployments == parameters.running else Result.FAILED
    return CheckResult(result, _("running") if deployments else _("stopped"), limit, output)
