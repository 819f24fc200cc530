"""The contract of a saved audit test: an auditor's question about a period, its population, and its exceptions."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db.models import FETCH_PEERS, Model, Prefetch, QuerySet

from environments.access_as_of import AccessAsOf, once_protected
from environments.models import Account
from releases.models import ApprovalDecision, Deployment, Procedure

# Rows are held in chunks, and their relations read per chunk: a query takes at most 65,535 values.
CHUNK = 2000
# Columns that the tests read of a deployment and of an approval decision; plans and documents are a hundred times
# larger.
DEPLOYMENT: tuple[str, ...] = (
    *(
        "application",
        "environment",
        "requested_by",
        "scheduled_by",
        "verified_by",
        "started_at",
        "procedure",
        "previous",
        "measured",
    ),
    *("plan_digest", "release__application", "release__version", "release__number", "release__kind", "release__author"),
    *("release__created_at", "release__configurations", "release__procedure"),
    *("approval_request__digest", "approval_request__rules", "approval_request__state"),
)
DECISION: tuple[str, ...] = (
    *(
        "account",
        "on_behalf",
        "decision",
        "roles",
        "at",
        "signature",
        "approval_request__rules",
        "approval_request__environment",
    ),
    *(
        "approval_request__requested_by",
        "approval_request__subject",
        "approval_request__digest",
        "approval_request__release__application",
        "approval_request__release__version",
    ),
)


@dataclass(frozen=True)
class Row:
    """One line of a result: the value of each column, and the row that it is about (shown as a link)."""

    cells: tuple[Any, ...]
    about: Model | None = None


@dataclass
class Outcome:
    """The result of a test. examined: the size of the population; rows: exceptions, or the requested list. notes:
    figures beside the rows, as (name, value).
    """

    examined: int = 0
    rows: list[Row] = field(default_factory=list)
    notes: list[tuple[Any, Any]] = field(default_factory=list)

    def found(self, about: Model | None, *cells: Any) -> None:
        """Add one row."""
        self.rows.append(Row(cells, about))


@dataclass
class Scope:
    """The period of the question (since inclusive, until exclusive, database time) and data of several tests."""

    since: datetime
    until: datetime

    @cached_property
    def then(self) -> AccessAsOf:
        """The history of access up to the end of the period."""
        return AccessAsOf(self.until)

    def deployments(self) -> QuerySet[Deployment]:
        """Return the period's deployments in protected environments, even if the protection ended since."""
        return (
            Deployment.objects.filter(
                environment__in=once_protected(), started_at__gte=self.since, started_at__lt=self.until
            )
            .select_related("release", "approval_request")
            .only(*DEPLOYMENT)
            # Relations shared by thousands of rows are read once per CHUNK.
            .prefetch_related(
                "release__application",
                "release__author",
                "release__procedure__author",
                Prefetch("procedure", Procedure.objects.only("key")),
                "environment",
                "requested_by",
                "scheduled_by",
                "verified_by",
                "approval_request__decisions__account",
                "approval_request__decisions__on_behalf",
            )
            .order_by("started_at")
            # A test that needs more reads it for its chunk, and not row by row.
            .fetch_mode(FETCH_PEERS)
        )

    def approvals(self) -> QuerySet[ApprovalDecision]:
        """Return every decision on an approval request in the period."""
        return (
            ApprovalDecision.objects.filter(at__gte=self.since, at__lt=self.until)
            .select_related("approval_request__release")
            .only(*DECISION)
            .prefetch_related(
                "account",
                "on_behalf",
                "approval_request__requested_by",
                "approval_request__release__application",
                "approval_request__environment",
            )
            .order_by("at")
            .fetch_mode(FETCH_PEERS)
        )


@dataclass(frozen=True)
class SavedTest:
    """One test. key: its address; listing: its rows are no exceptions. moment: it asks about the period's end only."""

    key: str
    title: Any
    question: Any
    columns: tuple[Any, ...]
    run: Callable[[Scope], Outcome]
    listing: bool = False
    moment: bool = False


def decisions_for(deployment: Deployment) -> list[ApprovalDecision]:
    """Return the decisions that count as approval of a deployment."""
    return (
        list(counting(deployment.approval_request.decisions.all())) if deployment.approval_request is not None else []
    )


def counting(decisions: Iterable[ApprovalDecision]) -> Iterator[ApprovalDecision]:
    """Keep the decisions that count as approval."""
    return (decision for decision in decisions if decision.decision in ApprovalDecision.COUNTING)


def persons(decision: ApprovalDecision) -> list[Account]:
    """Return the persons of a decision: the approver, and the person on whose behalf they approved."""
    return [decision.account] if decision.on_behalf is None else [decision.account, decision.on_behalf]
