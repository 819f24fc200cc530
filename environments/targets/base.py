"""The contract of what runs on a target: what the executor gives a step type, what it wants back, and the faults."""

import enum
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar

from environments.targets.declared import AfterValidator, BaseModel, ConfigDict
from environments.targets.words import gettext as _


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(_("is not a regular expression: %(fault)s") % {"fault": error}) from error
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]


class Parameters(BaseModel):
    """Parameters of a step kind; validated when the plan is made, frozen on the step's row."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Probe(enum.Enum):
    """What a step kind can tell about its own effect after a crash."""

    DONE = "done"
    NOT_DONE = "not_done"
    RUNNING = "running"
    UNKNOWN = "unknown"


class StepFailed(Exception):
    """The step did not do what it should; the message is shown to people, `state` says what the target is
    in, `facts` are kept as the step's result.
    """

    def __init__(self, message: str, *, state: str = "", facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.state = state
        self.facts = dict(facts or {})


class Overdue(StepFailed):
    """A command was stopped because its time was over, or because it had been silent for too long."""


class NoResponse(Overdue):
    """A request was sent and not answered: its effect at the receiver is unknown."""


class NotProven(StepFailed):
    """The step did what it should, and nothing shows whether that worked: a person looks. `facts` are kept."""


class StopRequested(Exception):
    """A person stops the run: what runs is told to end, and killed when it does not."""


class Fenced(Exception):
    """A later fencing token holds the target or the row; this attempt must leave without any further effect."""


class StillRunning(Exception):
    """The target's lock is held by an attempt that has not ended."""


class ForgottenAttempt(Exception):
    """Another attempt had this fencing token here, and the database does not know it: it was restored, or a failover
    lost the end of it. The effect must be probed first.
    """


@dataclass(frozen=True)
class TargetSpec:
    """One copy of an application on one machine. `settings` is the target's row (see target.py for its keys).

    ssh_key: the private key for the host that the setting `ssh` names; no step, check or host ever gets it. there: it
    is read on that host.
    """

    application: str
    environment: str
    root: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    ssh_key: str = field(default="", repr=False)
    there: bool = False


@dataclass(frozen=True)
class Version:
    """A deployed or wanted version: semantic version, tag, commit and tree object ids (40 hex).

    artefact: what is deployed in place of the commit's tree: archive, file or image; empty: the tree. digest: its
    SHA-256 (64 hex); reference: where it is. `tree` is then the id of its unpacked files, and empty for an image.
    """

    version: str
    tag: str
    commit: str
    tree: str
    artefact: str = ""
    reference: str = ""
    digest: str = ""

    @property
    def code(self) -> str:
        """Return the digest that is measured on a target where this version is deployed."""
        return self.digest if self.artefact == "image" else self.tree


@dataclass(frozen=True)
class StepContext:
    """All that one attempt of one step may know.

    key: idempotency key, `<deployment>/<ordinal>/<plan digest>`; the same for every attempt of the step. fencing_token:
    fencing number of this attempt, higher than that of every earlier one. wanted / previous: the version to reach /
    deployed before (None: nothing was deployed). configuration / previous_configuration: key → value, secrets included;
    never written to logs. earlier: kind → result of the steps of this run that are finished (the rollback gets the way
    out's results). deployment_key: `deployment:<id>`; backups and reports of one run are filed under it. output: takes
    bytes of output as they come. heartbeat: raises Fenced when the attempt is no longer ours, StopRequested (once) when
    the run is being stopped. no_output_timeout_seconds: how long a command may write nothing (None: as long as it
    takes). secrets: values to be masked in output and never to be passed in arguments. fetch: writes the wanted
    artefact, or on a target's host the wanted tree's tar file; None: use `repository`. reported: result, url, says and
    by of the report of a pipeline that deploys by itself. attempt: a word of this attempt's own; the database may lose
    an attempt and give its fencing token again. traceparent: of the attempt's span, for what the step calls (W3C Trace
    Context); empty where no trace is made.
    """

    key: str
    fencing_token: int
    deployment_key: str
    target: TargetSpec
    repository: str
    wanted: Version | None
    previous: Version | None
    configuration: Mapping[str, str]
    previous_configuration: Mapping[str, str]
    earlier: Mapping[str, Mapping[str, Any]]
    deadline_seconds: float
    output: Callable[[bytes], None]
    heartbeat: Callable[[], None]
    secrets: tuple[str, ...] = ()
    no_output_timeout_seconds: float | None = None
    fetch: Callable[[Path], object] | None = None
    reported: Mapping[str, str] = field(default_factory=dict)
    attempt: str = ""
    traceparent: str = ""

    def traced(self, name: str) -> dict[str, str]:
        """Return a header or variable of this name that carries the trace; none where no trace is made."""
        return {name: self.traceparent} if self.traceparent else {}


class StepType(ABC):
    """One kind of step: `run` makes the effect, `probe` looks whether it was made, `describe` serves the dry run."""

    name: ClassVar[str]
    parameters: ClassVar[type[Parameters]]
    repeatable: ClassVar[bool]
    estimate_seconds: ClassVar[float]

    @abstractmethod
    def run(self, context: StepContext, parameters: Any) -> dict[str, Any]:
        """Make the effect; return facts as JSON (digests, counts, paths). Raises StepFailed, Fenced."""

    @abstractmethod
    def probe(self, context: StepContext, parameters: Any) -> tuple[Probe, dict[str, Any]]:
        """Look on the target whether the effect of this key was made; return the result and, if done, the facts."""

    def repeats(self, parameters: Any) -> bool:
        """Tell whether a second run with these parameters is harmless; the parameter `repeatable` overrules the
        kind.
        """
        return bool(getattr(parameters, "repeatable", self.repeatable))

    def waits_until(self, parameters: Any, began: datetime) -> datetime | None:
        """Return the time before which there is nothing to do, for a step that began then; None: do it now. The run
        waits for it without a worker.
        """
        return None

    def asks(self, parameters: Any) -> str:
        """Return what a person must do and confirm in the step's place; empty: a worker does it."""
        return ""

    @abstractmethod
    def describe(self, context: StepContext, parameters: Any) -> list[str]:
        """Return, for a dry run, one line per command or effect, secrets masked."""
