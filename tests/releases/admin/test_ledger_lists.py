"""Lists and pages of the ledger's operations: times with their zone, people by name, operations in words."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.contrib import admin
from django.core.exceptions import FieldDoesNotExist
from django.db.models import DateTimeField
from django.urls import get_resolver, reverse
from django.utils import translation

from audit.ledger.checkpoint import LedgerSigner
from audit.ledger.delivery import write_access
from audit.ledger.stamping import Stamping
from audit.offline import ringi_verify
from environments.operations.checkpoint import add_address
from releases.admin.components.change_history import OTHER_OPERATIONS, operation_name
from tests.conftest import ledger_signer_connection, sign_ledger
from tests.time_stamping import Authority


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


def test_the_checkpoints_show_their_time_stamps_and_how_much_the_clocks_differ(
    database: str, tmp_path: Path, browsers: Callable[[str], Any]
) -> None:
    authority, signer = Authority(tmp_path / "authority"), LedgerSigner(tmp_path / "signer")
    size = sign_ledger(signer).size
    with ledger_signer_connection() as own:
        list(Stamping(signer, authority.url, ringi_verify.Authority(str(authority.ca))).carrying(own))
        off = {"size": 1, "time": "2020-01-01T00:00:00.000000Z", "token": ""}
        last = sign_ledger(signer).size
        write_access(own, "audit:time_stamp", f"audit.Checkpoint:{last}", off, "done")
    authority.close()
    pages = reverse("admin:audit_checkpoint_changelist"), reverse("admin:audit_checkpoint_change", args=[size])
    listed, single = (browsers("auditor").get(page).content.decode() for page in pages)
    for html in (listed, single):
        assert re.search(r'class="r-chip good">\+[01] s<', html)
    assert listed.count('class="r-chip bad">') == 1 and "bad" not in single.split("r-chip")[1][:9]


def test_operations_without_a_button_have_labels_in_both_languages() -> None:
    for action in (
        *OTHER_OPERATIONS,
        "audit:refuse_signing",
        "audit:renew_key",
        "audit:time_stamp",
        "audit:export_pack",
        "account:secure",
    ):
        with translation.override("en"):
            english = operation_name(action)
        with translation.override("ja"):
            assert english not in (action, operation_name(action)), action
