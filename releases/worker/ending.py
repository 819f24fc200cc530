"""What an attempt that was cut off says: in what state it left the target."""

from dataclasses import replace

from releases import steps
from releases.models import Step
from releases.steps.base import Fenced, Probe, StepContext
from releases.steps.words import gettext as _
from releases.worker.cut import MARGIN_SECONDS, CutOff, cut_off_after

PROBE_SECONDS = 60


def state_of(step: Step, context: StepContext) -> tuple[str, str]:
    """Look on the target after a command was cut off; return the probe's verdict ("" for a check) and a sentence.

    What cannot be looked at is unknown. Raises Fenced when the step has been taken over.
    """
    if step.kind == "check":
        return "", ""
    sentences = {
        Probe.DONE: _("On the target its effect is there."),
        Probe.NOT_DONE: _("On the target its effect is not there."),
        Probe.RUNNING: _("Something of it still runs on the target."),
        Probe.UNKNOWN: _("Nobody can tell in what state the target is; look at it."),
    }
    short = replace(context, deadline_seconds=min(context.deadline_seconds, PROBE_SECONDS))
    try:
        kind = steps.kind(step.kind)
        with cut_off_after(PROBE_SECONDS + MARGIN_SECONDS):
            verdict, _facts = kind.probe(short, kind.parameters(**step.parameters))
    except Fenced:
        raise
    except (Exception, CutOff):  # noqa: BLE001  a look that fails tells nothing about the target
        verdict = Probe.UNKNOWN
    return verdict.value, sentences[verdict]
