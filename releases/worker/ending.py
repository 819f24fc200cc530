"""The end of an attempt that was cut off: in what state it left the target."""

from dataclasses import replace

from environments.targets.base import Fenced, Probe, StepContext
from environments.targets.words import gettext as _
from releases import step_types
from releases.models import Step
from releases.worker.timeouts import MARGIN_SECONDS, TimedOut, interrupt_after

PROBE_SECONDS = 60


def state_of(step: Step, context: StepContext) -> tuple[str, str]:
    """Probe the target after a command was cut off; return the probe's result ("" for a check) and a sentence.

    A failed probe gives unknown. Raises Fenced when the step has been reclaimed.
    """
    if step.step_type == "check":
        return "", ""
    sentences = {
        Probe.DONE: _("The deployment target shows the effect of this step."),
        Probe.NOT_DONE: _("The deployment target does not show that this step is complete."),
        Probe.RUNNING: _("Part of this step still runs on the deployment target."),
        Probe.UNKNOWN: _("The state of the deployment target is unknown. Check the deployment target."),
    }
    short = replace(context, deadline_seconds=min(context.deadline_seconds, PROBE_SECONDS))
    try:
        kind = step_types.by_name(step.step_type)
        with interrupt_after(PROBE_SECONDS + MARGIN_SECONDS):
            result, _facts = kind.probe(short, kind.parameters(**step.parameters))
    except Fenced:
        raise
    except (Exception, TimedOut):  # noqa: BLE001  a probe that fails tells nothing about the target
        result = Probe.UNKNOWN
    return result.value, sentences[result]
