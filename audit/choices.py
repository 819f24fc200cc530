"""Columns with `choices` take no other value: each becomes a constraint, which migrations add and change as any
other.
"""

from django.apps import AppConfig
from django.db import models


def check_choices(app: AppConfig) -> None:
    """Add a constraint for each column with choices of an app's models; a model's history keeps the values of its
    day.
    """
    for model in app.get_models():
        names = {field.name for field in model._meta.local_concrete_fields}
        for field in model._meta.local_concrete_fields:
            if field.flatchoices and "history_type" not in names:
                values = [value for value, _label in field.flatchoices] + ([""] if field.blank else [])
                condition = models.Q(**{f"{field.name}__in": values})
                name = f"{model._meta.model_name}_{field.name}_choice"
                model._meta.constraints = [
                    *model._meta.constraints,
                    models.CheckConstraint(condition=condition, name=name),
                ]
        model._meta.original_attrs["constraints"] = model._meta.constraints
