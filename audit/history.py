"""Reading the ledger for people: the history of one object, and the timeline over everything, newest first.

Pages are keyset pages: pass the number of the last event seen as `before_number` to get the next page.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet

from audit.models import Event


def _page(events: QuerySet[Event], limit: int, before_number: int | None) -> list[Event]:
    events = events.filter(link__isnull=False)
    if before_number is not None:
        events = events.filter(link__number__lt=before_number)
    return list(events.select_related("link").order_by("-link__number")[:limit])


def history_of(object_label: str, limit: int = 50, before_number: int | None = None) -> list[Event]:
    """Return the events of one object (`app.Model:pk`), each with its link, in one query."""
    return _page(Event.objects.filter(object=object_label), limit, before_number)


def timeline(
    *,
    account_id: int | None = None,
    actor: str = "",
    object_label: str = "",
    model: str = "",
    action: str = "",
    outcome: str = "",
    kind: str = "",
    channel: str = "",
    act: UUID | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    words: str = "",
    limit: int = 50,
    before_number: int | None = None,
) -> list[Event]:
    """Return the events that fit all filters given.

    account_id: a person or service account under any name it had; actor: the exact label; model:
    `app.Model`, all its objects; since (inclusive) and until (exclusive): database time; words: part of the
    reason, any case.
    """
    events = Event.objects.all()
    exact = {
        "actor": actor,
        "object": object_label,
        "action": action,
        "outcome": outcome,
        "kind": kind,
        "channel": channel,
        "act": act,
    }
    events = events.filter(**{field: value for field, value in exact.items() if value})
    if account_id is not None:
        # "C" collation: everything from `person:7:` up to `person:7;` begins with `person:7:`.
        events = events.filter(actor__gte=f"person:{account_id}:", actor__lt=f"person:{account_id};") | events.filter(
            actor__gte=f"service:{account_id}:", actor__lt=f"service:{account_id};"
        )
    if model:
        events = events.filter(object__gte=f"{model}:", object__lt=f"{model};")
    if since is not None:
        events = events.filter(at__gte=since)
    if until is not None:
        events = events.filter(at__lt=until)
    if words:
        events = events.filter(reason__icontains=words)
    return _page(events, limit, before_number)
