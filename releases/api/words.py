"""Types of request values, each bounded, so that no malformed value reaches an operation."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Self

from ninja import Schema
from pydantic import (
    AfterValidator,
    AwareDatetime,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from environments.roles import PERMISSION_LABELS
from environments.times import FIRST_YEAR, LAST_YEAR
from releases import evidence_readers
from releases.models import ChangeEntry, Deployment, Release, Rollback, Step
from releases.step_types import STEP_TYPES

# No control characters in a line; in a text the line break and the tab are allowed.
_LINE = r"^[^\x00-\x1f\x7f]*$"
_TEXT = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"


def _near(at: datetime) -> datetime:
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise ValueError(f"lies outside of the years {FIRST_YEAR} to {LAST_YEAR}")
    return at


def one_of(words: Iterable[str]) -> WithJsonSchema:
    """Describe a value of a list; the look-up checks it, with a message of its own."""
    return WithJsonSchema({"type": "string", "enum": [str(word) for word in words]})


PERMISSIONS = tuple(sorted(PERMISSION_LABELS))
ReleaseState = Annotated[str, one_of(Release.State.values)]
ReleaseKind = Annotated[str, one_of(Release.Kind.values)]
DeploymentState = Annotated[str, one_of(Deployment.State.values)]
StepState = Annotated[str, one_of(Step.State.values)]
StepType = Annotated[str, one_of(sorted({*(kind.name for kind in STEP_TYPES), "check"}))]
RollbackState = Annotated[str, one_of(Rollback.State.values)]
ChangeKind = Annotated[str, one_of(ChangeEntry.Kind.values)]
EvidenceType = Annotated[str, one_of(evidence_readers.NAMES)]
Permission = Annotated[str, one_of(PERMISSIONS)]
Line = Annotated[str, StringConstraints(pattern=_LINE, max_length=200)]
Slug = Annotated[str, StringConstraints(pattern=r"^[-a-zA-Z0-9_]+$", max_length=60)]
Ticket = Annotated[str, StringConstraints(pattern=_LINE, max_length=100)]
Version = Annotated[str, StringConstraints(pattern=_LINE, min_length=1, max_length=60)]
Revision = Annotated[str, StringConstraints(pattern=_LINE, max_length=200)]
CommitId = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]
Text = Annotated[str, StringConstraints(pattern=_TEXT, max_length=20_000)]
Why = Annotated[str, StringConstraints(pattern=_TEXT, max_length=2_000)]
MustWhy = Annotated[str, StringConstraints(pattern=_TEXT, max_length=2_000, min_length=1)]
Moment = Annotated[AwareDatetime, AfterValidator(_near)]
Id = Annotated[int, Field(ge=1, le=2**63 - 1)]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]


class Body(Schema):
    """JSON body of a call: an object without unknown fields."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="wrap")
    @classmethod
    def be_an_object(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Refuse a value that is not an object: its attributes would count as the fields (of `"a"`, `str.title`)."""
        if not isinstance(value, dict | cls):
            raise ValueError("is no object")
        return handler(value)
