"""The operation: every change of state, from the admin, the API, a worker or a command, goes through `operation()`."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, wraps
from typing import Any, cast

from django.db import DataError, IntegrityError, OperationalError, connection, models, transaction
from django.utils.translation import gettext as _
from django_fsm import TransitionNotAllowed

from audit import capture, signatures
from audit.actor import Actor, current
from audit.clock import operation_time
from audit.one_look import looks
from audit.plain import is_blank
from audit.refusals import (
    InvalidInput,
    NotPermitted,
    NotPossible,
    OperationRefused,
    SignatureRequired,
    refused_by_the_database,
    wrong_state,
)

_open: ContextVar["Operation | None"] = ContextVar("ringi_operation_open", default=None)
# Whether something was signed since it was last set to False: a proof of identity is good for one request.
signed: ContextVar[bool] = ContextVar("ringi_signed", default=False)
_committed: ContextVar[int] = ContextVar("ringi_committed", default=0)
# Called with each operation once it is committed; they raise nothing.
committed: list[Callable[["Operation"], None]] = []
_precondition: ContextVar[Callable[[], None] | None] = ContextVar("ringi_precondition", default=None)


class NothingToDo(Exception):
    """The locked rows show that it is done already, or not due: the operation is rolled back without an event."""


@contextmanager
def only_if(check: Callable[[], None]) -> Iterator[None]:
    """Call `check` in each operation inside the block once its rows are locked; an OperationRefused of it ends the
    operation.
    """
    token = _precondition.set(check)
    try:
        yield
    finally:
        _precondition.reset(token)


def retry_on_deadlock[**P, R](call: Callable[P, R]) -> Callable[P, R]:
    """Return a call that is repeated once where a deadlock ended it before it committed anything."""

    @wraps(call)
    def called(*args: P.args, **given: P.kwargs) -> R:
        before = _committed.get()
        try:
            return call(*args, **given)
        except OperationalError as fault:
            if getattr(fault.__cause__, "sqlstate", "") not in ("40P01", "40001") or _committed.get() != before:
                raise
        _committed.set(before + 1)  # no caller repeats it a third time
        time.sleep(0.25)  # the other one takes first what it waited for
        return call(*args, **given)

    return called


def open_operation() -> "Operation | None":
    """Return the operation that is open now, with its locked rows."""
    return _open.get()


def label(instance: models.Model) -> str:
    """Return how the ledger names a row: `app.Model:pk`."""
    return f"{instance._meta.label}:{instance.pk}"


@dataclass
class Operation:
    """An open operation: the locked rows, and the contents of its event.

    named: the row that it was opened on; at: the database's time when its rows had been locked; started: this process's
    own then.
    """

    event: str
    actor: Actor
    id: uuid.UUID
    rows: dict[tuple[type[models.Model], Any], models.Model] = field(default_factory=dict)
    states: dict[tuple[type[models.Model], Any], str] = field(default_factory=dict)
    original: dict[tuple[type[models.Model], Any], dict[str, Any]] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    object: str = ""
    named: str = ""
    reason: str = ""
    created: list[models.Model] = field(default_factory=list)
    notified_as: str = ""
    added_events: list[tuple[str, str, str]] = field(default_factory=list)
    at: datetime = datetime.min.replace(tzinfo=UTC)
    started: float = 0.0
    continued: "Operation | None" = None
    to_insert: list[models.Model] = field(default_factory=list)
    dropped: bool = False

    def get[M: models.Model](self, model: type[M], pk: Any = None) -> M:
        """Return the locked row of a model, the only one or the one with `pk`."""
        found = [row for (kind, key), row in self.rows.items() if kind is model and pk in (None, key)]
        if len(found) != 1:
            raise LookupError(f"{model.__name__} {pk or ''}: {len(found)} rows behind this operation")
        return cast(M, found[0])

    def continue_with(self, event: str, row: models.Model) -> "Operation":
        """Go on with another operation of the same actor on a row that a locked one guards, in the same commit: its own
        number, its own events, after everything of this one. Call it before the row is changed.
        """
        if self.continued is not None:
            raise RuntimeError(f"{event}: {self.continued.event} follows already")
        op = Operation(event, self.actor, uuid.uuid4(), object=label(row), at=self.at, started=self.started)
        op.track(row, row.pk)
        self.continued = op
        return op

    def track(self, row: models.Model, pk: Any) -> None:
        """Keep a row as it was found, to be written on the way out if it was changed."""
        key = (type(row), pk)
        self.rows[key], self.original[key] = row, _values(row)
        if hasattr(row, "state"):
            self.states[key] = row.state

    def now(self) -> datetime:
        """Return the database's present time: that of the opening and what has passed here since."""
        return self.at + timedelta(seconds=time.monotonic() - self.started)

    def about(self, instance: models.Model, **details: Any) -> None:
        """Name the row that the operation event is about (for rows made inside the operation) and add details to it."""
        self.object = label(instance)
        self.created.append(instance)
        self.details.update(details)

    def notify_as(self, event: str) -> None:
        """Set the event that notifications name, where it says more than the operation: a claim that starts a
        deployment.
        """
        self.notified_as = event

    def add_event(self, event: str, row: models.Model, **details: Any) -> None:
        """Add an event about another row for notifications of the same operation. details: as of the operation, JSON
        only.
        """
        self.added_events.append((event, label(row), json.dumps(details, ensure_ascii=False)))

    def require_reason(self) -> None:
        """Raise InvalidInput where no reason was given."""
        if is_blank(self.reason):
            raise InvalidInput(_("Enter a reason."))

    def signature(self, digest: str = "", role: str = "") -> dict[str, Any]:
        """Return the record of a signature (21 CFR 11.50: printed name, time, meaning), and keep it in the event.

        Its meaning is the operation. digest: of what is signed (11.70), which a record that a row keeps too must have;
        else that of the event itself.
        """
        record: dict[str, Any] = {
            "name": self.actor.name,
            "role": role or ", ".join(self.actor.roles),
            "meaning": self.event,
            "method": self.actor.method,
            "authenticated_at": self.actor.authenticated_at.isoformat() if self.actor.authenticated_at else "",
            "digest": digest,
            "address": self.actor.address,
            "operation_id": str(self.id),
        }
        self.details["signature"] = record
        return record


