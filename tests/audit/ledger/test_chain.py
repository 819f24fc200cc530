"""Whatever is done to a ledger of 2,000 events, verification finds it and names the first bad number."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from audit.ledger.chain import BROKEN, HOLDS, UNKNOWN, verify
from audit.ledger.checkpoint import Sealer
from audit.ledger.note import BadNote, PublicKey, notes_of
from tests.audit.conftest import LedgerDatabase, fill
from tests.audit.ledger.test_checkpoint import _rechain, _unguard

SIZE = 2000
TABLES = ("audit_event", "audit_link", "audit_head", "audit_checkpoint")


@dataclass
class Sealed:
    """A sealed ledger without guards, and its untouched copy beside it."""

    admin: psycopg.Connection[Any]
    key: PublicKey
    notes: list[str]

    def restore(self) -> None:
        """Undo all tampering."""
        for table in TABLES:
            self.admin.execute(f"TRUNCATE {table}")
            self.admin.execute(f"INSERT INTO {table} SELECT * FROM kept_{table}")

    def event(self, number: int) -> str:
        """Return the id of an event by number."""
        return str(self.admin.execute("SELECT event_id FROM audit_link WHERE number = %s", [number]).fetchone()[0])


@pytest.fixture(scope="module")
def tampering(clone: Callable[..., LedgerDatabase], tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    """2,000 events, checkpoints at 500, 1,500 and 2,000."""
    database = clone()
    app, folder = database.as_app(), tmp_path_factory.mktemp("sealer")
    sealer = Sealer(folder)
    for count in (500, 1000, 500):
        fill(app, count, per_transaction=5)
        sealer.seal(app)
    admin = _unguard(database)
    for table in TABLES:
        admin.execute(f"CREATE TABLE kept_{table} AS SELECT * FROM {table}")
    admin.execute("ALTER TABLE audit_link DROP CONSTRAINT audit_link_event_id_key")
    admin.execute("ANALYZE")
    return Sealed(admin, sealer.public, list(notes_of(folder / "checkpoints.txt")))


@pytest.fixture
def sealed(tampering: Sealed) -> Iterator[Sealed]:
    """The sealed ledger, put right again after the test."""
    yield tampering
    tampering.restore()


def _found(sealed: Sealed, notes: bool = False) -> tuple[int, str]:
    report = verify(sealed.admin, key=sealed.key, notes=sealed.notes if notes else ())
    assert report.exit_status == BROKEN and report.finding is not None
    return report.finding.number, report.finding.what


def test_an_untouched_ledger_holds_with_and_without_the_outside_copies(sealed: Sealed) -> None:
    report = verify(sealed.admin, key=sealed.key, notes=sealed.notes)
    assert (report.exit_status, report.events, report.last, report.checkpoints) == (HOLDS, SIZE, SIZE, 6)
    assert verify(sealed.admin, key=sealed.key).checkpoints == 3
    assert verify(sealed.admin, first=700, last=900).exit_status == HOLDS
    assert verify(sealed.admin).exit_status == UNKNOWN  # checkpoints, but no key


COLUMNS = {
    "id": "gen_random_uuid()",
    "kind": "'access'",
    "act": "gen_random_uuid()",
    "at": "at + interval '1 microsecond'",
    "actor": "actor || 'x'",
    "channel": "'api'",
    "action": "action || 'x'",
    "object": "object || '0'",
    "outcome": "'deleted'",
    "reason": "reason || ' '",
    "tx": "tx + 1",
    "bytes": "set_byte(bytes, length(bytes) / 2, get_byte(bytes, length(bytes) / 2) # 1)",
}


@pytest.mark.parametrize("number", [1, 977, SIZE])
@pytest.mark.parametrize("column", COLUMNS)
def test_a_changed_field_of_an_event_is_found(sealed: Sealed, column: str, number: int) -> None:
    event = sealed.event(number)
    sealed.admin.execute(f"UPDATE audit_event SET {column} = {COLUMNS[column]} WHERE id = %s", [event])
    assert _found(sealed)[0] == number


def test_a_null_act_is_found(sealed: Sealed) -> None:
    sealed.admin.execute("UPDATE audit_event SET act = NULL WHERE id = %s", [sealed.event(30)])
    assert _found(sealed) == (30, "column act is not what the bytes say")


@pytest.mark.parametrize("number", [1, 977, SIZE])
@pytest.mark.parametrize("column", ["leaf", "chain"])
def test_a_flipped_bit_of_a_link_is_found(sealed: Sealed, column: str, number: int) -> None:
    sealed.admin.execute(
        f"UPDATE audit_link SET {column} = set_bit({column}, %s, 1 - get_bit({column}, %s)) WHERE number = %s",
        [number % 256, number % 256, number],
    )
    assert _found(sealed)[0] == number


def test_a_flipped_bit_anywhere_in_the_bytes_is_found(sealed: Sealed) -> None:
    chance = random.Random(20261216)
    for number in chance.sample(range(1, SIZE + 1), 60):
        (length,) = sealed.admin.execute(
            "SELECT length(bytes) * 8 FROM audit_event WHERE id = %s", [event := sealed.event(number)]
        ).fetchone()
        flip = "UPDATE audit_event SET bytes = set_bit(bytes, %s, 1 - get_bit(bytes, %s)) WHERE id = %s"
        place = chance.randrange(length)
        sealed.admin.execute(flip, [place, place, event])
        assert _found(sealed)[0] == number
        sealed.admin.execute(flip, [place, place, event])


@pytest.mark.parametrize("number", [1, 977, SIZE])
@pytest.mark.parametrize("tables", [("audit_event",), ("audit_link",), ("audit_event", "audit_link")])
def test_a_deleted_row_is_found(sealed: Sealed, tables: tuple[str, ...], number: int) -> None:
    event = sealed.event(number)
    for table in tables:
        sealed.admin.execute(
            f"DELETE FROM {table} WHERE {'id' if table == 'audit_event' else 'event_id'} = %s", [event]
        )
    assert _found(sealed)[0] == number


def test_a_cut_tail_is_found(sealed: Sealed) -> None:
    sealed.admin.execute("DELETE FROM audit_event USING audit_link WHERE event_id = id AND number > 1990")
    sealed.admin.execute("DELETE FROM audit_link WHERE number > 1990")
    assert _found(sealed) == (1991, "the link is missing: a checkpoint covers 2000 events")
    sealed.admin.execute("DELETE FROM audit_checkpoint")
    assert _found(sealed) == (1991, "the head says 2000 events, the last link is 1990")
    sealed.admin.execute(
        "UPDATE audit_head SET number = 1990, chain = (SELECT chain FROM audit_link WHERE number = 1990)"
    )
    assert verify(sealed.admin, key=sealed.key).exit_status == HOLDS  # nothing inside the database tells any more
    assert _found(sealed, notes=True)[0] == 1991


def test_an_inserted_event_is_found(sealed: Sealed) -> None:
    sealed.admin.execute(
        "INSERT INTO audit_event"
        " SELECT gen_random_uuid(), kind, act, at, actor, channel, action, object, outcome,"
        " reason, tx, bytes FROM audit_event WHERE id = %s",
        [sealed.event(5)],
    )
    number, what = _found(sealed)
    assert number == SIZE + 1 and "is not in the chain" in what


def test_an_event_inserted_with_a_link_in_the_middle_is_found(sealed: Sealed) -> None:
    (event,) = sealed.admin.execute(
        "INSERT INTO audit_event"
        " SELECT gen_random_uuid(), kind, act, at, actor, channel, action, object, outcome,"
        " reason, tx, bytes FROM audit_event WHERE id = %s RETURNING id",
        [sealed.event(5)],
    ).fetchone()
    sealed.admin.execute("UPDATE audit_link SET number = number + 100000 WHERE number > 1200")
    sealed.admin.execute(
        "INSERT INTO audit_link SELECT 1201, %s, leaf, chain FROM audit_link WHERE number = 5", [event]
    )
    sealed.admin.execute("UPDATE audit_link SET number = number - 99999 WHERE number > 100000")
    assert _found(sealed)[0] == 1201


@pytest.mark.parametrize("columns", ["bytes", "id"])
def test_swapped_events_are_found(sealed: Sealed, columns: str) -> None:
    one, other = sealed.event(400), sealed.event(800)
    if columns == "bytes":
        sealed.admin.execute(
            "UPDATE audit_event a SET bytes = b.bytes FROM audit_event b"
            " WHERE (a.id, b.id) IN ((%s::uuid, %s::uuid), (%s::uuid, %s::uuid))",
            [one, other, other, one],
        )
    else:
        sealed.admin.execute(
            "UPDATE audit_link SET event_id = CASE number WHEN 400 THEN %s::uuid ELSE %s::uuid END"
            " WHERE number IN (400, 800)",
            [other, one],
        )
    assert _found(sealed)[0] == 400


def test_swapped_links_are_found(sealed: Sealed) -> None:
    sealed.admin.execute("UPDATE audit_link SET number = 999999 WHERE number = 400")
    sealed.admin.execute("UPDATE audit_link SET number = 400 WHERE number = 800")
    sealed.admin.execute("UPDATE audit_link SET number = 800 WHERE number = 999999")
    assert _found(sealed)[0] == 400


def test_a_doubled_link_is_found(sealed: Sealed) -> None:
    sealed.admin.execute("DELETE FROM audit_checkpoint")
    sealed.admin.execute(
        "INSERT INTO audit_link SELECT 2001, event_id, leaf, sha256('\\x01'::bytea || h.chain || leaf)"
        " FROM audit_link, (SELECT chain FROM audit_head) h WHERE number = 1999"
    )
    sealed.admin.execute(
        "UPDATE audit_head SET number = 2001, chain = (SELECT chain FROM audit_link WHERE number = 2001)"
    )
    assert _found(sealed) == (2001, "the event of the link is linked twice")


@pytest.mark.parametrize(("number", "named"), [(3, 1), (500, 1), (501, 501), (1400, 501), (1999, 1501)])
def test_a_whole_chain_recomputed_is_found_by_the_checkpoints(sealed: Sealed, number: int, named: int) -> None:
    sealed.admin.execute(
        "UPDATE audit_event SET actor = 'person:8:x', bytes = convert_to(replace(convert_from(bytes, 'UTF8'),"
        " 'person:7:佐藤 花子', 'person:8:x'), 'UTF8') WHERE id = %s",
        [sealed.event(number)],
    )
    _rechain(sealed.admin)
    found, what = _found(sealed)
    assert found == named and "are not those that the checkpoint" in what
    sealed.admin.execute("DELETE FROM audit_checkpoint")
    assert verify(sealed.admin, key=sealed.key).exit_status == HOLDS
    assert _found(sealed, notes=True)[0] == named


@pytest.mark.parametrize(
    "change",
    [
        "number = 1499",
        "root = sha256('x')",
        "note = replace(note, E'\\n1500\\n', E'\\n1499\\n')",
        "note = (SELECT note FROM audit_checkpoint WHERE number = 500)",
        "note = note || 'x'",
    ],
)
def test_an_exchanged_checkpoint_is_found(sealed: Sealed, change: str) -> None:
    sealed.admin.execute(f"UPDATE audit_checkpoint SET {change} WHERE number = 1500")
    assert _found(sealed)[0] in (1499, 1500)


@pytest.mark.parametrize("change", ["number = 1999", "number = 2001", "chain = sha256('x')"])
def test_a_changed_head_is_found(sealed: Sealed, change: str) -> None:
    sealed.admin.execute(f"UPDATE audit_head SET {change}")
    assert _found(sealed)[0] in (SIZE, SIZE + 1)
    sealed.admin.execute("DELETE FROM audit_head")
    assert _found(sealed) == (SIZE, "the head is missing")


def test_a_range_finds_what_lies_in_it(sealed: Sealed) -> None:
    sealed.admin.execute("UPDATE audit_event SET reason = '' WHERE id = %s", [sealed.event(700)])
    found = verify(sealed.admin, first=600, last=800)
    assert found.finding is not None and found.finding.number == 700
    assert verify(sealed.admin, first=701, last=800).exit_status == HOLDS
    sealed.admin.execute("DELETE FROM audit_link WHERE number IN (800, 850)")
    for first, last, number in ((701, 800, 800), (851, 900, 850)):
        found = verify(sealed.admin, first=first, last=last)
        assert found.finding is not None and found.finding.number == number


def test_a_foreign_outside_note_is_not_taken_for_a_verdict(sealed: Sealed) -> None:
    with pytest.raises(BadNote):
        verify(sealed.admin, key=sealed.key, notes=[sealed.notes[0].replace("\n500\n", "\n501\n")])


def test_an_empty_ledger_holds(ledger: LedgerDatabase) -> None:
    report = verify(ledger.as_app())
    assert (report.exit_status, report.events, report.chain) == (HOLDS, 0, "00" * 32)


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
            connection.execute("SELECT set_config('ringi.context', '{\\"actor\\": \\"worker:w\\"}', true)")
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
        for round_, writer in enumerate(writers):
            assert writer.stdout is not None
            for _ in range(40):
                assert writer.stdout.readline() == "committed\n"
            if round_ % 2:
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
                    [f"writer-{round_}"],
                )
            writer.send_signal(signal.SIGKILL)
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    admin.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s", [ledger.app])
    report = verify(admin)
    assert report.exit_status == HOLDS and report.events > 8 * 30
    unmatched = admin.execute(
        "SELECT count(*) FROM toy t FULL JOIN audit_event e ON e.object = 'toys.Toy:' || t.id"
        " WHERE t.id IS NULL OR e.id IS NULL"
    ).fetchone()
    assert unmatched == (0,)
    assert admin.execute("SELECT count(*) FROM toy").fetchone() == (report.events,)


def test_two_transactions_are_linked_in_the_order_of_their_commits(ledger: LedgerDatabase) -> None:
    one, other = ledger.as_app(), ledger.as_app()
    context = """SELECT set_config('ringi.context', '{"actor": "worker:w"}', true)"""
    with one.transaction():
        one.execute(context)
        one.execute("INSERT INTO toy (title) VALUES ('begun first')")
        with other.transaction():
            other.execute(context)
            other.execute("INSERT INTO toy (title) VALUES ('committed first')")
        one.execute("INSERT INTO toy (title) VALUES ('after')")
    titles = one.execute(
        "SELECT convert_from(bytes, 'UTF8')::json #>> '{after,title}' FROM audit_link"
        " JOIN audit_event ON id = event_id ORDER BY number"
    ).fetchall()
    assert titles == [("committed first",), ("begun first",), ("after",)]


def test_constraints_made_immediate_change_nothing(ledger: LedgerDatabase) -> None:
    app = ledger.as_app()
    with app.transaction():
        app.execute("SET CONSTRAINTS ALL IMMEDIATE")
        app.execute("""SELECT set_config('ringi.context', '{"actor": "worker:w"}', true)""")
        app.execute("INSERT INTO toy (title) SELECT n::text FROM generate_series(1, 5) n")
        with app.transaction(force_rollback=True):
            app.execute("INSERT INTO toy (title) VALUES ('never')")
        app.execute("INSERT INTO toy (title) VALUES ('last')")
    assert verify(app).events == 6
