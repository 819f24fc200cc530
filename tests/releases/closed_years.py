"""A ledger with a change in production, signed and verified, whose fiscal year has just ended and can be closed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from audit import standing
from audit.actor import Actor, acting
from audit.clock import now
from audit.ledger.checkpoint import LedgerSigner
from audit.models import ClosedYear, Verification
from audit.operation import record_event
from releases.operations.year import close
from tests.conftest import sign_ledger
from tests.releases.audited import Made, again, database, deployment, made  # noqa: F401

YEAR = 2025
VERIFIER = Actor(account_id=None, name="verification", kind="worker", channel="scheduler")


@dataclass
class Ended:
    """The ledger of a year that is over. state: the state folder; until: when the year ended; last: its last event."""

    state: Path
    signer: LedgerSigner
    until: datetime
    last: int
    acting_as: Callable[..., Any]

    def sign(self) -> None:
        """Sign what there is."""
        sign_ledger(self.signer)

    def verify(self) -> Verification:
        """Verify the whole ledger, as every night."""
        with acting(VERIFIER):
            row = standing.run(whole=True)
        assert row is not None
        self.sign()
        return row

    def request(self) -> ClosedYear:
        """Let the auditor request to close it."""
        with self.acting_as("auditor"):
            return close.request_closing(year=YEAR, reason="年度末")

    def closed(self) -> ClosedYear:
        """Let two people close it."""
        row = self.request()
        with self.acting_as("administrator"):
            row = close.confirm_closing(row.pk)
        self.sign()
        return row


@pytest.fixture
def ended(
    made: Made,  # noqa: F811
    database: str,  # noqa: F811
    tmp_path: Path,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    acting_as: Callable[..., Any],
) -> Ended:
    """A year that ended a moment ago, with events of the next one behind it."""
    settings.STATE_DIR = tmp_path / "state"
    shutil.copytree(made.signer, settings.STATE_DIR / "ledger_signer")
    signer = LedgerSigner(settings.STATE_DIR / "ledger_signer")
    with acting(VERIFIER):
        record_event("audit:export_ledger")
    sign_ledger(signer)
    last, until = signer.frontier.size, now()
    monkeypatch.setattr(close, "bounds", lambda year: (datetime(year, 1, 1, tzinfo=UTC), until))
    monkeypatch.setattr(close, "fiscal_year", lambda moment: YEAR)
    monkeypatch.setattr(close, "TRANSACTION", 0)
    with acting(VERIFIER):
        record_event("audit:export_ledger")
    sign_ledger(signer)
    found = Ended(Path(settings.STATE_DIR), signer, until, last, acting_as)
    assert found.verify().result == Verification.Result.PASSED
    return found