def _begin(op: Operation, targets: tuple[tuple[type[models.Model], Any], ...], reason: str) -> None:
    """Lock the rows in lock order; once all are locked, name the actor and take the time."""
    ordered = sorted(targets, key=lambda t: (getattr(t[0], "LOCK_ORDER", 99), str(t[0]), t[0]._meta.pk.to_python(t[1])))
    for model, pk in ordered:
        row = model._base_manager.select_for_update(no_key=True).filter(pk=pk).order_by("pk").first()
        if row is None:
            raise InvalidInput(_("The %(what)s %(pk)s does not exist.") % {"what": model._meta.verbose_name, "pk": pk})
        op.track(row, pk)
    if check := _precondition.get():
        check()
    op.at = capture.set_context(op.actor, operation=op.event, operation_id=op.id, reason=reason)
    op.started = time.monotonic()


def _values(row: models.Model) -> dict[str, Any]:
    """Return a row's columns as they are now; what can be changed in place is copied."""
    values = {column.attname: getattr(row, column.attname) for column in row._meta.concrete_fields}
    return {name: deepcopy(value) if isinstance(value, dict | list) else value for name, value in values.items()}


@cache
def _stamps(model: type[models.Model]) -> tuple[str, ...]:
    """Return the columns that say when a row was last written; they are written with any other."""
    return tuple(str(c.attname) for c in model._meta.concrete_fields if getattr(c, "auto_now", False))


def _changed(op: Operation) -> list[tuple[models.Model, tuple[str, ...]]]:
    """Return the rows that were changed and the columns to write, each gone through one edge of its machine at most."""
    written = []
    for key, row in op.rows.items():
        before = op.states.get(key)
        after = getattr(row, "state", None)
        if before != after:
            edges = row._meta.get_field("state").get_all_transitions(type(row))  # type: ignore[union-attr]
            if not any(str(e.source) == before and str(e.target) == after for e in edges):
                raise RuntimeError(f"{label(row)} went from {before} to {after} through more than one edge")
        # A row that was only locked is not written: it would leave a snapshot that says nothing.
        if changed := [name for name, value in op.original[key].items() if value != getattr(row, name)]:
            written.append((row, tuple(dict.fromkeys((*changed, *_stamps(type(row)))))))
    return written


def _end(op: Operation, reason: str) -> None:
    """Write the rows, the event and the message of an operation and of the one that follows it."""
    operations = [op] if op.continued is None else [op, op.continued]
    changes = [_changed(one) for one in operations]
    for one, changed in zip(operations, changes, strict=True):
        for row, names in changed:
            row.save(update_fields=names)
        for row in one.to_insert:
            row.save(force_insert=True)
        with connection.cursor() as cursor:
            _append_and_post(cursor, one, reason if one is op else "")


