"""A step type: a task that only a person can do, confirmed with a note. No worker waits for it."""

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from environments.roles import ROLE_CHOICES
from environments.targets.base import Parameters, Probe, StepContext, StepFailed, StepType
from environments.targets.words import gettext as _

ROLES = {role: name for role, name in ROLE_CHOICES if role != "ci"}


def _role(value: str) -> str:
    if value not in ROLES:
        raise ValueError(f"is no role of persons; known: {', '.join(sorted(ROLES))}")
    return value


class ManualParameters(Parameters):
    """task: what is to be done, in words. person (sign-in name) or role, one of the two: who confirms it.

    minutes: how long the person has, at least as long as the procedure gives to every decision request.
    """

    task: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
    person: Annotated[str, StringConstraints(min_length=1, max_length=150)] | None = None
    role: Annotated[str, AfterValidator(_role)] | None = None
    minutes: Annotated[float, Field(gt=0, le=1440)] | None = None

    @model_validator(mode="after")
    def _one(self) -> "ManualParameters":
        if (self.person is None) == (self.role is None):
            raise ValueError("name a person or a role, one of the two")
        return self

    @property
    def who(self) -> str:
        """Return the person's name, or the role's readable name."""
        return self.person or str(ROLES[self.role or ""])


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
