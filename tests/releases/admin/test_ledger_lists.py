"""Lists and pages of the ledger's operations: times with their zone, people by name, operations in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.core.exceptions import FieldDoesNotExist
from django.db.models import DateTimeField
from django.urls import get_resolver, reverse
from django.utils import translation

from environments.operations.checkpoint import add_address
from releases.admin.components.change_history import OTHER_OPERATIONS, operation_name


def test_no_list_shows_a_time_without_its_zone() -> None:
    """Django would print it in UTC, beside pages that print it in the office's zone."""
    assert get_resolver().url_patterns  # the lists are registered with the addresses
    bare = []
    for model, shown in admin.site._registry.items():
        for name in shown.list_display:
            try:
                field = model._meta.get_field(str(name))
            except FieldDoesNotExist:
                continue
            if isinstance(field, DateTimeField) and not hasattr(shown, str(name)):
                bare.append(f"{model._meta.label}.{name}")
    assert not bare


def test_an_address_for_checkpoints_is_shown_with_names_and_times(
    database: str, acting_as: Callable[..., Any], browsers: Callable[[str], Any]
) -> None:
    with acting_as("administrator"):
        row = add_address.add_address(kind="mail", address="a@auditors.example", given_by="田中", reason="証跡")
    auditor = browsers("auditor")
    for place in ("changelist", "change"):
        page = reverse(f"admin:audit_checkpointdelivery_{place}", args=[row.pk] if place == "change" else [])
        html = auditor.get(page).content.decode()
        assert "JST" in html and "田中" in html and "given by (auditor)" in html.lower()
        assert "Administrator" in html and "person:" not in html.split('id="history"')[0]


def test_operations_without_a_button_have_labels_in_both_languages() -> None:
    for action in (*OTHER_OPERATIONS, "audit:refuse_signing", "audit:renew_key", "audit:export_pack", "account:secure"):
        with translation.override("en"):
            english = operation_name(action)
        with translation.override("ja"):
            assert english not in (action, operation_name(action)), action
