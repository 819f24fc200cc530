"""A comparison of all history rows and of all audited rows with the ledger, in slices that can be broken off anywhere.

The scheduler gives it a slice of its round while one is due; `manage.py audit_reconcile` does all at once. Its outcome
is an event (`audit:reconcile`), and for rows that no event explains, or that are not what their events say, another
(`audit:history_alarm`), with a message in the outbox (`ledger:alarm`).
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from audit.audited_tables import AUDITED_TABLES, AuditedTable
from audit.clock import now
from audit.ledger.link import link_pending
from audit.models import Event, Reconciliation
from audit.operation import operation
from audit.reconciliation.compare import (
    Compared,
    ComparedTable,
    Happened,
    Row,
    Unexplained,
    compared_tables,
    events_of,
    rows_of,
)
from audit.reconciliation.rows import Table, rows_of_events, rows_without_event

OUTCOME, ALARM = "audit:reconcile", "audit:history_alarm"
MOST = 200
ROWS = 5000
SLICE = 0.2
# Models whose history began with a migration (app, name): older events have no row.
LATER_HISTORY = {"environments.Account": ("environments", "0013_account_history")}
LOCK = "hashtext('ringi_reconciliation')"


def due(moment: datetime) -> bool:
    """Tell whether a comparison is under way, or none has begun since the hour of the night came last."""
    if Reconciliation.objects.filter(ended_at=None).exists():
        return True
    night = night_before(moment)
    last = _last_outcome()
    if last is not None:
        return datetime.fromisoformat(last.contents["after"]["started_at"]) < night
    first = Event.objects.order_by("at").values_list("at", flat=True).first()
    return first is not None and first < night


def _last_outcome() -> Event | None:
    return Event.objects.filter(operation=OUTCOME, kind="operation").order_by("-at").first()


def night_before(moment: datetime) -> datetime:
    """Return when the hour of the night came last."""
    night = moment.replace(hour=settings.RECONCILIATION_HOUR, minute=0, second=0, microsecond=0)
    return night - (timedelta(days=1) if night > moment else timedelta())


def reconcile(seconds: float | None = None, moment: datetime | None = None) -> Reconciliation | None:
    """Go on with the comparison that is under way, or begin one; return it when it has ended.

    seconds: break off behind the object at which so much time is over. moment: the round's time, by which a new one is
    dated. None is returned, too, when another process is at it.
    """
    link_pending(connection)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_try_advisory_lock({LOCK})")
        if not cursor.fetchone()[0]:
            return None
        try:
            reconciliation = Reconciliation.objects.filter(ended_at=None).order_by(
                "pk"
            ).first() or Reconciliation.objects.create(
                started_at=moment or now(), progress=["", "", ""], found=nothing_found()
            )
            # Another mark: it is new, or somebody else has written it.
            if reconciliation.found.pop("mark", None) != _mark(reconciliation):
                reconciliation.progress, reconciliation.found = ["", "", ""], nothing_found()
            with transaction.atomic(durable=True):
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                whole = _resume(cursor, reconciliation, None if seconds is None else time.monotonic() + seconds)
                reconciliation.found["mark"] = _mark(reconciliation)
                reconciliation.save(update_fields=["progress", "found"])
            if not whole:
                return None
            _say(reconciliation)
            return reconciliation
        finally:
            cursor.execute(f"SELECT pg_advisory_unlock({LOCK})")


def _mark(reconciliation: Reconciliation) -> str:
    """Return what shows that this is the product's own: who may write the row does not know its key."""
    kept = json.dumps(
        [reconciliation.pk, reconciliation.started_at.timestamp(), reconciliation.progress, reconciliation.found],
        sort_keys=True,
    )
    return salted_hmac("audit.reconciliation", kept, algorithm="sha256").hexdigest()


REASONS = {
    "other_doer": _("Event %(event)s produced this state, by another person or for another reason."),
    "differing": _("The row in its table differs from its events up to number %(event)s: %(columns)s."),
    "gone": _("The row is not in its table; its last event is number %(event)s, and none says that it was deleted."),
    "left": _("The row is in its table, and event %(event)s says that it was deleted."),
    "without_event": _("The row is in its table, and no event created the row."),
    "no_object": _("No event names the object of this history row."),
    "no_event": _("No event near the time of this history row produced this state."),
}


def reason_of(row: dict[str, Any]) -> str:
    """Return in words why a row of an alarm is not explained."""
    return REASONS[row["why"]] % row


def nothing_found() -> dict[str, Any]:
    """Return what is known at the beginning."""
    counts = {"objects": 0, "events": 0, "rows": 0, "present": 0, "bulk": 0, "unexplained": 0}
    return counts | {"alarms": [], "writes": {}}


def _resume(cursor: Any, reconciliation: Reconciliation, until: float | None) -> bool:
    """Compare object by object from where the comparison stopped, then find rows without any event; then the audited
    rows themselves, likewise. Tell whether all is done.
    """
    began, stage, behind = reconciliation.progress
    parts = list(_parts(cursor))
    names = [(label, step) for label, step, _compare_it in parts]
    if (began, stage) in names:
        parts = parts[names.index((began, stage)) :]
    for label, step, compare_it in parts:
        for place in compare_it(behind if (label, step) == (began, stage) else "", reconciliation.found):
            reconciliation.progress = [label, step, place]
            if until is not None and time.monotonic() >= until:
                return False
    return True


def _parts(cursor: Any) -> Iterator[tuple[str, str, Callable[[str, dict[str, Any]], Iterator[str]]]]:
    """Yield label, name and the comparison itself, which is given the place behind which it goes on."""
    for one in compared_tables():
        for step in (_objects, _without_events):
            yield one.label, step.__name__, partial(step, cursor, one)
    for audited in AUDITED_TABLES:
        for step_ in (rows_of_events, rows_without_event):
            yield audited.model, step_.__name__, partial(_row_by_row, cursor, audited, step_)


