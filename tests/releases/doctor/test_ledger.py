"""The doctor looks at the ledger: verification, reconciliation, witnesses and the stream to a SIEM."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from audit import standing
from audit.actor import Actor, acting
from audit.clock import now
from audit.ledger.checkpoint import LedgerSigner
from audit.ledger.delivery import Delivery
from audit.models import CheckpointDelivery, LedgerEntry
from audit.operation import record_event
from audit.reconciliation import nightly
from config.development.ports import free_port
from releases.doctor import other_processes
from tests.audit.tampered import set_row
from tests.conftest import ledger_signer_connection, sign_ledger
from tests.releases.doctor.test_doctor import FAILED, OK, WARNING, results
from tests.releases.gates.asking import alter, make


def test_a_stream_that_has_stopped_is_found(
    world: Any, acting_as: Callable[..., Any], settings: Any, tmp_path: Path
) -> None:
    """Its own state folder alone says how far it came: nothing that Ringi writes is of the reader's role."""
    check, taken = other_processes.ledger_stream, tmp_path / "stream"
    settings.STATE_DIR, settings.STREAM_URL = tmp_path, ""
    assert results(check) == [OK], "no destination is set"
    settings.STREAM_URL = "syslog+tls://siem.example:6514"
    with acting_as("manager"):
        record_event("test:stream", object="first")
    sign_ledger(LedgerSigner(tmp_path / "ledger_signer"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(other_processes, "STREAMED_WITHIN", timedelta(days=1))
        assert results(check) == [OK], "the first event is of today"
        patched.setattr(other_processes, "STREAMED_WITHIN", timedelta(0))
        assert results(check) == [FAILED]
        assert not taken.exists(), "looking makes nothing"
        last = LedgerEntry.objects.order_by("number").values("number", "leaf").last()
        assert last is not None
        taken.mkdir()
        (taken / "position.json").write_text(json.dumps({"number": last["number"], "leaf": bytes(last["leaf"]).hex()}))
        assert results(check) == [OK], "all is sent"
    (taken / "position.json").write_text(json.dumps({"number": last["number"], "leaf": "00" * 32}))
    assert results(check) == [FAILED], "another ledger"


def test_a_witness_that_takes_no_checkpoint_is_found(world: Any, tmp_path: Path) -> None:
    signer, port = LedgerSigner(tmp_path / "signer"), free_port()
    given = {"given_by": "the auditor", "reason": "copies", "entered_by": "person:1:A", "entered_at": now()}
    make(CheckpointDelivery, kind="post", address=f"http://127.0.0.1:{port}", **given)
    sign_ledger(signer)
    assert results(other_processes.witnesses) == [OK], "nothing has been carried yet"
    with ledger_signer_connection() as own:
        assert len(Delivery(signer).carry(own)) == 1
    (found,) = other_processes.witnesses()
    assert (found.result, found.name) == (FAILED, f"http://127.0.0.1:{port}") and "Connection refused" in found.words
    (address,) = CheckpointDelivery.objects.all()
    alter(address, removed_at=now())
    assert results(other_processes.witnesses) == [WARNING]


def test_a_verification_without_a_result_is_called_no_fault(world: Any, settings: Any, tmp_path: Path) -> None:
    """Nothing new is refused after it."""
    settings.LEDGER_PUBLIC_KEY = str(tmp_path / "none")
    with acting(Actor(account_id=None, name="verification", kind="worker", channel="scheduler")):
        row = standing.run(whole=True)
    assert row is not None and row.result == "inconclusive"
    (found,) = other_processes.ledger()
    assert found.result == FAILED and row.words in found.words
    assert "fault" not in found.words and "nothing new starts" not in found.advice


def test_a_verified_ledger_without_its_nightly_reconciliation_is_found(
    world: Any, settings: Any, tmp_path: Path
) -> None:
    signer = LedgerSigner(tmp_path / "signer")
    sign_ledger(signer)
    settings.LEDGER_PUBLIC_KEY = str(tmp_path / "signer" / "key.pub")
    with acting(Actor(account_id=None, name="verification", kind="worker", channel="scheduler")):
        nightly.reconcile()
        row = standing.run(whole=True)
    assert row is not None and row.result == "passed", row
    assert results(other_processes.ledger) == [OK]
    set_row("audit_event", "at = at - interval '49 hours'", "operation = 'audit:reconcile'")
    assert results(other_processes.ledger) == [WARNING]
