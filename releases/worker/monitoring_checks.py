"""The checks of monitoring beside the metrics (no operation: a measured series): logs, alerts, backups (R7, G5, B2)."""

import dataclasses
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from pydantic import ValidationError

from audit.clock import now
from environments.models.environment import targets_in
from environments.targets.masking import clean
from environments.targets.words import gettext as _
from releases import check_types
from releases.check_types.base import CheckContext, CheckResult, Result
from releases.metric_sources.triggers import firing, named_after
from releases.models import Deployment, MonitoringCheck, MonitoringPeriod
from releases.procedures.process import with_values
from releases.queries.monitoring import slots_of
from releases.queries.target_spec import configuration_for, specs_for
from releases.worker.timeouts import MARGIN_SECONDS, TimedOut, interrupt_after
from releases.worker.trigger_reaction import react

log = logging.getLogger(__name__)


def run_checks(monitoring_id: int, *, due: datetime) -> list[MonitoringCheck]:
    """Make every check of a monitoring period once and record the results; a failed one counts for the triggers of that
    name.

    Each check reads the log from where its last read ended, the first from the start of the service, so that no line is
    lost with a worker or the queue. What happened in a pause is left out. Second checks for one due time are dropped.
    """
    monitoring = (
        MonitoringPeriod.objects.select_related("deployment__process", "deployment__environment")
        .filter(pk=monitoring_id, ended_at=None, paused_at=None)
        .first()
    )
    if monitoring is None:
        return []
    # After a pause the start of the service lies before it, and the lines in between are of other deployments.
    deployment = "" if monitoring.resumed_at is not None else f"deployment:{monitoring.deployment_id}"
    ends, given, values = _ends(monitoring), configuration_for(monitoring), _values(monitoring.deployment)
    kept = []
    for row in monitoring.checks:
        found, specs = {}, specs_for(monitoring, row.get("on", ""))
        for name, spec in specs.items():
            # Of several targets each has its own log, and its own place in it.
            end = ends.get(row["key"]) if len(specs) == 1 else (ends.get(row["key"]) or {}).get(name)
            found[name] = made_by(
                _valued(row, values.get(name, {})), CheckContext(spec, *given, deployment=deployment, position=end)
            )
        if (made := _kept(monitoring, row, due, worst(found))) is not None:
            kept.append(made)
    if kept:
        feed(monitoring)
    return kept


def _values(deployment: Deployment) -> dict[str, dict[str, str]]:
    """Return name of a target → the values that the variables of the deployment process have there."""
    if deployment.process is None:
        return {}
    place, process = deployment.environment, deployment.process.document
    targets = targets_in(deployment.application_id, place)
    return {target.name: process.values_in(place.slug, target.name, target.group) for target in targets}


def _valued(row: Mapping[str, Any], values: Mapping[str, str]) -> Mapping[str, Any]:
    return {**row, "parameters": with_values(row["parameters"], values)}


# What decides where targets differ: a failed check before one without a result.
SEVERITY = (Result.FAILED, Result.ERROR, Result.STALE, Result.NO_DATA, Result.PASSED)


def worst(found: Mapping[str, CheckResult]) -> CheckResult:
    """Return one result of a check on several targets (by name): the worst, with what each target said."""
    if len(found) == 1:
        return next(iter(found.values()))
    if not found:
        return CheckResult(Result.ERROR, output=_("no deployment target belongs to the group of this check"))
    result = min((one.result for one in found.values()), key=SEVERITY.index)
    shown = next(one for one in found.values() if one.result is result)
    value = ", ".join(f"{name}: {one.value}" for name, one in found.items() if one.value)
    output = "\n".join(f"{name}: {one.output}" for name, one in found.items() if one.output)
    positions = {name: one.position for name, one in found.items() if one.position is not None}
    return CheckResult(result, value, shown.limit, output, positions or None)


def _ends(monitoring: MonitoringPeriod) -> dict[str, Any]:
    """Return key of a check → where its last read of the log ended, since the monitoring began or was resumed."""
    approval_requests = MonitoringCheck.objects.filter(
        period=monitoring, position__isnull=False, at__gte=monitoring.resumed_at or monitoring.started_at
    )
    last = approval_requests.order_by("key", "-due_at").distinct("key")
    return dict(last.values_list("key", "position"))


def made_by(row: Mapping[str, Any], context: CheckContext) -> CheckResult:
    """Make one check as it was frozen, without secrets in its message; a check that cannot be made is an error."""
    try:
        kind = check_types.by_name(row["type"])
        # A pattern that goes back and forth in a line of the log would else keep the only worker of the checks.
        with interrupt_after(kind.longest_seconds + MARGIN_SECONDS):
            result = kind.run(context, kind.parameters.model_validate(row["parameters"]))
    except (check_types.UnknownType, ValidationError) as fault:
        said = _("“%(kind)s” cannot run as it was planned: %(why)s") % {"kind": row["type"], "why": fault}
        result = CheckResult(Result.ERROR, output=said)
    except (Exception, TimedOut) as fault:  # noqa: BLE001  later checks go on, and no result is no pass
        result = CheckResult(Result.ERROR, output=f"{type(fault).__name__}: {fault}")
        log.error("check %s: %s", row["key"], clean(result.output, context.secrets))
    shown = {name: clean(getattr(result, name), context.secrets).replace("\0", "") for name in ("value", "output")}
    return dataclasses.replace(result, **shown)


def _kept(
    monitoring: MonitoringPeriod, row: Mapping[str, Any], due: datetime, result: CheckResult
) -> MonitoringCheck | None:
    try:
        with transaction.atomic():
            return MonitoringCheck.objects.create(
                period=monitoring,
                key=row["key"],
                due_at=due,
                at=now(),
                result=result.result.value,
                value=result.value[:200],
                limit=result.limit[:200],
                output=result.output,
                position=result.position,
            )
    except IntegrityError:
        return None


def feed(monitoring: MonitoringPeriod) -> None:
    """Evaluate the triggers that are named after a check."""
    _measured, triggers = named_after(monitoring.checks, monitoring.triggers)
    slots = slots_of(monitoring)
    react(
        monitoring.deployment_id,
        monitoring.rollback_id,
        firing(triggers, slots, monitoring.baseline, monitoring.check_seconds),
        slots,
    )
