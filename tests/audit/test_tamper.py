"""Whatever is done to a ledger of 2,000 events, both verifiers find it and name the first bad number.

RINGI_TEST_TAMPER_STEP=1 asks about every column and every field of every event and link (2: of every second); without
it, about each column and field of each type of event at places along the whole ledger.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from audit.ledger.chain import verify
from audit.ledger.checkpoint import LedgerSigner, SigningRefused
from audit.ledger.note import BadNote, notes_of
from tests.audit.conftest import LedgerDatabase
from tests.audit.tampering import KINDS, SIGNED_AT, SIZE, Line, SignedLedger, Standing, forged, offline, write

COLUMNS = {
    "id": "gen_random_uuid()",
    "kind": "CASE kind WHEN 'access' THEN 'row' ELSE 'access' END",
    "operation_id": "gen_random_uuid()",
    "at": "at + interval '1 microsecond'",
    "actor": "actor || 'x'",
    "channel": "'api'",
    "operation": "operation || 'x'",
    "object": "object || '0'",
    "outcome": "outcome || 'x'",
    "reason": "reason || ' '",
    "tx": "tx + 1",
    "bytes": "set_byte(bytes, length(bytes) / 2, get_byte(bytes, length(bytes) / 2) # 1)",
}
LINKS = {
    "number": "number + 1000000",
    "event_id": "gen_random_uuid()",
    "leaf": "set_bit(leaf, 77, 1 - get_bit(leaf, 77))",
    "chain": "set_bit(chain, 177, 1 - get_bit(chain, 177))",
}
# What an export does not hold: it takes the event by its link, and nothing of its columns but the bytes.
ONLY_HERE = set(COLUMNS) - {"id", "bytes"}
STEP = int(os.environ.get("RINGI_TEST_TAMPER_STEP", "0"))


@pytest.fixture(scope="module")
def signed_ledger(clone: Callable[..., LedgerDatabase], tmp_path_factory: pytest.TempPathFactory) -> SignedLedger:
    """One ledger for all; each test puts right what it altered."""
    return SignedLedger.made(clone(), tmp_path_factory.mktemp("ledger_signer"))


@pytest.fixture(scope="module")
def standing(signed_ledger: SignedLedger) -> Standing:
    """The offline verifier behind each event."""
    return Standing(signed_ledger.lines)


def test_the_untouched_ledger_holds_for_both_with_and_without_the_auditors_own_notes(
    signed_ledger: SignedLedger,
) -> None:
    for outside in (False, True):
        assert (
            signed_ledger.by_the_database(outside=outside) is None
            and signed_ledger.by_the_export(outside=outside) is None
        )
    assert len(signed_ledger.lines) == 1 + SIZE + len(SIGNED_AT) + 1
    assert {signed_ledger.number_of(kind, 0) for kind in KINDS} <= set(range(1, 11))


@pytest.mark.parametrize("kind", KINDS)
def test_every_column_of_every_type_of_event_is_found_by_audit_verify(signed_ledger: SignedLedger, kind: str) -> None:
    last = signed_ledger.number_of(kind, -1)
    for place, (column, value) in enumerate(COLUMNS.items()):
        number = (signed_ledger.number_of(kind, 0), signed_ledger.number_of(kind, 60), last)[place % 3]
        with signed_ledger.altered_row("audit_event", number, f"{column} = {value}"):
            found = signed_ledger.by_the_database()
            assert found is not None and found[0] == number, (column, number, found)


@pytest.mark.parametrize("number", [1, 977, 1500, SIZE])
def test_every_column_of_a_link_is_found_by_both(signed_ledger: SignedLedger, number: int) -> None:
    for column, value in LINKS.items():
        with signed_ledger.altered_row("audit_ledgerentry", number, f"{column} = {value}"):
            assert signed_ledger.both() == (number, number), column


@pytest.mark.parametrize("kind", KINDS)
def test_altered_bytes_or_ids_are_found_by_both(signed_ledger: SignedLedger, kind: str) -> None:
    number = signed_ledger.number_of(kind, 30)
    for column in set(COLUMNS) - ONLY_HERE:
        with signed_ledger.altered_row("audit_event", number, f"{column} = {COLUMNS[column]}"):
            assert signed_ledger.both() == (number, number)


@pytest.mark.skipif(not STEP, reason="RINGI_TEST_TAMPER_STEP=1 asks about every row")
@pytest.mark.timeout(3600)
def test_every_column_of_every_row_is_found_by_audit_verify(signed_ledger: SignedLedger) -> None:
    for number in range(1, SIZE + 1, STEP):
        for table, columns in (("audit_event", COLUMNS), ("audit_ledgerentry", LINKS)):
            for column, value in columns.items():
                with signed_ledger.altered_row(table, number, f"{column} = {value}"):
                    found = signed_ledger.by_the_database(first=number, last=number)
                    assert found is not None and found[0] == number, (table, column, number)


def test_every_field_of_every_event_is_found_by_the_offline_verifier(standing: Standing) -> None:
    """Altered, dropped, or with one put beside it; the forger leaves the leaf as it is."""
    seen = set()
    for true in standing.events[:: STEP or 7]:  # seven and ten have no divisor in common: every type comes
        for name, event in forged(true.event):
            seen.add(name)
            assert standing.then(true.number - 1, Line(true.number, event, true.leaf, true.chain)) == true.number, name
    assert len(seen) > 2 * 18 + 2 + 12


def test_a_forger_who_also_makes_leaf_and_link_is_found_at_the_next(standing: Standing) -> None:
    events = standing.events
    for place, true in enumerate(events):
        before, (_name, event) = standing.states[place][0], next(forged(true.event))
        fitting = true.linked(event, before)
        leaf_only = Line(true.number, event, fitting.leaf, true.chain)
        assert standing.then(place, leaf_only) == true.number
        following = events[place + 1 : place + 2]
        # Behind the last event there is the head, which has the true chain value.
        assert standing.then(place, fitting, *following) == min(true.number + 1, SIZE)


def test_every_deleted_doubled_swapped_or_inserted_event_is_found_offline(standing: Standing) -> None:
    events = standing.events
    for place, true in enumerate(events):
        following = events[place + 1] if place + 1 < SIZE else None
        if following is not None:
            assert standing.then(place, following) == true.number  # deleted
            assert standing.then(place, following, true) == true.number  # swapped
        assert standing.then(place, true, true) == true.number + 1  # doubled
        invented = true.linked(events[place - 7].event, standing.states[place][0])
        moved = Line(true.number + 1, true.event, true.leaf, true.chain)
        assert standing.then(place, invented, moved) == true.number + 1  # inserted, the rest moved up
        assert standing.then(place, invented, true) == true.number + 1  # inserted, the rest as it was


@pytest.mark.parametrize("kind", KINDS)
def test_every_byte_of_an_event_is_found_offline(signed_ledger: SignedLedger, standing: Standing, kind: str) -> None:
    true = standing.events[signed_ledger.number_of(kind, 90) - 1]
    for at in range(len(true.event)):
        event = true.event[:at] + bytes([true.event[at] ^ 1]) + true.event[at + 1 :]
        assert standing.then(true.number - 1, Line(true.number, event, true.leaf, true.chain)) == true.number, at


def test_a_flipped_bit_of_each_leaf_and_chain_value_is_found_offline(standing: Standing) -> None:
    for place, true in enumerate(standing.events):
        bit = place % 256
        for name in ("leaf", "chain"):
            value = bytearray(getattr(true, name))
            value[bit // 8] ^= 1 << bit % 8
            wrong = Line(**{**true.__dict__, name: bytes(value)})
            assert standing.then(place, wrong) == true.number, (name, place)


@pytest.mark.parametrize("number", [1, 977, 1500, SIZE])
def test_a_deleted_row_is_found_by_both(signed_ledger: SignedLedger, number: int) -> None:
    event = "(SELECT event_id FROM kept_audit_ledgerentry WHERE number = %(n)s)"
    for tables in (("audit_event",), ("audit_ledgerentry",), ("audit_event", "audit_ledgerentry")):
        deletes = [
            f"DELETE FROM {table} WHERE {'id' if table == 'audit_event' else 'event_id'} = {event}" for table in tables
        ]
        with signed_ledger.altered(*deletes, values={"n": number}):
            assert signed_ledger.both() == (number, number), tables


def test_a_cut_tail_is_found_by_both(signed_ledger: SignedLedger) -> None:
    cut = (
        "DELETE FROM audit_event USING audit_ledgerentry WHERE event_id = id AND number > 1990",
        "DELETE FROM audit_ledgerentry WHERE number > 1990",
    )
    with signed_ledger.altered(*cut):
        assert signed_ledger.both() == (1991, 1991)
        signed_ledger.admin.execute("DELETE FROM audit_checkpoint WHERE number > 1990")
        assert signed_ledger.both() == (1991, 1991)  # the head still shows it
        signed_ledger.admin.execute(
            "UPDATE audit_ledgerhead SET number = 1990, chain = (SELECT chain FROM audit_ledgerentry WHERE "
            "number = 1990)"
        )
        # Nothing inside the database shows it any more; the auditor's notes do.
        assert signed_ledger.by_the_database() is None and signed_ledger.by_the_export() is None
        assert signed_ledger.both(outside=True) == (1991, 1991)


def test_an_inserted_event_is_found(signed_ledger: SignedLedger) -> None:
    copy = (
        "INSERT INTO audit_event SELECT gen_random_uuid(), kind, operation_id, at, actor, channel, "
        "operation, object, outcome, reason,"
        " tx, bytes FROM audit_event WHERE id = (SELECT event_id FROM audit_ledgerentry WHERE number = 5)"
    )
    with signed_ledger.altered(copy):
        found = signed_ledger.by_the_database()
        assert found is not None and found[0] == SIZE + 1 and "is not in the chain" in found[1]
    link = (
        "UPDATE audit_ledgerentry SET number = number + 100000 WHERE number > 1200",
        "INSERT INTO audit_ledgerentry SELECT 1201, e.id, l.leaf, l.chain FROM audit_ledgerentry l, "
        "audit_event e WHERE l.number = 5"
        " AND NOT EXISTS (SELECT FROM audit_ledgerentry x WHERE x.event_id = e.id)",
        "UPDATE audit_ledgerentry SET number = number - 99999 WHERE number > 100000",
    )
    with signed_ledger.altered(copy, *link):
        assert signed_ledger.both() == (1201, 1201)


def test_swapped_events_and_links_are_found_by_both(signed_ledger: SignedLedger) -> None:
    event = "(SELECT event_id FROM kept_audit_ledgerentry WHERE number = {})"
    one, other = event.format(400), event.format(800)
    for statements in (
        [
            f"UPDATE audit_event a SET bytes = b.bytes FROM kept_audit_event b WHERE (a.id, b.id) IN (({one}, "
            f"{other}), ({other}, {one}))"
        ],
        [
            f"UPDATE audit_ledgerentry SET event_id = CASE number WHEN 400 THEN {other} ELSE {one} END WHERE "
            "number IN (400, 800)"
        ],
        [
            "UPDATE audit_ledgerentry SET number = number + 90000 WHERE number IN (400, 800)",
            "UPDATE audit_ledgerentry SET number = 91200 - number WHERE number > 90000",
        ],
    ):
        with signed_ledger.altered(*statements):
            assert signed_ledger.both() == (400, 400)


def test_a_doubled_link_is_found(signed_ledger: SignedLedger) -> None:
    """An export cannot show that one row is linked twice; the same bytes twice are two events to it."""
    twice = (
        "DELETE FROM audit_checkpoint",
        "INSERT INTO audit_ledgerentry SELECT 2001, event_id, leaf, sha256('\\x01'::bytea || h.chain || leaf)"
        " FROM audit_ledgerentry, (SELECT chain FROM audit_ledgerhead) h WHERE number = 1999",
        "UPDATE audit_ledgerhead SET number = 2001, chain = (SELECT chain FROM audit_ledgerentry WHERE number = 2001)",
    )
    with signed_ledger.altered(*twice):
        assert signed_ledger.by_the_database() == (2001, "the event of the link is linked twice")
        assert signed_ledger.by_the_export() is None


def test_a_whole_chain_recomputed_is_found_by_both_through_the_checkpoints(signed_ledger: SignedLedger) -> None:
    """The fault lies between the last checkpoint that agrees and the first that does not; that is what is named."""
    for number, named in ((3, 1), (500, 1), (501, 501), (1400, 501), (1999, 1501)):
        forge = (
            "UPDATE audit_event SET actor = 'person:8:x', bytes = convert_to(replace(convert_from(bytes, 'UTF8'),"
            " 'person:7:佐藤 花子', 'person:8:x'), 'UTF8')"
            " WHERE id = (SELECT event_id FROM kept_audit_ledgerentry WHERE number = %(n)s)"
        )
        with signed_ledger.altered(forge, values={"n": number}):
            signed_ledger.rechained()
            assert signed_ledger.both() == (named, named)
            signed_ledger.admin.execute("DELETE FROM audit_checkpoint")
            assert signed_ledger.by_the_database() is None and signed_ledger.by_the_export() is None
            assert signed_ledger.both(outside=True) == (named, named)


@pytest.mark.parametrize(
    "forged_bytes",
    [
        "'[]'",
        "'{}'",
        "'7'",
        "''",
        "bytes || '{}'",
        "'\\xff'::bytea || bytes",
        "bytes || ' '",
        "' '::bytea || bytes",
        "bytes || '\\x0a'",
        "convert_to(replace(convert_from(bytes, 'UTF8'), '\"v\":2}', '\"v\":NaN}'), 'UTF8')",
        "convert_to(replace(convert_from(bytes, 'UTF8'), '{\"actor\":', '{\"reason\":\"x\",\"actor\":'), 'UTF8')",
        "convert_to(regexp_replace(convert_from(bytes, 'UTF8'), '\"kind\":\"[a-z]*\"', '\"kind\":\"foo\"'), 'UTF8')",
        "convert_to(regexp_replace(convert_from(bytes, 'UTF8'), '\"kind\":\"[a-z]*\"', '\"kind\":[]'), 'UTF8')",
    ],
)
def test_bytes_that_are_no_event_are_found_by_both_also_when_the_chain_fits(
    signed_ledger: SignedLedger, forged_bytes: str
) -> None:
    where = "id = (SELECT event_id FROM kept_audit_ledgerentry WHERE number = 700)"
    with signed_ledger.altered(f"UPDATE audit_event SET bytes = {forged_bytes} WHERE {where}"):
        signed_ledger.rechained()
        assert signed_ledger.both() == (700, 700)


@pytest.mark.parametrize(
    "change",
    [
        "number = 1499",
        "note = replace(note, E'\\n1500\\n', E'\\n1499\\n')",
        "note = (SELECT note FROM audit_checkpoint WHERE number = 500)",
        "note = (SELECT note FROM audit_checkpoint WHERE number = 2000)",
        "note = note || 'x'",
        "note = overlay(note placing 'AAAA' from length(note) - 40)",
    ],
)
def test_an_exchanged_checkpoint_is_found_by_both(signed_ledger: SignedLedger, change: str) -> None:
    with signed_ledger.altered(f"UPDATE audit_checkpoint SET {change} WHERE number = 1500"):
        one, other = signed_ledger.by_the_database(), signed_ledger.by_the_export()
        assert one is not None and one[0] in (1499, 1500)
        assert other is not None and other[0] in (1499, 1500, 1501)


def test_an_altered_root_beside_a_true_note_is_found(signed_ledger: SignedLedger) -> None:
    with signed_ledger.altered("UPDATE audit_checkpoint SET root = sha256('x') WHERE number = 1500"):
        found = signed_ledger.by_the_database()
        assert found is not None and found[0] == 1500
        assert signed_ledger.by_the_export() is None  # the export holds the note alone


def test_a_checkpoint_by_an_unnamed_key_is_found_by_both(signed_ledger: SignedLedger, tmp_path: Path) -> None:
    """A forger who rewrites everything signs with their own key, under the ledger's name."""
    forger = LedgerSigner(tmp_path / "forger", origin=signed_ledger.key.name.rpartition("/")[0])
    with signed_ledger.altered("DELETE FROM audit_checkpoint"):
        forger.sign(signed_ledger.admin)
        assert signed_ledger.both() == (SIZE, SIZE)


