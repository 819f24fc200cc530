"""The last check of a verification: the service that the deployment started is still the one that serves."""

from dataclasses import replace

from environments.targets.base import NotProven, Probe, StepContext, StepFailed, StillRunning
from environments.targets.words import gettext as _
from releases import step_types
from releases.models import Step
from releases.worker.ending import PROBE_SECONDS
from releases.worker.timeouts import MARGIN_SECONDS, interrupt_after

ENDS_WITH_A_LOOK = ("verification", "rollback_verification")


def demand_still_serving(step: Step, context: StepContext) -> None:
    """Check again with the last step of a verification; without it no person can verify, for nothing is measured.

    Raises StepFailed when the service no longer serves as its step has proven, NotProven when that can't be told, and
    StillRunning when the target is locked.
    """
    if step.phase not in ENDS_WITH_A_LOOK:
        return
    rows = step.deployment.steps.filter(target=step.target_id) if step.wave else step.deployment.steps.all()
    if rows.filter(ordinal__gt=step.ordinal, phase=step.phase).exists():
        return
    starts = rows.filter(step_type__in=("service_control", "container"), state="succeeded")
    start = starts.filter(ordinal__lt=step.ordinal).order_by("ordinal").last()
    if start is None:
        return
    kind = step_types.by_name(start.step_type)
    least = min(context.deadline_seconds, PROBE_SECONDS)
    own = replace(context, key=start.key, fencing_token=start.fencing_token, deadline_seconds=least)
    with interrupt_after(PROBE_SECONDS + MARGIN_SECONDS):
        result, facts = kind.probe(own, kind.parameters(**start.parameters))
    why = {"why": facts.get("why") or "—"}
    if result is Probe.RUNNING:
        raise StillRunning("the target is locked while its service is asked for again")
    if result is Probe.NOT_DONE:
        raise StepFailed(_("The service that was started no longer serves: %(why)s") % why)
    if result is Probe.UNKNOWN and start.decision.get("verb") != "step:mark_succeeded":
        raise NotProven(_("Ringi cannot confirm that the service that was started still serves: %(why)s") % why)
