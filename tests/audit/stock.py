"""One row of any audited table, made from what its columns demand; and how the ledger must write it."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import os
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import rfc8785
from django.apps import apps
from django.db import models
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from audit.audited_tables import AuditedTable
from audit.roles import KEPT

_numbers = itertools.count(1000)
TEXT = "か\u3099 “値” \\ 𠮷"
MOMENT = datetime(2026, 12, 16, 1, 2, 3, 456789, tzinfo=UTC)
# What a check constraint demands beyond the types.
DEMANDS: dict[str, tuple[str, ...]] = {
    "releases.Document": ("release",),
    "releases.EmergencyStop": ("lifted_at",),
    "releases.Erasure": ("account",),
}
FIXED: dict[str, dict[str, Any]] = {
    "audit.LedgerResumption": {"digest": 32 * "ab", "confirmed_person": ""},
    "releases.Erasure": {"confirmed_person": ""},
}


def model_of(label: str) -> type[models.Model]:
    """Return the model of an entry of the list; of a many-to-many field the model of its table."""
    app, name, *field = label.split(".")
    model = apps.get_model(app, name)
    return model._meta.get_field(field[0]).remote_field.through if field else model


def fresh_value(field: models.Field[Any, Any], number: int) -> Any:
    """Return a value for a column that no other row has, as far as its type has so many."""
    if isinstance(field, models.ForeignKey):
        return row_of(field.related_model)
    if field.choices:
        return next(iter(field.flatchoices))[0]
    if isinstance(field, models.BooleanField):
        return False
    if isinstance(field, models.SlugField):
        return f"slug-{number}"
    if isinstance(field, models.EmailField):
        return f"a{number}@datasets.example"
    if isinstance(field, models.CharField):
        text = f"{number} {TEXT}"
        return text[: field.max_length] if field.max_length else text
    if isinstance(field, models.TextField):
        return f"{number} {TEXT}"
    if isinstance(field, models.IntegerField):
        return number
    if isinstance(field, models.FloatField):
        return number / 7
    if isinstance(field, models.DecimalField):
        return Decimal(number) / 4
    if isinstance(field, models.DateTimeField):
        return MOMENT + timedelta(days=next(_numbers))  # each later than the one before
    if isinstance(field, models.DateField):
        return date(2026, 1, 1) + timedelta(days=number % 30_000)
    if isinstance(field, models.TimeField):
        return time(10, number % 60)
    if isinstance(field, models.DurationField):
        return timedelta(minutes=number)
    if isinstance(field, models.UUIDField):
        return f"00000000-0000-4000-8000-{number:012d}"
    if isinstance(field, models.BinaryField):
        return bytes([0, 255, number % 256])
    if isinstance(field, models.JSONField):
        return {"\uffff": number, "𠮷": [0.5, None, True, 2**60], "a": {"z": TEXT}}
    raise TypeError(f"{field}: a kind of column that has no sample yet")


def other_value(field: models.Field[Any, Any]) -> Any:
    """Return another value for a column; for a foreign key another row."""
    return fresh_value(field, next(_numbers))


def unsaved(model: type[models.Model]) -> Any:
    """Return a row that can be inserted, with rows of its own behind each foreign key that is demanded."""
    number = next(_numbers)
    values = {}
    for field in model._meta.concrete_fields:
        demanded = field.name in DEMANDS.get(model._meta.label, ())
        if (
            isinstance(field, models.AutoField)
            or field.auto_created
            or field.name == "state"
            or field.name.startswith("is_")
        ):
            continue
        if not demanded and (field.null or getattr(field, "auto_now_add", False)):
            continue
        values[field.name] = fresh_value(field, number)
    return model(**values | FIXED.get(model._meta.label, {}))


def row_of(model: type[models.Model]) -> Any:
    """Insert such a row and return it."""
    row = unsaved(model)
    row.save()
    return row


def changeable(model: type[models.Model], audited: AuditedTable) -> models.Field[Any, Any]:
    """Return an audited column that a test may give another value: a plain one, else a foreign key."""
    free = [
        field
        for field in model._meta.concrete_fields
        if not field.primary_key
        and not field.choices
        and field.column not in audited.unaudited | audited.secret
        and field.name not in FIXED.get(model._meta.label, {})
        and field.name not in ("state", "fencing_token", "username", "is_superuser")
        and not (isinstance(field, models.DateTimeField) and field.name in ("starts_at", "until"))
    ]
    plain = [field for field in free if isinstance(field, models.CharField | models.TextField)]
    other = [field for field in free if not isinstance(field, models.ForeignKey | models.BooleanField)]
    return (plain or other or [field for field in free if isinstance(field, models.ForeignKey)])[0]


def written(value: Any) -> Any:
    """Say in Python what the ledger makes of a value that psycopg read: the page of the ledger, row by row."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, dict):
        return {written(key): written(part) for key, part in value.items()}
    if isinstance(value, list):
        return [written(part) for part in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return "sha256:" + hashlib.sha256(bytes(value)).hexdigest()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int):
        return value if abs(value) < 2**53 else str(value)
    return str(value)


def as_recorded(columns: dict[str, Any], audited: AuditedTable, key: bytes, own: bytes = b"") -> dict[str, Any]:
    """Return the row as an event holds it. `key`: of the secret columns, as text in `columns`; `own`: of the row."""
    kept = {}
    for column, value in columns.items():
        if column in audited.unaudited:
            continue
        if column in audited.secret and value is not None:
            kept[column] = "hmac-sha256:" + hmac.new(key, str(value).encode(), "sha256").hexdigest()
        else:
            kept[column] = written(value)
        hidden = column in audited.personal and kept[column] not in (None, "", [], {})
        if hidden and (not audited.personal_of or columns[audited.personal_of] is not None):
            text = f"{column}:{rfc8785.dumps(kept[column]).decode()}"
            kept[column] = "personal:sha256:" + hashlib.sha256(own + text.encode()).hexdigest()
    return kept


def superuser(url: str) -> str:
    """Return the same database for the server's own role."""
    return make_conninfo(os.environ["DATABASE_SERVER_URL"], dbname=str(conninfo_to_dict(url)["dbname"]))


@contextmanager
def deletable(table: str, url: str) -> Iterator[None]:
    """Let the application's role delete rows of a table of records, which no role of the product may."""
    kept = sql.Identifier(table)
    with psycopg.connect(superuser(url), autocommit=True) as server:
        if table in KEPT:
            server.execute(sql.SQL("GRANT DELETE ON {} TO ringi").format(kept))
        yield
        if table in KEPT:
            server.execute(sql.SQL("REVOKE DELETE ON {} FROM ringi").format(kept))