@pytest.mark.parametrize("change", ["number = 1999", "number = 2001", "chain = sha256('x')"])
def test_an_altered_head_is_found_by_both(signed_ledger: SignedLedger, change: str) -> None:
    with signed_ledger.altered(f"UPDATE audit_ledgerhead SET {change}"):
        assert set(signed_ledger.both()) <= {SIZE, SIZE + 1}


def test_a_missing_head_is_found(signed_ledger: SignedLedger) -> None:
    with signed_ledger.altered("DELETE FROM audit_ledgerhead"):
        assert signed_ledger.by_the_database() == (SIZE, "the head is missing")
    assert offline(signed_ledger.lines[:-1], []) == (SIZE + 1, "the export ends without its head")


def test_a_restored_backup_is_found_by_both_and_by_the_ledger_signer(
    clone: Callable[..., LedgerDatabase], tmp_path: Path
) -> None:
    """The database as it was at 60 events, on which work went on; outside it are the notes of 60 and 100."""
    database = clone()
    app, signer = database.as_app(), LedgerSigner(tmp_path)
    write(app, 60)
    signer.sign(app)
    backup = clone(database)
    app = database.as_app()
    write(app, 40)
    signer.sign(app)
    restored = SignedLedger(backup.as_superuser(), signer.public, list(notes_of(tmp_path / "checkpoints.txt")))
    assert restored.both(outside=True) == (61, 61)
    assert restored.by_the_database() is None  # in itself it is a true ledger
    app = backup.as_app()
    write(app, 40)
    assert restored.both(outside=True) == (61, 61)
    write(app, 40)
    assert restored.both(outside=True) == (61, 61)
    with pytest.raises(SigningRefused):
        LedgerSigner(tmp_path).sign(app)


def test_a_range_finds_what_lies_in_it(signed_ledger: SignedLedger) -> None:
    with signed_ledger.altered_row("audit_event", 700, "reason = reason || 'x'"):
        found = signed_ledger.by_the_database(first=600, last=800)
        assert found is not None and found[0] == 700
        assert signed_ledger.by_the_database(first=701, last=800) is None
    with signed_ledger.altered("DELETE FROM audit_ledgerentry WHERE number IN (800, 850)"):
        for first, last, number in ((701, 800, 800), (851, 900, 850)):
            found = signed_ledger.by_the_database(first=first, last=last)
            assert found is not None and found[0] == number


def test_a_foreign_outside_note_gives_no_result(signed_ledger: SignedLedger) -> None:
    with pytest.raises(BadNote):
        verify(signed_ledger.admin, key=signed_ledger.key, notes=[signed_ledger.notes[0].replace("\n500\n", "\n501\n")])
