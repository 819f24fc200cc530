"""The application that a row belongs to, and the rows of an application: what grants and readers are limited by.

A row belongs to the application that it names, or else to that of the row which it is about, by its foreign keys. A row
of which none leads to one belongs to no application, and so to all of them.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from functools import cache, reduce
from operator import and_, or_

from django.apps import apps
from django.db.models import ForeignKey, Model, Q, QuerySet

from environments.models import Application


@cache
def paths_of(model: type[Model], without: tuple[type[Model], ...] = ()) -> tuple[str, ...]:
    """Return the paths, in Django's notation, by which rows of a model belong to an application; the first that leads
    to one counts.

    without: models that a path does not come back to.
    """
    if model is Application:
        return ("pk",)
    keys = [field for field in model._meta.concrete_fields if isinstance(field, ForeignKey)]
    if named := [key.name for key in keys if key.related_model is Application]:
        return (named[0],)
    found = []
    for key in keys:
        if key.related_model in (model, *without):
            continue
        further = paths_of(key.related_model, (model, *without))
        if further and not key.null and all(not _null(key.related_model, path) for path in further):
            return tuple(f"{key.name}__{path}" for path in further)
        found += [f"{key.name}__{path}" for path in further]
    return tuple(found)


def _null(model: type[Model], path: str) -> bool:
    """Tell whether a path can lead to nothing."""
    for step in path.split("__"):
        field = model._meta.get_field(step) if step != "pk" else model._meta.pk
        if field.null:
            return True
        model = field.related_model or model
    return False


def application_of(row: Model | None) -> int | None:
    """Return the key of the application that a row belongs to; None for one that belongs to none."""
    for path in paths_of(type(row)) if row is not None else ():
        *steps, last = path.split("__")
        found: Model | None = row
        for step in steps:
            found = getattr(found, step) if found is not None else None
        key = (found.pk if last == "pk" else getattr(found, f"{last}_id")) if found is not None else None
        if key is not None:
            return int(key)
    return None


def applications_of(labels: Iterable[str]) -> dict[str, int | None]:
    """Return label (`app.Model:pk`) → the key of its row's application, in one query a model; what is gone has none."""
    by_model = defaultdict[str, list[int]](list)
    for label in labels:
        name, _colon, pk = label.partition(":")
        if pk.isdecimal() and len(pk) < 19:
            by_model[name].append(int(pk))
    found = dict[str, int | None]()
    for name, pks in by_model.items():
        try:
            model: type[Model] = apps.get_model(name)
        except (LookupError, ValueError):
            continue
        if paths := paths_of(model):
            rows = model._base_manager.filter(pk__in=pks).values_list("pk", *paths)
            found |= {f"{name}:{pk}": next((key for key in keys if key is not None), None) for pk, *keys in rows}
    return found


def only_application(rows: Sequence[Model]) -> int | None:
    """Return the key of the one application that rows belong to; None where they belong to none or to several.

    Rows that name their application speak for those that are about one of them. One that could name an application and
    names none, such as a freeze of a whole environment, is about all.
    """
    having = [(row, paths) for row in rows if (paths := paths_of(type(row)))]
    naming = [row for row, paths in having if "__" not in "".join(paths)]
    found = {application_of(row) for row in naming or [row for row, _paths in having]}
    return found.pop() if len(found) == 1 else None


def within[M: Model](rows: QuerySet[M], applications: Collection[int] | None) -> QuerySet[M]:
    """Keep the rows of these applications (None: of all), and those that belong to none.

    A model with `HIDDEN_ALONE` has rows about an application without a path to it: of these, none is kept. One with
    `PERSONAL` has rows for one person each.
    """
    paths = paths_of(rows.model)
    if applications is None or not paths or getattr(rows.model, "PERSONAL", False):
        return rows
    if getattr(rows.model, "HIDDEN_ALONE", False):
        return rows.filter(reduce(or_, (Q(**{f"{path}__in": applications}) for path in paths)))
    none = reduce(and_, (Q(**{f"{path}__isnull": True}) for path in paths))
    return rows.filter(reduce(or_, (Q(**{f"{path}__in": applications}) for path in paths), none))
