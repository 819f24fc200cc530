"""Which rows have changed of late, from the events of the ledger: what a page that is open asks again and again.

An event is seen as soon as its transaction has ended, pending or linked, and never twice.
"""

import json
import time
from collections import deque
from collections.abc import Collection
from functools import cache
from typing import Final
from uuid import UUID

from django.apps import apps
from django.db.models import ForeignKey, Max

from audit.models import Event, LedgerEntry, PendingEvent

# A transaction that lasts longer is seen when its events are linked, a second later.
LONGEST: Final = 60.0
ANYTHING: Final = "*"
MOST: Final = 2000


@cache
def _keys(model: str) -> dict[str, str]:
    """Return column → the model that it points at (`app.Model`), of a model by the name that events give it."""
    try:
        fields = apps.get_model(model)._meta.concrete_fields
    except (LookupError, ValueError):
        return {}
    return {
        field.attname: field.related_model._meta.label
        for field in fields
        if isinstance(field, ForeignKey) and field.target_field.primary_key
    }


def touched(event: Event) -> set[str]:
    """Return what an event is about: its row as `app.Model:pk`, the model itself, and the rows that a new row points
    at.
    """
    model = event.object.partition(":")[0]
    found = {event.object, model, ANYTHING}
    if event.kind == Event.Kind.ROW and event.outcome == "inserted":
        after = json.loads(bytes(event.bytes))["after"]
        found |= {f"{label}:{after[key]}" for key, label in _keys(model).items() if after.get(key) is not None}
    return found


class Changes:
    """Reads on from where it is: events that are written after its beginning."""

    def __init__(self) -> None:
        self._number = LedgerEntry.objects.aggregate(n=Max("number"))["n"] or 0
        self._seen = dict.fromkeys(PendingEvent.objects.values_list("event_id", flat=True), time.monotonic())
        self._read = deque[tuple[float, int]]()
        self._low = 0

    def read(self) -> set[str]:
        """Return what was touched since the last reading, as `touched` names it, in two queries."""
        now = time.monotonic()
        pending = PendingEvent.objects.filter(position__gt=self._low).select_related("event").order_by("-position")
        linked = LedgerEntry.objects.filter(number__gt=self._number).select_related("event").order_by("number")
        # Pending first: what is linked between the two readings is in the second. The newest of them, for many wait
        # while no one links.
        waiting, entries = list(pending[:MOST]), list(linked[:MOST])
        if waiting:
            self._read.append((now, waiting[0].position))
        while self._read and self._read[0][0] < now - LONGEST:
            self._low = self._read.popleft()[1]
        if entries:
            self._number = entries[-1].number
        found: set[str] = set()
        for event in (row.event for rows in (waiting, entries) for row in rows):
            if event.pk not in self._seen:
                found |= touched(event)
            self._seen[event.pk] = now
        self._forget(now)
        return found

    def _forget(self, now: float) -> None:
        """Drop what can no longer come a second time."""
        if len(self._seen) > 2 * MOST:
            waiting: set[UUID] = set(PendingEvent.objects.values_list("event_id", flat=True))
            self._seen = {pk: at for pk, at in self._seen.items() if pk in waiting or at > now - LONGEST}


def newest(labels: Collection[str]) -> str:
    """Return a text that differs once there is a newer event about rows (`app.Model:pk`), models of few rows
    (`app.Model`), or anything.
    """
    if ANYTHING in labels:
        # Linking an event takes it from the one and adds it to the other.
        linked = LedgerEntry.objects.aggregate(n=Max("number"))["n"] or 0
        return str(linked + PendingEvent.objects.count())
    rows = [label for label in labels if ":" in label]
    found = [Event.objects.filter(object__in=rows).order_by("-at", "-pk").values_list("pk", flat=True).first()]
    for model in sorted(set(labels) - set(rows)):
        # All that begin with the model and a colon; a semicolon is the next character.
        found.append(Event.objects.filter(object__gt=f"{model}:", object__lt=f"{model};").aggregate(n=Max("at"))["n"])
    return " ".join(map(str, found))
