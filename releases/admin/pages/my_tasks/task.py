"""One line of My tasks, and where such lines come from."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Model, QuerySet

from environments.admin.rights import Rights
from environments.application_scope import within
from environments.models import Account
from releases.admin.components.links import page_of

MOST = 30


@dataclass(frozen=True)
class Task:
    """One open task: what to do, about what, where, and until when. signs: the page to sign has it, too."""

    what: str
    about: str
    url: str
    note: str = ""
    due: datetime | None = None
    zone: str = ""
    urgent: bool = False
    signs: bool = False


@dataclass(frozen=True)
class Reader:
    """The person whose tasks are listed."""

    rights: Rights
    account: Account
    moment: datetime

    def own[M: Model](self, rows: QuerySet[M], right: str = "read") -> QuerySet[M]:
        """Keep the rows of the applications for which the reader has a right in any environment."""
        return within(rows, self.rights.applications_for(right))


# The right without which a list is empty (none: the list asks row by row), and the list in a fixed number of queries.
Source = tuple[str, Callable[[Reader], Iterator[Task]]]


def task_on(row: Any, what: str, note: str = "", due: datetime | None = None, *, at: str = "", **more: Any) -> Task:
    """Return a task about a row; `at`: the place on its page."""
    return Task(what, str(row), page_of(row) + at, note, due, **more)
