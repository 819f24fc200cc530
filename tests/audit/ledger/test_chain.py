"""The chain as writers make it: without gaps, in the order of commits, whatever is killed or rolled back."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from audit.ledger import parts
from audit.ledger.chain import HOLDS, UNKNOWN, verify
from audit.ledger.checkpoint import LedgerSigner
from audit.ledger.link import link_pending
from audit.ledger.note import notes_of
from tests.audit.conftest import LedgerDatabase, fill
from tests.audit.ledger.test_checkpoint import _unguard


def test_checkpoints_without_a_key_are_inconclusive(ledger: LedgerDatabase, tmp_path: Path) -> None:
    app, signer = ledger.as_app(), LedgerSigner(tmp_path)
    fill(app, 3)
    signer.sign(app)
    assert verify(app).exit_status == UNKNOWN
    report = verify(app, key=signer.public, notes=notes_of(tmp_path / "checkpoints.txt"))
    assert (report.exit_status, report.events, report.last, report.checkpoints) == (HOLDS, 3, 3, 2)


def test_an_operation_that_was_taken_away_is_found(ledger: LedgerDatabase) -> None:
    fill(ledger.as_app(), 3)
    admin = _unguard(ledger)
    admin.execute(
        "UPDATE audit_event SET operation_id = NULL WHERE id = (SELECT event_id FROM audit_ledgerentry WHERE "
        "number = 2)"
    )
    finding = verify(admin).finding
    assert finding is not None and (finding.number, finding.what) == (
        2,
        "column operation_id is not what the bytes say",
    )


HARM = {
    "nothing": "SELECT 1",
    "a column": (
        "UPDATE audit_event SET actor = 'someone' WHERE id = (SELECT event_id FROM audit_ledgerentry "
        "WHERE number = {n})"
    ),
    "its bytes": (
        "UPDATE audit_event SET bytes = bytes || ' ' WHERE id = (SELECT event_id FROM audit_ledgerentry "
        "WHERE number = {n})"
    ),
    "its link": "DELETE FROM audit_ledgerentry WHERE number = {n}",
    "its leaf": "UPDATE audit_ledgerentry SET leaf = sha256(leaf) WHERE number = {n}",
    "its chain value": "UPDATE audit_ledgerentry SET chain = sha256(chain) WHERE number = {n}",
    "all behind it": "DELETE FROM audit_ledgerentry WHERE number >= {n}",
}


def test_several_processes_find_what_one_finds(
    ledger: LedgerDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In stretches of three events: of each harm the last and the first of a stretch, another one, and the last of
    all.
    """
    monkeypatch.setattr(parts, "SIZE", 3)
    app, signer = ledger.as_app(), LedgerSigner(tmp_path)
    for _ in range(3):
        fill(app, 4)
        signer.sign(app)
    admin, notes = _unguard(ledger), list(notes_of(tmp_path / "checkpoints.txt"))
    whole = verify(admin, key=signer.public, notes=notes, processes=1)
    assert whole.exit_status == HOLDS
    admin.execute(
        "CREATE TABLE kept_event AS TABLE audit_event; CREATE TABLE kept_ledgerentry AS TABLE audit_ledgerentry"
    )
    for what, harm in HARM.items():
        for number in (6, 7, 8, whole.last):
            admin.execute(harm.format(n=number))
            one, two = (verify(admin, key=signer.public, notes=notes, processes=n) for n in (1, 2))
            assert one == two, what
            behind = [verify(admin, key=signer.public, first=7, notes=notes, processes=n) for n in (1, 2)]
            assert behind[0] == behind[1], what
            if what == "nothing":
                assert one == whole
            else:
                assert one.finding is not None and one.finding.number == number, what
            for table in ("event", "ledgerentry"):
                admin.execute(f"DELETE FROM audit_{table}; INSERT INTO audit_{table} TABLE kept_{table}")


