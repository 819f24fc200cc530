"""Reading the ledger for people: the history of one object, newest first.

Pages are keyset pages: pass the number of the last event seen as `before_number` to get the next page.
"""

from __future__ import annotations

from audit.models import Event
from audit.search import Wanted, look


def history_of(object_label: str, limit: int = 50, before_number: int | None = None) -> list[Event]:
    """Return the events of one object (`app.Model:pk`), each with its link, in one query."""
    return look(Wanted(object_label=object_label), limit, before_number).events


def timeline(*, limit: int = 50, before_number: int | None = None, **wanted: object) -> list[Event]:
    """Return the events that fit all filters given; `audit.search.Wanted` says which there are."""
    return look(Wanted(**wanted), limit, before_number).events  # type: ignore[arg-type]
