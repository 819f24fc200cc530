"""The last look of a verification: each target has the code and the configuration that the deployment laid there."""

from collections.abc import Mapping

from environments.targets.base import StepFailed
from environments.targets.words import gettext as _
from releases.models import Step
from releases.queries.every_target import LAYING, Digests


def demand_as_laid(step: Step, measured: Mapping[str, Digests]) -> None:
    """Compare what was measured with what the steps of the deployment reported, the last one of each part and target.

    measured: digests by the name of the target. Raises StepFailed where they differ: an operation of a later step, or
    somebody on the host, has changed what was approved.
    """
    if step.phase != Step.Phase.VERIFICATION:
        return
    rows = step.deployment.steps.filter(phase=Step.Phase.DEPLOYMENT, step_type__in=LAYING, state="succeeded")
    laid: dict[tuple[str, str], tuple[int, str]] = {}
    for row in rows.select_related("target").order_by("ordinal"):
        for part in ("code", "configuration"):
            if row.target is not None and row.result.get(part):
                laid[row.target.name, part] = (row.ordinal, row.result[part])
    sentences = {
        "code": _("The code on %(target)s has changed since step %(number)d."),
        "configuration": _("The configuration on %(target)s has changed since step %(number)d."),
    }
    for (name, part), (number, digest) in laid.items():
        if name in measured and measured[name].get(part) != digest:
            raise StepFailed(sentences[part] % {"target": name, "number": number})
