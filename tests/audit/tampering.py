"""A signed ledger of 2,000 events of every type, without its guards, and the ways in which somebody alters it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg

from audit import export
from audit.ledger.chain import verify
from audit.ledger.checkpoint import LedgerSigner
from audit.ledger.note import PublicKey, notes_of
from audit.offline import ringi_verify
from tests.audit.conftest import LedgerDatabase, execute
from tests.audit.ledger.test_checkpoint import _rechain, _unguard

SIZE, SIGNED_AT = 2000, (500, 1500, 2000)
TABLES = ("audit_event", "audit_ledgerentry", "audit_ledgerhead", "audit_checkpoint")
KINDS = ("inserted", "updated", "deleted", "operation", "refusal", "access")

_TEN = """
INSERT INTO toy (title, amount, facts) SELECT 'おもちゃ ' || n, n / 7.0, '{"n": 1}' FROM generate_series(1, 4) AS n;
UPDATE toy SET ready = true WHERE id > (SELECT max(id) - 2 FROM toy);
DELETE FROM toy WHERE id = (SELECT max(id) FROM toy);
SELECT ringi_append('operation', 'toy:change', 'toys.Toy:1', NULL, '{"signature": {"name": "佐藤", "digest": "d"}}',
  '試験',
  'done');
SELECT ringi_append('refusal', 'toy:change', 'toys.Toy:1', NULL, '{"reasons": ["no"]}', '', 'refused');
SELECT ringi_append('access', 'session:sign_in', '', NULL, '{"method": "password"}', '', 'done');
"""


def write(connection: psycopg.Connection[Any], events: int) -> None:
    """Write so many events (a multiple of ten), ten to a transaction, of every type."""
    for _part in range(events // 10):
        execute(connection, _TEN)


@dataclass
class SignedLedger:
    """The ledger, its untouched copy beside it, and what its auditor holds."""

    admin: psycopg.Connection[Any]
    key: PublicKey
    notes: list[str]
    lines: list[str] = field(default_factory=list)

    @classmethod
    def made(cls, database: LedgerDatabase, folder: Path) -> SignedLedger:
        """Write and sign; take the guards away."""
        app, signer, size = database.as_app(), LedgerSigner(folder), 0
        for end in SIGNED_AT:
            write(app, end - size)
            signer.sign(app)
            size = end
        admin = _unguard(database)
        for table in TABLES:
            admin.execute(f"CREATE TABLE kept_{table} AS SELECT * FROM {table}")
        admin.execute("CREATE INDEX ON kept_audit_event (id); CREATE INDEX ON kept_audit_ledgerentry (number)")
        admin.execute("ALTER TABLE audit_ledgerentry DROP CONSTRAINT audit_ledgerentry_event_id_key")
        admin.execute("ANALYZE")
        made = cls(admin, signer.public, list(notes_of(folder / "checkpoints.txt")))
        made.lines = list(export.lines(admin, made.key))
        return made

    @contextmanager
    def altered(self, *statements: str, values: Any = None) -> Iterator[None]:
        """Run statements, and put everything right again afterwards."""
        try:
            for statement in statements:
                self.admin.execute(statement, values)
            yield
        finally:
            for table in TABLES:
                self.admin.execute(f"TRUNCATE {table}")
                self.admin.execute(f"INSERT INTO {table} SELECT * FROM kept_{table}")

    @contextmanager
    def altered_row(self, table: str, number: int, change: str) -> Iterator[None]:
        """Change columns of the event or link of one number, and put that row right again afterwards."""
        kept = f"SELECT k.* FROM kept_{table} k WHERE k." + (
            "number = %(n)s"
            if table == "audit_ledgerentry"
            else "id = (SELECT event_id FROM kept_audit_ledgerentry WHERE number = %(n)s)"
        )
        key = "number" if table == "audit_ledgerentry" else "id"
        changed = self.admin.execute(
            f"UPDATE {table} SET {change} WHERE {key} = (SELECT {key} FROM ({kept}) AS x) RETURNING {key}",
            {"n": number},
        ).fetchone()
        assert changed is not None
        try:
            yield
        finally:
            self.admin.execute(f"DELETE FROM {table} WHERE {key} = %s", changed)
            self.admin.execute(f"INSERT INTO {table} {kept}", {"n": number})

    def number_of(self, kind: str, nth: int) -> int:
        """Return the number of the nth event (from 0; -1 the last) of a type: an outcome of rows, else a type."""
        found = self.admin.execute(
            "SELECT array_agg(l.number ORDER BY l.number) FROM kept_audit_ledgerentry l JOIN "
            "kept_audit_event e ON e.id = l.event_id"
            " WHERE CASE e.kind WHEN 'row' THEN e.outcome ELSE e.kind END = %s",
            [kind],
        ).fetchone()
        assert found is not None
        return int(found[0][nth])

    def rechained(self) -> None:
        """Make links that fit the bytes as they now are."""
        _rechain(self.admin)

    def by_the_database(self, *, outside: bool = False, first: int = 1, last: int | None = None) -> Any:
        """Ask audit_verify's function; `outside`: with the auditor's own notes. Return (number, what) or None."""
        # What is altered here is not committed: no other session sees it.
        notes = self.notes if outside else ()
        report = verify(self.admin, key=self.key, notes=notes, first=first, last=last, processes=1)
        return (report.finding.number, report.finding.what) if report.finding else None

    def by_the_export(self, *, outside: bool = False) -> Any:
        """Export the ledger as it is and ask the offline verifier. Return (number, what) or None."""
        return offline(export.lines(self.admin, self.key), self.notes if outside else [])

    def both(self, *, outside: bool = False) -> tuple[int, int]:
        """Return the number that each of the two names first; both must name one."""
        one, other = self.by_the_database(outside=outside), self.by_the_export(outside=outside)
        assert one is not None and other is not None, (one, other)
        return one[0], other[0]


def offline(lines: Any, notes: list[str]) -> tuple[int, str] | None:
    """Verify an export in this process: the first bad number and what is wrong, or None."""
    try:
        ringi_verify.verify(lines, notes, [])
    except ringi_verify.Broken as broken:
        return broken.number, broken.what
    return None


@dataclass(frozen=True)
class Line:
    """One event of an export."""

    number: int
    event: bytes
    leaf: bytes
    chain: bytes

    @classmethod
    def read(cls, record: dict[str, Any]) -> Line:
        """Take it from a line."""
        event = base64.b64decode(record["event"])
        return cls(record["number"], event, bytes.fromhex(record["leaf"]), bytes.fromhex(record["chain"]))

    def record(self) -> dict[str, Any]:
        """Return it as in a line."""
        encoded = base64.b64encode(self.event).decode()
        return {"number": self.number, "event": encoded, "leaf": self.leaf.hex(), "chain": self.chain.hex()}

    def linked(self, event: bytes, before: bytes) -> Line:
        """Return it with other bytes, and leaf and chain value that fit them."""
        leaf = sha256(b"\x00" + event).digest()
        return Line(self.number, event, leaf, sha256(b"\x01" + before + leaf).digest())


def other(value: Any) -> Any:
    """Return another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return value + "x" if not value.endswith("Z") else value[:-2] + ("1Z" if value[-2] != "1" else "2Z")
    if isinstance(value, dict):
        return value | {"x": 1}
    return {} if value is None else None


