"""One row read under its lock, changed or made, and what belongs to it, by statements that are built once and sent
together: for the operation and for a row's page, where building them anew took longer than running them, and waiting for
each answer as long again. What Django's own `save` would do beyond that is asked for first, and then left to it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    return f'SELECT {columns_of(model, table)} FROM "{table}" WHERE {key} = %s FOR NO KEY UPDATE'


@contextmanager
def at_once() -> Iterator[None]:
    """Send the statements inside one after the other (PostgreSQL's pipeline mode) and wait for the answers when the first
    of them is read. Raises at that moment what the first statement that failed would have raised.

    Nothing that reads `rowcount` before a row, as Django's own `save` does, may run inside.
    """
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.connection.pipeline():
        yield


def send(statement: str, parameters: list[Any]) -> Any:
    """Send one statement that returns a row, and return the cursor that its `fetchone` reads it from."""
    cursor = connection.cursor()
    cursor.execute(statement, parameters)
    return cursor


def _row[M: models.Model](model: type[M], found: Any) -> M | None:
    if found is None:
        return None
    names, converters = _columns(model)
    values = list(found)
    for place, (steps, expression) in converters.items():
        for convert in steps:
            values[place] = convert(values[place], expression, connection)
    return model.from_db(connection.alias, names, values)


def read[M: models.Model](model: type[M], statement: str, parameters: list[Any]) -> M | None:
    """Return the first row of a statement that selects `columns_of` a model; None without one."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return _row(model, cursor.fetchone())


@cache
def _along(model: type[models.Model], name: str) -> tuple[type[models.Model], str, tuple[Any, ...]]:
    """Return the model and the statement of the rows that belong to a row of a model under this name, and its parameters
    for the row with the key 0.
    """
    belonging = getattr(model(pk=0), name).get_queryset()
    return belonging.model, *belonging.query.sql_with_params()


def read_along(row: models.Model, names: str) -> None:
    """Read what belongs to a row under these names (blanks between), as `prefetch_related_objects` would, all at once.

    A name whose statement asks for more than the row's key raises ValueError.
    """
    asked = []
    with at_once():
        for name in names.split():
            model, statement, parameters = _along(type(row), name)
            if parameters != (0,):
                raise ValueError(f"{name} is not all that belongs to one row")
            asked.append((name, model, send(statement, [row.pk])))
    kept = row.__dict__.setdefault("_prefetched_objects_cache", {})
    for name, model, cursor in asked:
        belonging = getattr(row, name).get_queryset()
        belonging._result_cache = [_row(model, found) for found in cursor.fetchall()]
        belonging._prefetch_done = True
        kept[name] = belonging
        pointer = getattr(row._meta.get_field(name), "field", None)
        if isinstance(pointer, models.ForeignKey):
            for one in belonging._result_cache:
                pointer.set_cached_value(one, row)


def lock[M: models.Model](model: type[M], pk: Any) -> Callable[[], M | None]:
    """Lock a row until the transaction ends; return what reads it, which returns None when there is none."""
    cursor = send(_locking(model), [model._meta.pk.get_prep_value(pk)])
    return lambda: _row(model, cursor.fetchone())


@cache
def plain(model: type[models.Model]) -> bool:
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
    return f"UPDATE {table} SET {changed} WHERE {key} = %s RETURNING 1", fields


def _nothing() -> None:
    pass


def update(row: models.Model, names: tuple[str, ...]) -> Callable[[], None]:
    """Write these attributes of a row; return what reads the answer, which raises DatabaseError when it is not there."""
    if not plain(type(row)):
        row.save(update_fields=names)
        return _nothing
    statement, fields = _update(type(row), names)
    values = [field.get_db_prep_save(field.pre_save(row, False), connection) for field in fields]
    cursor = send(statement, [*values, row.pk])

    def answer() -> None:
        if cursor.fetchone() is None:
            raise DatabaseError(f"{row._meta.label}:{row.pk} is not there to be written")

    return answer


@cache
def _insert(model: type[models.Model]) -> tuple[str, tuple[Any, ...]]:
    fields = tuple(field for field in model._meta.concrete_fields if not field.primary_key)
    table, (key,) = connection.ops.quote_name(model._meta.db_table), _names([model._meta.pk])
    places = ", ".join(["%s"] * len(fields))
    return f"INSERT INTO {table} ({', '.join(_names(fields))}) VALUES ({places}) RETURNING {key}", fields


def insert(row: models.Model) -> Callable[[], None]:
    """Make a row whose key the database gives; return what reads the answer and gives the row its key."""
    if not plain(type(row)) or row.pk is not None:
        row.save(force_insert=True)
        return _nothing
    statement, fields = _insert(type(row))
    cursor = send(statement, [field.get_db_prep_save(field.pre_save(row, True), connection) for field in fields])

    def answer() -> None:
        (row.pk,) = cursor.fetchone()
        row._state.adding, row._state.db = False, connection.alias

    return answer
