"""A step type: a task that only a person can do, confirmed with a note. No worker waits for it."""

from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints, model_validator

from environments.roles import ROLE_CHOICES
from environments.targets.base import Parameters, Probe, StepContext, StepFailed, StepType
from environments.targets.words import gettext as _

_SHIPPED = dict(ROLE_CHOICES)


class ManualParameters(Parameters):
    """task: what is to be done, in words. person (sign-in name) or role, one of the two: who confirms it.

    minutes: how long the person has, at least as long as the procedure gives to every decision request.
    """

    task: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
    person: Annotated[str, StringConstraints(min_length=1, max_length=150)] | None = None
    role: Annotated[str, StringConstraints(min_length=1, max_length=60)] | None = None
    minutes: Annotated[float, Field(gt=0, le=1440)] | None = None

    @model_validator(mode="after")
    def _one(self) -> "ManualParameters":
        if (self.person is None) == (self.role is None):
            raise ValueError(_("name a person or a role, one of the two"))
        return self

    @property
    def who(self) -> str:
        """Return the person's name, or the role: a shipped one by its name, another by its key."""
        return self.person or str(_SHIPPED.get(self.role or "", self.role))


class Manual(StepType):
    """The deployment waits until the named person, or one with the role, confirms the task."""

    name: ClassVar[str] = "manual"
    parameters: ClassVar[type[Parameters]] = ManualParameters
    repeatable: ClassVar[bool] = False
    estimate_seconds: ClassVar[float] = 300

    def asks(self, parameters: ManualParameters) -> str:
        """Return the task and who confirms it."""
        return _("%(task)s — to be confirmed by %(who)s") % {"task": parameters.task, "who": parameters.who}

    def run(self, context: StepContext, parameters: ManualParameters) -> dict[str, Any]:
        """Refuse: no worker does what a person must do."""
        raise StepFailed(self.asks(parameters))

    def probe(self, context: StepContext, parameters: ManualParameters) -> tuple[Probe, dict[str, Any]]:
        """Return unknown: only the person knows."""
        return Probe.UNKNOWN, {}

    def describe(self, context: StepContext, parameters: ManualParameters) -> list[str]:
        """Return the line of the dry run."""
        return [self.asks(parameters)]