@contextmanager
def operation(
    event: str, *targets: tuple[type[models.Model], Any], reason: str = "", sign: bool = False
) -> Iterator[Operation]:
    """Open an operation on the rows named (`(Model, pk)`), locked in lock order; yield the Operation.

    event: `noun:verb`. reason: why, in the actor's words. sign: the operation is a signature and needs an identity
    proved within REAUTHENTICATION_TIMEOUT, and whatever apps ask of signatures. On the way out each row that was
    changed is saved through at most one edge of its machine, one operation event is written, and an entry of the outbox
    where the event can become a message.
    Operations never nest. Raises MissingActor, an OperationRefused (which is itself written as an event after the
    rollback), or whatever the body raises but NothingToDo; then the database is unchanged.
    """
    actor = current()
    if _open.get() is not None:
        raise RuntimeError(f"{event}: operations never nest")
    named = f"{targets[0][0]._meta.label}:{targets[0][1]}" if targets else ""
    op = Operation(event, actor, uuid.uuid4(), object=named, named=named, reason=reason)
    opened, look = _open.set(op), looks.set(None)
    try:
        if sign and actor.kind != "person":
            raise NotPermitted(_("Only a person can sign this."))
        with transaction.atomic(durable=True):
            _begin(op, targets, reason)
            if reason.strip() and is_blank(reason):
                raise InvalidInput(
                    _("The %(what)s is blank. Write at least one character that can be seen.") % {"what": _("reason")}
                )
            operation_time.set(op.at)
            lacking = signatures.missing_proof(op) if sign else None
            try:
                yield op
            except (OperationRefused, TransitionNotAllowed) as why:
                refusal = lacking or why
                if isinstance(refusal, SignatureRequired):
                    refusal.contents = refusal.contents or (signatures.content(op),)
                if lacking is None:
                    raise
                raise lacking from why
            if sign:
                if "signature" not in op.details:
                    op.signature()
                signatures.require_proof(op, lacking or (signatures.missing_proof(op) if op.created else None))
            signatures.add_digest(op, reason)
            _end(op, reason)
        if sign:
            signed.set(True)
        _committed.set(_committed.get() + 1)
        for call in committed:
            call(op)
    except NothingToDo:
        op.dropped = True
    except TransitionNotAllowed as refusal:
        wrong = NotPossible(wrong_state(refusal))
        _record(op, wrong)
        raise wrong from refusal
    except OperationRefused as refused:
        # A person who is asked to prove who they are is not refused: the operation is repeated with the proof, or never
        # done.
        if not (isinstance(refused, SignatureRequired) and actor.kind == "person"):
            _record(op, refused)
        raise
    except (DataError, IntegrityError) as fault:
        limit = refused_by_the_database(fault)
        if limit is None:
            raise
        _record(op, limit)
        raise limit from fault
    finally:
        operation_time.set(None)
        looks.reset(look)
        _open.reset(opened)


def _record(op: Operation, refused: OperationRefused) -> None:
    """Write the refusal as an event of its own, after everything else was rolled back."""
    refused.written = True
    op.details = {"kind": refused.kind, "reasons": [str(reason) for reason in refused.reasons]}
    _append_alone(op, "refusal", "refused", durable=True)


def _append_alone(op: Operation, kind: str, outcome: str, *, durable: bool = False) -> None:
    with transaction.atomic(durable=durable):
        capture.set_context(op.actor, operation=op.event, operation_id=op.id, reason="")
        append(kind, op, reason="", outcome=outcome)
    _committed.set(_committed.get() + 1)


def append(kind: str, op: Operation, *, reason: str, outcome: str) -> None:
    """Append one event to the ledger within the open transaction; its bytes are made by the database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT ringi_append(%s, %s, %s, NULL, %s::jsonb, %s, %s)",
            [kind, op.event, op.object, json.dumps(op.details, ensure_ascii=False), reason, outcome],
        )


APPEND = "SELECT ringi_append('operation', %s, %s, NULL, %s::jsonb, %s, 'done'), set_config('ringi.context', %s, true)"
POST = "INSERT INTO audit_outbox (operation_id, event, object, payload) VALUES (%s, %s, %s, %s)"
# The events that can become a message; the app that makes messages names them.
messages: set[str] = set()


def _append_and_post(cursor: Any, op: Operation, reason: str) -> None:
    """Append the operation event and name the operation that follows; put what can become a message into the outbox."""
    details = json.dumps(op.details, ensure_ascii=False)
    then = op.continued or op
    context = capture.context(
        then.actor, operation=then.event, operation_id=then.id, reason=reason if then is op else ""
    )
    cursor.execute(APPEND, [op.event, op.object, details, reason, context])
    for event, about, payload in [*op.added_events, (op.notified_as or op.event, op.object, details)]:
        if event in messages:
            cursor.execute(POST, [op.id, event, about, payload])


def record_event(event: str, *, object: str = "", outcome: str = "done", **details: Any) -> None:
    """Write an event that changes no audited row: a sign-in, an export. outcome: `done` or `failed`."""
    _append_alone(Operation(event, current(), uuid.uuid4(), object=object, details=details), "access", outcome)


def record_refusal(
    event: str, *reasons: str, object: str = "", kind: str = OperationRefused.kind, **details: Any
) -> None:
    """Write a refusal from outside any operation. reasons: at least one sentence; kind: that of its
    OperationRefused.
    """
    details = {"kind": kind, "reasons": [str(reason) for reason in reasons], **details}
    _append_alone(Operation(event, current(), uuid.uuid4(), object=object, details=details), "refusal", "refused")
