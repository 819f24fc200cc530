"""Columns that say when a row was written."""

from typing import Any

from django.db import models

from audit.clock import now


class WrittenAtField(models.DateTimeField):  # type: ignore[type-arg]
    """A time that is filled in as by `auto_now_add` or `auto_now`, from the database's clock in place of the process's.

    Inside an operation it is the operation's time, so that all of its rows agree.
    """

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Return the time to store, and set it on the row."""
        if self.auto_now or (self.auto_now_add and add):
            moment = now()
            setattr(model_instance, self.attname, moment)
            return moment
        return super().pre_save(model_instance, add)