def forged(event: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield each field of an event's bytes, and the bytes with that field altered, dropped, or one put beside it."""
    contents = json.loads(event)

    def encoded(changed: dict[str, Any]) -> bytes:
        return json.dumps(changed, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()

    for name, value in contents.items():
        yield name, encoded(contents | {name: other(value)})
        yield f"{name} dropped", encoded({key: kept for key, kept in contents.items() if key != name})
    for name, value in contents["request"].items():
        yield f"request.{name}", encoded(contents | {"request": contents["request"] | {name: other(value)}})
    for side in ("before", "after"):
        for name, value in (contents[side] or {}).items():
            yield f"{side}.{name}", encoded(contents | {side: contents[side] | {name: other(value)}})
    yield "one more", encoded(contents | {"more": 1})


class Standing:
    """The offline verifier's state behind each event of a true export, to go on from with something else."""

    def __init__(self, lines: list[str]) -> None:
        records = [json.loads(line) for line in lines]
        self.events = [Line.read(record) for record in records if "number" in record]
        self.head = records[-1]["head"]
        self.states: list[tuple[bytes, list[bytes]]] = []
        ledger = self._begun()
        for event in self.events:
            self.states.append((ledger.chain, list(ledger.subtrees)))
            ledger.take_event(event.record())
        self.states.append((ledger.chain, list(ledger.subtrees)))

    @staticmethod
    def _begun() -> ringi_verify.Ledger:
        return ringi_verify.Ledger([], ringi_verify.Trust([]))

    def then(self, number: int, *lines: Line) -> int | None:
        """Go on behind `number` true events with these; return the first bad number, None if none shows."""
        ledger = self._begun()
        ledger.number, (ledger.chain, subtrees) = number, self.states[number]
        ledger.subtrees = list(subtrees)
        try:
            for line in lines:
                ledger.take_event(line.record())
            if lines and ledger.number >= SIZE:
                ledger.finish(self.head)
        except ringi_verify.Broken as broken:
            return broken.number
        return None
