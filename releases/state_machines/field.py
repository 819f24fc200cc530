"""The column of a state: django-fsm's in the models, a plain text in migrations."""

from typing import Any

from django_fsm import FSMField


class StateField(FSMField):
    """A state that only transitions change.

    A migration writes it as what it is in the database. Each model that a migration renders would otherwise collect
    the transitions of every state rendered before it, which took most of the time of a migration.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, protected=True, **options)

    def deconstruct(self) -> Any:
        """Return the column as a CharField."""
        name, _path, args, options = super().deconstruct()
        return name, "django.db.models.CharField", args, {key: v for key, v in options.items() if key != "protected"}
