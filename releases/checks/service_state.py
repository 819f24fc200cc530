"""The check kind that looks at the service's own process; used by deployments and watches."""

from __future__ import annotations

import os
import shlex
import time
from typing import Any, ClassVar

from releases.checks.base import CheckContext, CheckResult, TargetCheck, Verdict
from releases.checks.excerpt import excerpt
from releases.checks.program import run_program
from releases.steps.base import Parameters, StepFailed
from releases.steps.declared import Field
from releases.steps.service_control import running_service
from releases.steps.target import Layout, filled
from releases.steps.words import gettext as _

# Exit status of a status command: the program runs; it does not (LSB Core 4.1, §22.2, "Init Script Actions").
RUNS, STANDS = 0, (1, 2, 3)


class ServiceStateParameters(Parameters):
    """running: what is expected. up_seconds: since how long it must have run, at least. seconds: deadline."""

    running: bool = True
    up_seconds: float = Field(default=0.0, ge=0)
    seconds: float = Field(default=10.0, gt=0, le=60)


class ServiceState(TargetCheck):
    """Looks whether the service runs, and that it runs the version in force; `service.status` asks a command."""

    name: ClassVar[str] = "service_state"
    parameters: ClassVar[type[Parameters]] = ServiceStateParameters

    def look(self, context: CheckContext, parameters: ServiceStateParameters) -> CheckResult:
        """Look once. A target without a service is no data."""
        service = context.target.settings.get("service", {})
        if service.get("status"):
            return _by_command(context, parameters, service["status"])
        if not service.get("start"):
            return CheckResult(Verdict.NO_DATA, limit=_limit(parameters), output=_("The target has no service."))
        try:
            found = running_service(context.target.root)
        except (OSError, ValueError, KeyError) as error:
            return CheckResult(Verdict.ERROR, limit=_limit(parameters), output=f"{type(error).__name__}: {error}")
        if found is None:
            verdict = Verdict.FAIL if parameters.running else Verdict.PASS
            return CheckResult(verdict, _("stopped"), _limit(parameters), _("No process of the service lives."))
        return _of_process(context, parameters, found)


def _limit(parameters: ServiceStateParameters) -> str:
    if not parameters.running:
        return _("stopped")
    return _("running") + (f", ≥ {parameters.up_seconds:g} s" if parameters.up_seconds else "")


def _of_process(context: CheckContext, parameters: ServiceStateParameters, found: dict[str, Any]) -> CheckResult:
    up = time.clock_gettime(time.CLOCK_BOOTTIME) - found["started"] / os.sysconf("SC_CLK_TCK")
    value = _("running, %(seconds)d s") % {"seconds": max(0, int(up))}
    current = os.path.realpath(Layout(context.target.root).current)
    lines = [f"pid {found['pid']}", str(found["tree"])]
    faults = []
    if not parameters.running:
        faults.append(_("The service runs."))
    if parameters.running and found["tree"] and found["tree"] != current:
        faults.append(_("Another version runs than the one in force."))
    if parameters.running and up < parameters.up_seconds:
        faults.append(_("It has not run for that long yet."))
    verdict = Verdict.FAIL if faults else Verdict.PASS
    return CheckResult(
        verdict, value, _limit(parameters), excerpt([*faults, *lines], context.configuration, context.secrets)
    )


def _by_command(context: CheckContext, parameters: ServiceStateParameters, status: list[str]) -> CheckResult:
    argv, limit = filled(status, context.target), _limit(parameters)
    try:
        outcome = run_program(context, argv, parameters.seconds)
    except StepFailed as failed:
        return CheckResult(
            Verdict.ERROR, limit=limit, output=excerpt([str(failed)], context.configuration, context.secrets)
        )
    output = excerpt([shlex.join(argv), *outcome.text.splitlines()[-15:]], context.configuration, context.secrets)
    if outcome.code != RUNS and outcome.code not in STANDS:
        return CheckResult(Verdict.ERROR, str(outcome.code), limit, output)
    runs = outcome.code == RUNS
    verdict = Verdict.PASS if runs == parameters.running else Verdict.FAIL
    return CheckResult(verdict, _("running") if runs else _("stopped"), limit, output)
