"""No page shows a row that was altered outside Ringi as genuine, and the ledger verification finds it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.db import ProgrammingError, connection, transaction
from django.urls import reverse

from audit import cover, standing
from audit.actor import acting
from audit.ledger.checkpoint import LedgerSigner
from audit.models import Event, Outbox, Verification
from releases.models import Measurement, MonitoringCheck, StepOutput
from tests.audit.tampered import as_owner, set_event, set_row
from tests.conftest import sign_ledger
from tests.releases.gates.asking import COMMAND

WORDS = "These rows were altered after they were recorded"
CHANGES: dict[Any, str] = {
    StepOutput: "text = 'all went well'",
    Measurement: "values = '{}'",
    MonitoringCheck: "value = value || '0'",
    Outbox: "payload = '{}'",
}


@pytest.fixture
def auditor(world: dict[str, Any], browsers: Callable[[str], Any]) -> Any:
    """The auditor before the pages; the ledger is signed and covers the rows."""
    with acting(COMMAND):
        cover.cover()
    cache.clear()
    return browsers("auditor")


@pytest.fixture
def check(state_folder: Path) -> Callable[..., Verification]:
    """Return a function: sign all events, and verify the ledger as the scheduler has it done."""
    signer = LedgerSigner(state_folder / "ledger_signer")

    def make(**options: Any) -> Verification:
        sign_ledger(signer)
        with acting(COMMAND):
            row = standing.run(**options)
        assert row is not None
        return row

    return make


def addresses(model: Any, row: Any) -> list[str]:
    """Return the addresses that show a row."""
    if model is StepOutput:
        return [reverse("step-log", args=[row.step_id]), reverse("step-log", args=[row.step_id]) + "?download=1"]
    if model is Outbox:
        return [reverse("admin:audit_outbox_changelist")]
    monitoring = reverse("monitoring", args=[row.period_id])
    return [monitoring, f"{monitoring}?series=csv"] if model is Measurement else [monitoring]


@pytest.mark.parametrize("model", list(CHANGES))
def test_an_altered_row_is_shown_as_altered_and_found(
    model: Any, auditor: Any, browsers: Callable[[str], Any], check: Callable[..., Verification]
) -> None:
    row, reader = model.objects.order_by("-pk").first(), browsers("operator")
    said = WORDS if model is not Outbox else ">altered<"
    assert check().altered == []
    assert all(said not in reader.get(address).content.decode() for address in addresses(model, row))
    set_row(model._meta.db_table, CHANGES[model], f"id = {row.pk}")
    for address in addresses(model, row):
        assert said in reader.get(address).content.decode(), address
    found, name = check(), f"{model._meta.label}:{row.pk}"
    assert not found.whole and found.altered == [[name, "it was changed"]], "the hourly one finds it"
    assert Outbox.objects.filter(event="ledger:alarm", object=f"audit.Verification:{found.pk}").count() == 1
    cache.clear()  # pages look every few seconds
    page = browsers("committee_a").get(reverse("admin:index")).content.decode()
    assert name in page and "Evidence was altered" in page
    assert name in auditor.get(reverse("admin:audit_verification_change", args=[found.pk])).content.decode()
    assert standing.standing().fault is None, "the ledger itself holds"
    assert check().digest == found.digest
    assert Outbox.objects.filter(event="ledger:alarm").count() == 1, "it is notified once"


def test_a_deleted_or_inserted_row_is_found(auditor: Any, check: Callable[..., Verification]) -> None:
    gone, copied = Measurement.objects.order_by("pk")[0], Measurement.objects.order_by("pk")[1]
    with as_owner() as own:
        own.execute(
            "INSERT INTO releases_measurement (period_id, due_at, at, up, raw, values, error, covered_by)"
            " SELECT period_id, due_at + interval '1 ms', at, up, raw, '{}', '', covered_by FROM "
            "releases_measurement WHERE id = %s",
            [copied.pk],
        )
    set_row("releases_measurement", "DELETE", f"id = {gone.pk}")
    put_in = Measurement.objects.order_by("-pk")[0]
    assert cover.altered(Measurement.objects.all()) == [put_in.pk]
    assert check(whole=True).altered == [
        [f"releases.Measurement:{gone.pk}", "it was deleted"],
        [f"releases.Measurement:{put_in.pk}", "no event covers it"],
    ]


def test_no_role_of_the_product_changes_such_a_row(auditor: Any) -> None:
    for model, change in CHANGES.items():
        table = model._meta.db_table
        for statement in (f"UPDATE {table} SET {change}", f"DELETE FROM {table}"):
            with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
                connection.cursor().execute(statement)


@pytest.mark.parametrize("change", ["bytes = bytes || ' '", "reason = 'as agreed'", "bytes = 'no JSON'"])
def test_an_altered_event_is_shown_in_red(change: str, auditor: Any, check: Callable[..., Verification]) -> None:
    check()
    event = Event.objects.filter(operation="approval:approve", kind="operation").select_related("ledger_entry")[0]
    page = reverse("event", args=[event.ledger_entry.number])
    html = auditor.get(page).content.decode()
    assert "was altered" not in html and "the ledger signer signed the checkpoint" in html
    set_event(event.ledger_entry.number, change)
    html = auditor.get(page).content.decode()
    assert "This event was altered after it was recorded" in html and "The proof fails" in html
    row = Event.objects.filter(operation_id=event.operation_id, kind="row").select_related("ledger_entry")[0]
    for address in (reverse("event", args=[row.ledger_entry.number]), f"{reverse('timeline')}?object={event.object}"):
        assert "This event was altered after it was recorded" in auditor.get(address).content.decode(), address


def test_an_event_with_a_rewritten_hash_is_not_in_the_signed_tree(
    auditor: Any, check: Callable[..., Verification]
) -> None:
    check()
    event = Event.objects.filter(operation="approval:approve", kind="operation").select_related("ledger_entry")[0]
    number = event.ledger_entry.number
    auditor.get(reverse("event", args=[number]))  # the search reads the tree
    set_event(
        number, "bytes = convert_to(replace(convert_from(bytes, 'UTF8'), '\"digest\":\"', '\"digest\":\"0'), 'UTF8')"
    )
    leaf = "sha256('\\x00'::bytea || (SELECT bytes FROM audit_event e WHERE e.id = event_id))"
    set_row("audit_ledgerentry", f"leaf = {leaf}", f"number = {number}")
    html = auditor.get(reverse("event", args=[number])).content.decode()
    assert "The proof fails" in html and "is not in the tree" in html
    found = check(whole=True)
    assert (found.result, found.number) == ("failed", number)
