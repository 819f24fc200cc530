"""Fields whose choices the database checks too, so that no statement of any program stores another value."""

from typing import Any

from django.db import models
from django_fsm import FSMField


class _CheckedChoices:
    """A field with `choices`; a column of it takes these values only, and the empty one where the field is `blank`."""

    model: type[models.Model]
    column: str
    blank: bool
    flatchoices: list[tuple[Any, Any]]

    def db_check(self, connection: Any) -> str | None:
        """Return the condition of the column, as PostgreSQL takes it; None without choices, and in the table of a
        model's history, which keeps the values of its day.
        """
        if any(field.name == "history_type" for field in self.model._meta.local_fields):
            return None
        values = [str(value) for value, _label in self.flatchoices] + ([""] if self.blank else [])
        if not values:
            return None
        listed = ", ".join("'" + value.replace("'", "''") + "'" for value in dict.fromkeys(values))
        return f"{connection.ops.quote_name(self.column)} IN ({listed})"


class ChoiceField(_CheckedChoices, models.CharField):  # type: ignore[type-arg,misc]
    """A CharField with choices that the database checks."""


class StateField(_CheckedChoices, FSMField):  # type: ignore[misc]  # django-fsm has no types
    """The state of a machine, which the database checks."""
