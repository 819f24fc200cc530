"""The contract of a saved test: a question that auditors ask of a period, its population, and what stands out."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db.models import Model, QuerySet

from environments.access_as_of import AccessAsOf, once_protected
from environments.models import Account
from releases.models import ApprovalDecision, Deployment

# So many rows are held at once, and their relations asked for together: a query takes no more than 65,535 values.
CHUNK = 2000
# What is read of a deployment and of a word of approval; plans and documents are a hundred times as long.
RUN: tuple[str, ...] = (
    *(
        "application",
        "environment",
        "requested_by",
        "scheduled_by",
        "verified_by",
        "started_at",
        "previous",
        "measured",
    ),
    *("plan_digest", "release__application", "release__version", "release__number", "release__kind", "release__author"),
    *("release__created_at", "release__configurations", "release__procedure"),
    *("approval_request__digest", "approval_request__rules", "approval_request__state"),
)
WORD: tuple[str, ...] = (
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
    """One line of a result: what stands in each column, and the row that it is about (shown as a link)."""

    cells: tuple[Any, ...]
    about: Model | None = None


@dataclass
class Outcome:
    """What a test found. examined: the size of the population; rows: exceptions, or the list that was asked for. notes:
    figures beside the rows, as (name, value).
    """

    examined: int = 0
    rows: list[Row] = field(default_factory=list)
    notes: list[tuple[Any, Any]] = field(default_factory=list)

    def found(self, about: Model | None, *cells: Any) -> None:
        """Keep one row."""
        self.rows.append(Row(cells, about))


@dataclass
class Scope:
    """The period asked about (since inclusive, until exclusive, database time) and what several tests read of it."""

    since: datetime
    until: datetime

    @cached_property
    def then(self) -> AccessAsOf:
        """The history of access up to the end of the period."""
        return AccessAsOf(self.until)

    def runs(self) -> QuerySet[Deployment]:
        """Return the runs that started in a protected environment in the period; taking its protection away hides none."""
        return (
            Deployment.objects.filter(
                environment__in=once_protected(), started_at__gte=self.since, started_at__lt=self.until
            )
            .select_related("release", "approval_request")
            .only(*RUN)
            # What thousands of rows share is read once for CHUNK of them, and not with each.
            .prefetch_related(
                "release__application",
                "release__author",
                "release__procedure__author",
                "environment",
                "requested_by",
                "scheduled_by",
                "verified_by",
                "approval_request__decisions__account",
                "approval_request__decisions__on_behalf",
            )  # fmt: skip
            .order_by("started_at")
        )

    def approvals(self) -> QuerySet[ApprovalDecision]:
        """Return every word given in an approval request in the period."""
        return (
            ApprovalDecision.objects.filter(at__gte=self.since, at__lt=self.until)
            .select_related("approval_request__release")
            .only(*WORD)
            .prefetch_related(
                "account", "on_behalf", "approval_request__release__application", "approval_request__environment"
            )
            .order_by("at")
        )


@dataclass(frozen=True)
class SavedTest:
    """One test. key: its address; listing: its rows are a list that was asked for and no exceptions. moment: it asks
    about the end of the period alone.
    """

    key: str
    title: Any
    question: Any
    columns: tuple[Any, ...]
    run: Callable[[Scope], Outcome]
    listing: bool = False
    moment: bool = False


def words_for(deployment: Deployment) -> list[ApprovalDecision]:
    """Return the words that count as consent to what a run brought."""
    return (
        list(counting(deployment.approval_request.decisions.all())) if deployment.approval_request is not None else []
    )


def counting(words: Iterable[ApprovalDecision]) -> Iterator[ApprovalDecision]:
    """Keep the words that count as consent."""
    return (word for word in words if word.decision in ApprovalDecision.COUNTING)


def persons(word: ApprovalDecision) -> list[Account]:
    """Return whose word it is: who gave it, and for whom."""
    return [word.account] if word.on_behalf is None else [word.account, word.on_behalf]
