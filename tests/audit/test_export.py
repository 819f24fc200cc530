"""What an export says of itself before its first line."""

from __future__ import annotations

from pathlib import Path

from audit import export
from audit.ledger.checkpoint import LedgerSigner
from tests.audit.conftest import LedgerDatabase, execute, fill


def test_the_length_is_known_before_the_first_line(ledger: LedgerDatabase, tmp_path: Path) -> None:
    """Numbers of one and of two digits, texts of every length, checkpoints between and behind."""
    app, sizes = ledger.as_app(), []
    signer = LedgerSigner(tmp_path / "ledger_signer")
    for number in range(3):
        fill(app, 6)
        for n in range(4):
            execute(app, "INSERT INTO toy (title) VALUES (%s)", ["名" * n])
        signer.sign(app)
        if number == 1:
            fill(app, 1)
    lines = list(export.lines(app, signer.public, on_start=lambda *size: sizes.append(size)))
    assert sizes == [(31, sum(len(line.encode()) for line in lines))]


def test_a_missing_event_keeps_the_length_right(ledger: LedgerDatabase) -> None:
    """It is a fault of the ledger and none of the export."""
    fill(ledger.as_app(), 3)
    root = ledger.as_superuser()
    root.execute("ALTER TABLE audit_event DISABLE TRIGGER ALL")
    root.execute("DELETE FROM audit_event WHERE id = (SELECT event_id FROM audit_ledgerentry WHERE number = 2)")
    sizes: list[tuple[int, int]] = []
    lines = list(export.lines(root, None, on_start=lambda *size: sizes.append(size)))
    assert '"event":null' in lines[2]
    assert sizes == [(3, sum(len(line.encode()) for line in lines))]
