"""Columns with choices take no other value, whatever statement writes them."""

from __future__ import annotations

import re

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, models, transaction

from environments.models import Environment
from tests.architecture.files import APPS


def checked() -> dict[tuple[str, str], set[str]]:
    """Return table and column → the values that a condition of the database allows."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c'"
        )
        found: dict[tuple[str, str], set[str]] = {}
        for table, text in cursor.fetchall():
            columns = set(re.findall(r"\(\(+(\w+)\)?(?:::text)? = ANY", text))
            if len(columns) == 1:
                found[table, columns.pop()] = set(re.findall(r"'([^']*)'::", text))
    return found


def test_each_column_with_choices_allows_these_only(database: str) -> None:
    there, missing, seen = checked(), [], 0
    for model in apps.get_models():
        if model._meta.app_label not in APPS or model.__name__.startswith("Historical"):
            continue
        for field in model._meta.concrete_fields:
            if isinstance(field, models.CharField | models.TextField) and field.flatchoices:
                seen += 1
                wanted = {str(value) for value, _label in field.flatchoices} | ({""} if field.blank else set())
                if there.get((model._meta.db_table, str(field.column))) != wanted:
                    missing.append(f"{model.__name__}.{field.name}")
    assert seen > 40
    assert missing == []


def test_a_value_beside_the_choices_is_refused_by_the_database(database: str) -> None:
    assert Environment.objects.exists()
    with pytest.raises(IntegrityError, match="tier"), transaction.atomic():
        Environment.objects.update(tier="somewhere")


def test_each_column_with_choices_has_its_constraint() -> None:
    """The database of the tests is made by migrations; the models must ask for the same."""
    for model in apps.get_models():
        if model._meta.app_label in ("environments", "releases") and not model.__name__.startswith("Historical"):
            named = {constraint.name for constraint in model._meta.constraints}
            wanted = {
                f"{model._meta.model_name}_{field.name}_choice"
                for field in model._meta.local_concrete_fields
                if field.flatchoices
            }
            assert wanted <= named, model
