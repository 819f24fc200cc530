"""Operations of migrations."""

from collections.abc import Sequence
from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.fields import FieldOperation
from django.db.migrations.operations.models import CreateModel
from django.db.migrations.state import ProjectState


class Together(Operation):
    """Operations that see the models as they are before and after all of them, which are made once.

    Django makes the classes of all related models again after each operation: hundreds of them, a hundred times.

    Raises ValueError for operations that build on each other: one that concerns a model that an earlier one creates,
    or two that concern one field.
    """

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.operations = operations
        created, fields = set[str](), set[tuple[str, str]]()
        for operation in operations:
            model = str(getattr(operation, "model_name", "")).lower()
            field = (model, operation.name.lower()) if isinstance(operation, FieldOperation) else None
            if model in created or field in fields:
                raise ValueError(f"{operation.describe()} builds on an earlier operation of its group")
            if isinstance(operation, CreateModel):
                created.add(operation.name.lower())
            if field:
                fields.add(field)

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Change the models; their classes are made when somebody asks for them."""
        state.__dict__.pop("apps", None)
        for operation in self.operations:
            operation.state_forwards(app_label, state)

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Execute the operations in their order."""
        for operation in self.operations:
            operation.database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Undo the operations, the last first."""
        for operation in reversed(self.operations):
            operation.database_backwards(app_label, schema_editor, from_state, to_state)

    def describe(self) -> str:
        """Return the operations in words, one after the other."""
        return ", ".join(operation.describe() for operation in self.operations)

    def references_model(self, name: str, app_label: str) -> Any:
        """Tell whether one of the operations may concern a model."""
        return any(operation.references_model(name, app_label) for operation in self.operations)
