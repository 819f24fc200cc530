"""A step type: somebody else's pipeline deploys by itself and reports. No worker waits for it."""

from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints

from environments.targets.base import NotProven, Parameters, Probe, StepContext, StepFailed, StepType
from environments.targets.words import gettext as _


class ExternalParameters(Parameters):
    """task: what the pipeline does, in words. account: the name of the service account that reports; left out, each
    that may start deployments there. minutes: how long the report may take.
    """

    task: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
    account: Annotated[str, StringConstraints(min_length=1, max_length=150)] | None = None
    minutes: Annotated[float, Field(gt=0, le=1440)] = 60


class External(StepType):
    """Waits for the report of a pipeline that deploys what was approved; the report is the outcome."""

    name: ClassVar[str] = "external"
    parameters: ClassVar[type[Parameters]] = ExternalParameters
    repeatable: ClassVar[bool] = True
    estimate_seconds: ClassVar[float] = 300

    def waits_until(self, parameters: ExternalParameters, began: datetime) -> datetime | None:
        """Return until when a report is waited for."""
        return began + timedelta(minutes=parameters.minutes)

    def run(self, context: StepContext, parameters: ExternalParameters) -> dict[str, Any]:
        """Return the report as facts: by, url, says. Raises StepFailed for a failure, NotProven without a report."""
        if not context.reported:
            text = _("No pipeline has reported within %(minutes)g minutes: %(task)s")
            raise NotProven(text % {"minutes": parameters.minutes, "task": parameters.task})
        facts = {name: context.reported[name] for name in ("by", "url", "says")}
        context.output(f"{context.reported['result']}: {facts['says']}\n{facts['url']}\n".encode())
        if context.reported["result"] != "succeeded":
            text = _("The pipeline has reported a failure: %(says)s")
            raise StepFailed(text % {"says": facts["says"] or facts["url"] or "—"}, facts=facts)
        return facts

    def probe(self, context: StepContext, parameters: ExternalParameters) -> tuple[Probe, dict[str, Any]]:
        """Return not done: reading the report again is harmless."""
        return Probe.NOT_DONE, {}

    def describe(self, context: StepContext, parameters: ExternalParameters) -> list[str]:
        """Return the line of the dry run."""
        who = parameters.account or _("a service account that may start deployments here")
        return [_("%(task)s — to be reported by %(who)s") % {"task": parameters.task, "who": who}]