def test_an_unsigned_ledger_does_not_hold(ledger: LedgerDatabase, tmp_path: Path) -> None:
    app, signer = ledger.as_app(), LedgerSigner(tmp_path)
    empty = verify(app, key=signer.public)
    assert (empty.exit_status, empty.events, empty.chain) == (UNKNOWN, 0, "00" * 32)
    fill(app, 3)
    unsigned = verify(app, key=signer.public)
    assert (unsigned.exit_status, unsigned.finding) == (UNKNOWN, None)
    assert unsigned.unknown == "no checkpoint was compared with events 1 to 3, which fit each other"
    signer.sign(app)
    fill(app, 2)
    report = verify(app, key=signer.public)
    assert (report.exit_status, report.signed, report.last) == (HOLDS, 3, 5)
    assert verify(app, key=signer.public, last=4).exit_status == HOLDS
    for first, last in ((1, 2), (2, 3), (4, 5)):  # no checkpoint's size, or not from the first event on
        part = verify(app, key=signer.public, first=first, last=last)
        assert (part.exit_status, part.events, part.signed) == (UNKNOWN, last - first + 1, 0)


# A writer of its own process: commits, rolls back whole transactions and savepoints at random, and prints a
# line after each commit.
WRITER = """
import random, sys
import psycopg
chance = random.Random(int(sys.argv[2]))
with psycopg.connect(sys.argv[1], autocommit=True) as connection:
    while True:
        keep = chance.random() < 0.7
        with connection.transaction(force_rollback=not keep):
            context = '{"actor": "worker:w", "operation": "toy:write"}'
            connection.execute("SELECT set_config('ringi.context', %s, true)", [context])
            for _ in range(chance.randint(1, 4)):
                with connection.transaction(force_rollback=chance.random() < 0.3):
                    connection.execute("INSERT INTO toy (title) VALUES ('x')")
        if keep:
            print("committed", flush=True)
"""


def test_eight_writers_rolling_back_and_killed_leave_no_gap(ledger: LedgerDatabase, tmp_path: Path) -> None:
    admin = ledger.as_superuser()
    writers = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                WRITER,
                make_conninfo(ledger.url(ledger.app), application_name=f"writer-{seed}"),
                str(seed),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in range(8)
    ]
    try:
        for number, writer in enumerate(writers):
            assert writer.stdout is not None
            for _ in range(40):
                assert writer.stdout.readline() == "committed\n"
            if number % 2:
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
                    [f"writer-{number}"],
                )
            writer.send_signal(signal.SIGKILL)
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    admin.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s", [ledger.app])
    link_pending(admin)
    report = verify(admin)
    assert report.finding is None and report.events > 8 * 30
    unmatched = admin.execute(
        "SELECT count(*) FROM toy t FULL JOIN audit_event e ON e.object = 'toys.Toy:' || t.id"
        " WHERE t.id IS NULL OR e.id IS NULL"
    ).fetchone()
    assert unmatched == (0,)
    assert admin.execute("SELECT count(*) FROM toy").fetchone() == (report.events,)


def test_two_transactions_are_linked_in_the_order_of_their_commits(ledger: LedgerDatabase) -> None:
    one, other = ledger.as_app(), ledger.as_app()
    context = """SELECT set_config('ringi.context', '{"actor": "worker:w", "operation": "toy:write"}', true)"""
    with one.transaction():
        one.execute(context)
        one.execute("INSERT INTO toy (title) VALUES ('begun first')")
        with other.transaction():
            other.execute(context)
            other.execute("INSERT INTO toy (title) VALUES ('committed first')")
        one.execute("INSERT INTO toy (title) VALUES ('after')")
    link_pending(one)
    titles = one.execute(
        "SELECT convert_from(bytes, 'UTF8')::json #>> '{after,title}' FROM audit_ledgerentry"
        " JOIN audit_event ON id = event_id ORDER BY number"
    ).fetchall()
    assert titles == [("committed first",), ("begun first",), ("after",)]
