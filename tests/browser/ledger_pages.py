"""The pages of the ledger's own operations, with rows on them: what an auditor and two administrators see after a
restore.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from django.db import connection
from django.urls import reverse

from audit.actor import Actor, acting
from audit.clock import now
from audit.ledger.checkpoint import LedgerSigner, SigningRefused
from audit.ledger.link import link_pending
from audit.ledger.note import Checkpoint, sign
from audit.ledger.proof import Frontier
from audit.ledger.resumption import write_refusal
from audit.models import ClosedYear, Event
from audit.operation import operation, record_event
from audit.reconciliation import nightly
from environments.models import Account
from environments.operations.checkpoint import add_address
from environments.operations.ledger import resume
from releases.operations.definition.load import load
from releases.queries import saved_test_runs
from releases.queries.fiscal_year import bounds
from releases.queries.year_figures import HOLDS, OPEN
from tests.conftest import sign_ledger
from tests.releases.definition.test_definition import SHOP


def refused(signer: LedgerSigner) -> None:
    """Let a ledger signer that remembers more than the ledger holds write its refusal into the ledger."""
    tree = Frontier()
    for _n in range(9000):
        tree.add(bytes(32))
    signer.frontier, signer.note = tree, sign(Checkpoint(signer.origin, tree.size, tree.root()), signer.private)
    try:
        sign_ledger(signer)
    except SigningRefused as refusal:
        write_refusal(signer, connection, str(refusal))


DEFINITION = {
    "applications/shop.toml": SHOP,
    "calendar.toml": '[[holidays]]\nday = 2027-06-01\nja = "創立記念日"\nen = "Foundation day"\n',
}


def ledger_rows(acting_as: Callable[..., AbstractContextManager[Any]], folder: Path) -> dict[str, Any]:
    """Sign, refuse to sign, request a resumption, and enter addresses for checkpoints."""
    with acting_as("administrator"):
        mail = add_address.add_address(
            kind="mail", address="checkpoints@auditors.example", given_by="監査法人 田中", reason="四半期の証跡"
        )
        gone = add_address.add_address(
            kind="post",
            address="https://witness.auditors.example/ringi/add-checkpoint",
            given_by="内部監査室 鈴木",
            reason="外部の証人",
        )
        add_address.remove_address(gone.pk, reason="契約終了")
    with acting_as("manager"):
        load(DEFINITION, reason="コミット 4e1f9a02")
    signer = LedgerSigner(folder)
    checkpoint = sign_ledger(signer)
    refused(signer)
    with acting_as("administrator"):
        going_on = resume.request_resumption(reason="ディスク故障のため、前日のバックアップから復元した")
    with acting(Actor(account_id=None, name="audit_reconcile", kind="command", channel="command")):
        nightly.reconcile()
        since, until = saved_test_runs.month_before(now())
        results = [{"test": "approval-after-start", "listing": False, "examined": 41, "rows": 1, "digest": "ef" * 32}]
        record_event(saved_test_runs.OUTCOME, since=since.isoformat(), until=until.isoformat(), results=results)
    with (
        acting(Actor(account_id=None, name="田中", kind="command", channel="command")),
        operation("year:confirm_closing") as op,
    ):
        closed = ClosedYear.objects.create(
            year=2025,
            since=bounds(2025)[0],
            until=bounds(2025)[1],
            first=1,
            last=checkpoint.size,
            checkpoint=checkpoint.size,
            contents={
                "holds": dict.fromkeys(HOLDS, 41),
                "open": dict.fromkeys(OPEN, 0) | {"releases": 2},
                "chain": "5e" * 32,
            },
            digest="ab" * 32,
            archives=[["cd" * 32, 281270570, "2026-04-03T09:15:00+00:00"]],
            reason="2025年度の締め",
            requested_by="person:9:佐々木 監査",
            requested_person="employee:9",
            requested_at=now(),
            confirmed_by="person:1:田中 管理",
            confirmed_person="employee:1",
            confirmed_at=now(),
        )
        op.about(closed)
    return {"mail": mail, "gone": gone, "checkpoint": checkpoint, "going_on": going_on, "closed": closed}


def ledger_pages(rows: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return name → (who looks, address)."""
    link_pending(connection)
    events = Event.objects.all()
    numbers = {
        "event-row": events.filter(kind="row", outcome="updated", object__startswith="releases.Release:").latest("at"),
        "event-refusal": events.filter(kind="refusal").latest("at"),
        "event-signed": events.filter(operation="approval:approve", kind="operation").latest("at"),
    }
    release = f"releases.Release:{rows['review'].pk}"
    manager = Account.objects.get(username="manager").pk
    listed = ("checkpointdelivery", "ledgerresumption", "checkpoint")
    return {
        "definition": ("manager", reverse("definition")),
        "definition-auditor": ("auditor", reverse("definition")),
        "verb-token": (
            "administrator",
            reverse("operation", args=["token", "issue", Account.objects.get(username="ci").pk]),
        ),
        "list-checkpoints": ("auditor", reverse("admin:audit_checkpoint_changelist")),
        "list-provisioned-groups": ("administrator", reverse("admin:environments_provisionedgroup_changelist")),
        "verb-definition": ("manager", reverse("operation-new", args=["definition", "load"])),
        **{name: ("auditor", reverse("event", args=[event.ledger_entry.number])) for name, event in numbers.items()},
        **{f"list-ledger-{name}": ("administrator", reverse(f"admin:audit_{name}_changelist")) for name in listed},
        "checkpoint": ("auditor", reverse("admin:audit_checkpoint_change", args=[rows["checkpoint"].size])),
        "address": ("administrator", reverse("admin:audit_checkpointdelivery_change", args=[rows["mail"].pk])),
        "address-ended": ("auditor", reverse("admin:audit_checkpointdelivery_change", args=[rows["gone"].pk])),
        "going-on": ("committee_a", reverse("admin:audit_ledgerresumption_change", args=[rows["going_on"].pk])),
        "verb-add-address": ("administrator", reverse("operation-new", args=["checkpoint", "add_address"])),
        "verb-end-address": (
            "administrator",
            reverse("operation", args=["checkpoint", "remove_address", rows["mail"].pk]),
        ),
        "verb-go-on": ("administrator", reverse("operation-new", args=["ledger", "request_resumption"])),
        "verb-confirm-go-on": (
            "committee_a",
            reverse("operation", args=["ledger", "confirm_resumption", rows["going_on"].pk]),
        ),
        "audit-tests-kept": ("auditor", reverse("audit-tests")),
        "closed-years": ("auditor", reverse("closed-years")),
        "closed-year": ("auditor", reverse("closed-year", args=[rows["closed"].pk])),
        "verb-close-year": ("auditor", reverse("operation-new", args=["year", "request_closing"])),
        "my-tasks-committee": ("committee_a", reverse("admin:index")),
        "history-of-a-release": ("auditor", f"{reverse('timeline')}?object={release}"),
        "timeline-of-a-person": ("auditor", f"{reverse('timeline')}?account={manager}&outcome=refused&count=1"),
        "as-of-kinds": ("auditor", f"{reverse('as-of')}?kind=releases.Release"),
        "as-of-release": ("auditor", f"{reverse('as-of')}?object={release}"),
        "test-holders": ("auditor", reverse("audit-test", args=["role-holders"])),
        "test-history": ("auditor", reverse("audit-test", args=["unexplained-history"])),
        "test-two-duties": ("auditor", reverse("audit-test", args=["segregation-of-duties"])),
    }