def _row_by_row(
    cursor: Any, audited: AuditedTable, step: Callable[..., Any], behind: str, found: dict[str, Any]
) -> Iterator[str]:
    table = Table.of(cursor, audited)
    for place, faults in step(cursor, table, behind, found) if table is not None else ():
        for fault in faults:
            _alarm(fault, found)
        yield place


def _history_began(cursor: Any, label: str) -> datetime:
    """Return since when the objects of a model have history rows. It is not read from these, which may be removed. The
    list of migrations may be altered later: what the last comparison said in its event counts, where it is earlier.
    """
    last = _last_outcome()
    said = last.contents["after"].get("history_began", {}).get(label) if last is not None else None
    applied = _applied(cursor, label)
    return min(applied, datetime.fromisoformat(said)) if said else applied


def _applied(cursor: Any, label: str) -> datetime:
    applied: datetime | None = None
    if label in LATER_HISTORY:
        cursor.execute("SELECT max(applied) FROM django_migrations WHERE app = %s AND name = %s", LATER_HISTORY[label])
        (applied,) = cursor.fetchone()
    return applied or datetime.min.replace(tzinfo=UTC)


def _objects(cursor: Any, one: ComparedTable, behind: str, found: dict[str, Any]) -> Iterator[str]:
    """Compare each object that has events, in the order of the index; yield its primary key when it is done."""
    begin, end = f"{one.label}:", f"{one.label};"
    began = _history_began(cursor, one.label)
    while True:
        # The first behind the last, along the index; DISTINCT would read all events.
        cursor.execute(
            "SELECT e.object FROM audit_event e WHERE e.object > %s AND e.object < %s ORDER BY e.object LIMIT 1",
            [begin + behind, end],
        )
        row = cursor.fetchone()
        if row is None:
            return
        behind = row[0].removeprefix(begin)
        _compare(cursor, one, behind, began, found)
        yield behind


def _without_events(cursor: Any, one: ComparedTable, behind: str, found: dict[str, Any]) -> Iterator[str]:
    """Find the rows of objects that the ledger does not know; yield the row's number up to which was looked."""
    place = int(behind or 0)
    cursor.execute(f"SELECT coalesce(max(history_id), 0) FROM {one.table}")
    (last,) = cursor.fetchone()
    while place < last:
        cursor.execute(
            f"SELECT h.history_id, h.{one.key}::text, h.history_date, coalesce(h.history_user_id::text, '')"
            f" FROM {one.table} h WHERE h.history_id > %s AND h.history_id <= %s AND NOT EXISTS (SELECT FROM"
            f" audit_event e WHERE e.object = %s || h.{one.key}::text) ORDER BY h.history_id",
            [place, place + ROWS, f"{one.label}:"],
        )
        for number, key, at, account in cursor.fetchall():
            found["rows"] += 1
            _alarm(Unexplained(f"{one.label}:{key}", number, at.isoformat(), account, "no_object"), found)
        place += ROWS
        yield str(place)


def _compare(cursor: Any, one: ComparedTable, key: str, began: datetime, found: dict[str, Any]) -> None:
    label = f"{one.label}:{key}"
    compared = Compared(label, events_of(cursor, one, label))
    for finding in chain(
        chain.from_iterable(_counted(compared, row, found) for row in rows_of(cursor, one, key)), compared.over()
    ):
        if isinstance(finding, Unexplained):
            _alarm(finding, found)
        elif finding.at >= began:
            _note(finding, one.label, found)
    found["objects"] += 1
    found["events"] += compared.looked_at


def _counted(compared: Compared, row: Row, found: dict[str, Any]) -> Iterator[Happened | Unexplained]:
    found["rows"] += 1
    return compared.take(row)


def _alarm(row: Unexplained, found: dict[str, Any]) -> None:
    found["unexplained"] += 1
    if len(found["alarms"]) < MOST:
        found["alarms"].append(asdict(row))


def _note(event: Happened, label: str, found: dict[str, Any]) -> None:
    """Count a write that only the trigger saw, by table, operation and actor."""
    found["bulk"] += 1
    name = json.dumps([label, event.operation, event.actor], ensure_ascii=False)
    writes = found["writes"]
    if name in writes or len(writes) < MOST:
        count, first, last = writes.get(name, (0, event.number, event.number))
        numbers = [number for number in (first, last, event.number) if number] or [0]
        writes[name] = [count + 1, min(numbers), max(numbers)]


def _say(reconciliation: Reconciliation) -> None:
    """Write the outcome as an event; first the alarm, so that a process killed between the two raises it again."""
    found = reconciliation.found
    counts = {name: found[name] for name in ("objects", "events", "rows", "present", "bulk", "unexplained")}
    if found["unexplained"]:
        with operation(ALARM) as op:
            op.about(reconciliation, unexplained=found["unexplained"], rows=found["alarms"])
            op.add_event("ledger:alarm", reconciliation, rows=[row["object"] for row in found["alarms"]])
    writes = [
        dict(zip(("table", "operation", "actor"), json.loads(name), strict=True))
        | dict(zip(("count", "first", "last"), numbers, strict=True))
        for name, numbers in sorted(found["writes"].items())
    ]
    with connection.cursor() as cursor:
        began = {label: _history_began(cursor, label).isoformat() for label in LATER_HISTORY}
    with operation(OUTCOME) as op:
        reconciliation.ended_at = now()
        reconciliation.save(update_fields=["ended_at"])
        started = reconciliation.started_at.isoformat()
        op.about(reconciliation, **counts, writes=writes, started_at=started, history_began=began)
