"""One row read under its lock, changed or made, by statements that are built once: for the door, where building them anew
took longer than running them. What Django's own `save` would do beyond that is asked for first, and then left to it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from django.db import DatabaseError, connection, models
from django.db.models import signals
from django.db.models.sql import Query


@cache
def _columns(model: type[models.Model]) -> tuple[list[str], dict[int, Any]]:
    """Return a model's attributes in the order of its columns, and what turns a column's value into that of a row."""
    compiler = connection.ops.compiler("SQLCompiler")(Query(model), connection, connection.alias)
    fields = model._meta.concrete_fields
    converters = compiler.get_converters([field.get_col(model._meta.db_table) for field in fields])
    return [field.attname for field in fields], converters


def _names(fields: Any) -> list[str]:
    return [connection.ops.quote_name(str(field.column)) for field in fields]


@cache
def columns_of(model: type[models.Model], table: str) -> str:
    """Return all columns of a model, in their order, as a statement selects them from a table or by its other name."""
    named = connection.ops.quote_name(table)
    return ", ".join(f"{named}.{name}" for name in _names(model._meta.concrete_fields))


@cache
def _locking(model: type[models.Model]) -> str:
    table, (key,) = model._meta.db_table, _names([model._meta.pk])
    return f"SELECT {columns_of(model, table)} FROM {connection.ops.quote_name(table)} WHERE {key} = %s FOR UPDATE"


def read[M: models.Model](model: type[M], statement: str, parameters: list[Any]) -> M | None:
    """Return the first row of a statement that selects `columns_of` a model; None without one."""
    names, converters = _columns(model)
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        found = cursor.fetchone()
    if found is None:
        return None
    values = list(found)
    for place, (steps, expression) in converters.items():
        for convert in steps:
            values[place] = convert(values[place], expression, connection)
    return model.from_db(connection.alias, names, values)


def locked[M: models.Model](model: type[M], pk: Any) -> M | None:
    """Return a row, locked until the transaction ends; None when there is none."""
    return read(model, _locking(model), [model._meta.pk.get_prep_value(pk)])


@cache
def _plain(model: type[models.Model]) -> bool:
    """Tell whether nothing but the columns is written when a row of this model is saved: nobody listens (who does, does
    so from the start), no save of its own, one table, and no column that only the database fills.
    """
    heard = (signals.pre_save, signals.post_save)
    return (
        model.save is models.Model.save
        and model.save_base is models.Model.save_base
        and not any(signal.has_listeners(model) for signal in heard)
        and not model._meta.parents
        and not any(field.generated or field.has_db_default() for field in model._meta.concrete_fields)
    )


@cache
def _update(model: type[models.Model], names: tuple[str, ...]) -> tuple[str, tuple[Any, ...]]:
    fields = tuple(model._meta.get_field(name) for name in names)
    table, (key,) = connection.ops.quote_name(model._meta.db_table), _names([model._meta.pk])
    changed = ", ".join(f"{name} = %s" for name in _names(fields))
    return f"UPDATE {table} SET {changed} WHERE {key} = %s", fields


def update(row: models.Model, names: tuple[str, ...]) -> None:
    """Write these attributes of a row that is there. Raises DatabaseError when it is not."""
    if not _plain(type(row)):
        row.save(update_fields=names)
        return
    statement, fields = _update(type(row), names)
    values = [field.get_db_prep_save(field.pre_save(row, False), connection) for field in fields]
    with connection.cursor() as cursor:
        cursor.execute(statement, [*values, row.pk])
        if cursor.rowcount != 1:
            raise DatabaseError(f"{row._meta.label}:{row.pk} is not there to be written")


@cache
def _insert(model: type[models.Model]) -> tuple[str, tuple[Any, ...]]:
    fields = tuple(field for field in model._meta.concrete_fields if not field.primary_key)
    table, (key,) = connection.ops.quote_name(model._meta.db_table), _names([model._meta.pk])
    places = ", ".join(["%s"] * len(fields))
    return f"INSERT INTO {table} ({', '.join(_names(fields))}) VALUES ({places}) RETURNING {key}", fields


def insert(row: models.Model) -> None:
    """Make a row whose key the database gives."""
    if not _plain(type(row)) or row.pk is not None:
        row.save(force_insert=True)
        return
    statement, fields = _insert(type(row))
    values = [field.get_db_prep_save(field.pre_save(row, True), connection) for field in fields]
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        (row.pk,) = cursor.fetchone()
    row._state.adding, row._state.db = False, connection.alias
