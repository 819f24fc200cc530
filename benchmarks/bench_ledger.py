"""The cost of the ledger per save, how many transactions a second it chains, and how fast it is verified."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection, models, transaction
from psycopg.conninfo import make_conninfo

from audit import capture, export
from audit.actor import Actor, acting
from audit.clock import now
from audit.ledger.chain import verify
from audit.ledger.checkpoint import LedgerSigner
from audit.ledger.link import link_pending
from audit.models import Event, LedgerEntry, LedgerHead
from audit.operation import operation
from benchmarks.report import Report, Spread, alternated
from environments.models import ChangeFreeze, Environment
from tests.conftest import sign_ledger

SAVES = int(os.environ.get("RINGI_BENCH_SAVES", "300"))
SECONDS = float(os.environ.get("RINGI_BENCH_SECONDS", "4"))
EVENTS = int(os.environ.get("RINGI_BENCH_EVENTS", "200000"))
NEW_EVENTS = 2000
ACTOR = Actor(account_id=None, name="bench", kind="command", channel="command")
PROJECT = Path(__file__).resolve().parent.parent


@cache
def plain_model(name: str) -> type[models.Model]:
    """Return a model with a freeze's columns on a table of its own, without triggers and history."""
    fields: dict[str, Any] = {
        field.name: field.clone() for field in ChangeFreeze._meta.concrete_fields if not field.is_relation
    }
    fields |= {
        field.name: models.ForeignKey(
            field.related_model, models.DO_NOTHING, null=True, related_name="+", db_constraint=False
        )
        for field in ChangeFreeze._meta.concrete_fields
        if field.is_relation
    }
    meta = type("Meta", (), {"app_label": "audit", "db_table": name, "managed": False})
    return type("PlainFreeze", (models.Model,), {**fields, "Meta": meta, "__module__": __name__})


def make_plain_table(database: str) -> None:
    """Lay the table beside the audited one, as the server's own role, and let the application write it."""
    from psycopg.conninfo import conninfo_to_dict

    name = conninfo_to_dict(database)["dbname"]
    with psycopg.connect(make_conninfo(os.environ["DATABASE_SERVER_URL"], dbname=str(name))) as server:
        server.execute("CREATE TABLE bench_plain (LIKE environments_changefreeze INCLUDING ALL)")
        server.execute("GRANT ALL ON bench_plain TO PUBLIC")


def freezes(model: type[models.Model], count: int) -> list[Any]:
    """Make rows to be saved again and again."""
    moment = datetime.now(UTC)
    environment = Environment.objects.get(slug="development")
    made = []
    with acting(ACTOR), transaction.atomic():
        capture.set_context(ACTOR, operation="bench:make")
        for index in range(count):
            row = model(
                name=f"freeze {index}",
                environment=environment,
                starts_at=moment + timedelta(days=400),
                ends_at=moment + timedelta(days=401),
                reason="for the measurement",
            )
            row.save()
            made.append(row)
    return made


def last_number() -> int:
    """Link what is pending, and return the number of the last event."""
    link_pending(connection)
    return LedgerHead.objects.get(pk=1).number


@contextmanager
def without_history() -> Iterator[None]:
    """Leave simple-history's snapshot out, to see the trigger and the chain alone."""
    from django.conf import settings

    settings.SIMPLE_HISTORY_ENABLED = False
    try:
        yield
    finally:
        settings.SIMPLE_HISTORY_ENABLED = True


def bench_save(database: str, report: Report, quiet: None) -> None:
    """Save one changed field through the ORM, in a transaction of its own, unaudited and audited."""
    make_plain_table(database)
    plain = freezes(plain_model("bench_plain"), 1)[0]
    (row,) = freezes(ChangeFreeze, 1)
    count = iter(range(1, 10**9))

    def save(instance: Any) -> None:
        instance.reason = f"reason {next(count)}"
        with transaction.atomic():
            instance.save()

    def audited() -> None:
        row.reason = f"reason {next(count)}"
        with transaction.atomic():
            capture.set_context(ACTOR, operation="bench:save", operation_id=uuid.uuid4())
            row.save()

    def by_operation() -> None:
        with operation("bench:save", (ChangeFreeze, row.pk), reason="measured") as op:
            op.get(ChangeFreeze).reason = f"reason {next(count)}"

    def chained_alone() -> None:
        with without_history():
            audited()

    with acting(ACTOR):
        began = last_number()
        unaudited, chained, with_history, through_operation = alternated(
            SAVES, lambda: save(plain), chained_alone, audited, by_operation
        )
        written = last_number() - began
    # The operation writes its own event as well.
    valid, limit = written == 4 * (SAVES + 5), f"unaudited save {unaudited}"
    for name, spread, most in (
        ("audited save: row event", chained, 1.2),
        ("audited save with history", with_history, 1.8),
        ("the same through the operation", through_operation, None),
    ):
        ratio = spread.p50 / unaudited.p50
        report.add(
            "ledger",
            name,
            spread,
            limit=limit,
            ratio=ratio,
            target="" if most is None else f"≤ {most} ×",
            met=None if most is None else ratio <= most,
            valid=valid,
            figures=spread.__dict__,
            note=f"n={SAVES}" + (" (also locks, operation event, outbox)" if spread is through_operation else ""),
        )
        limit = ""


def writers(url: str, table: str, pks: list[int]) -> float:
    """Let one process a row save it for SECONDS; return the transactions a second of all."""
    environment = {**os.environ, "DATABASE_URL": url}
    argv = [sys.executable, "-m", "benchmarks.writer", table, str(SECONDS)]
    children = [
        subprocess.Popen(
            [*argv, str(pk)], cwd=PROJECT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for pk in pks
    ]
    for child in children:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    counts = [int(child.communicate(timeout=SECONDS + 60)[0]) for child in children]
    return sum(counts) / SECONDS


def bench_signed_transactions(database: str, report: Report, children: Any, quiet: None) -> None:
    """Save rows from one and from eight processes while a ledger signer signs, beside the unaudited table."""
    from benchmarks.bench_checkpoint import all_signed, seconds_until_signed
    from benchmarks.bench_wake import until
    from benchmarks.conftest import as_url

    make_plain_table(database)
    plain = [row.pk for row in freezes(plain_model("bench_plain"), 8)]
    audited = [row.pk for row in freezes(ChangeFreeze, 8)]
    children("manage.py", "ledger_signer", role="ledger_signer")
    until(all_signed, "the first checkpoint")
    for count in (1, 8):
        unaudited = writers(as_url(database), "plain", plain[:count])
        began = Event.objects.latest("at").at
        chained = writers(as_url(database), "audited", audited[:count])
        until(all_signed, "the last checkpoint")
        waited = seconds_until_signed(f"e.operation = 'bench:save' AND e.at > '{began.isoformat()}'")
        spread, written = Spread.of(waited), len(waited) == round(chained * SECONDS)
        limit, least = f"unaudited {unaudited:.0f}/s", 0.6 if count > 1 else None
        note = f"processes that save through the ORM for {SECONDS:.0f} s; one event each, no history rows"
        report.add(
            "ledger",
            f"audited transactions a second, {count} writer{'s' * (count > 1)}, and a ledger signer",
            f"{chained:.0f}/s",
            limit=limit,
            ratio=chained / unaudited,
            target=f"≥ {least} of it" if least is not None else "",
            met=chained / unaudited >= least if least is not None else None,
            valid=written,
            figures={"chained": chained, "unaudited": unaudited},
            note=note,
        )
        report.add(
            "ledger",
            f"commit → linked and signed under {count} writer{'s' * (count > 1)} (p50 / p99)",
            spread,
            limit="5 s",
            ratio=spread.p99 / 5000,
            target="≤ 1 s / 5 s",
            met=spread.p50 <= 1000 and spread.p99 <= 5000,
            valid=written,
            figures=spread.__dict__,
            note=f"n={len(waited)}",
        )


def fill(url: str, events: int) -> None:
    """Write audited rows with SQL, copies of one, until there are that many more events."""
    batch, moment = 5000, now()
    with acting(ACTOR), operation("bench:fill"):
        first = ChangeFreeze.objects.create(
            name="freeze",
            environment=Environment.objects.earliest("pk"),
            starts_at=moment + timedelta(days=400),
            ends_at=moment + timedelta(days=401),
            reason="for the measurement",
        )
    columns = ", ".join(f'"{field.column}"' for field in ChangeFreeze._meta.concrete_fields if not field.primary_key)
    table = ChangeFreeze._meta.db_table
    with psycopg.connect(url, autocommit=True) as raw:
        for start in range(0, events, batch):
            with raw.transaction():
                capture.set_context(ACTOR, operation="bench:fill", connection=raw)
                raw.execute(
                    f"INSERT INTO {table} ({columns}) SELECT {columns}"
                    f" FROM {table}, generate_series(1, %s) WHERE id = %s",
                    [min(batch, events - start), first.pk],
                )


def bench_verification(
    database: str, report: Report, tmp_path: Path, quiet: None, capfd: pytest.CaptureFixture[str]
) -> None:
    """Verify a ledger of EVENTS events from PostgreSQL, and its export with the offline verifier."""
    before = last_number()
    fill(database, EVENTS)
    checkpoint = sign_ledger(LedgerSigner(tmp_path / "ledger_signer"))
    assert checkpoint is not None
    total = LedgerEntry.objects.count()
    with connection.cursor() as cursor:
        cursor.execute("SELECT avg(length(bytes))::int FROM audit_event")
        (size,) = cursor.fetchone()
    began = time.perf_counter()
    found = verify(connection.connection, key=LedgerSigner(tmp_path / "ledger_signer").public)
    speed = found.events / (time.perf_counter() - began)
    valid = found.exit_status == 0 and found.events == total >= before + EVENTS
    hashing = _hashing(size)
    report.add(
        "ledger",
        "audit_verify: events a second from PostgreSQL, columns compared",
        f"{speed:,.0f}/s",
        limit=f"hashing alone {hashing:,.0f}/s",
        ratio=speed / hashing,
        target="≥ 150,000/s",
        met=speed >= 150_000,
        valid=valid,
        note=f"{total} events of {size} bytes on average",
        figures={"speed": speed, "hashing": hashing},
    )
    fill(database, NEW_EVENTS)
    assert sign_ledger(LedgerSigner(tmp_path / "ledger_signer")) is not None
    began = time.perf_counter()
    later = verify(connection.connection, key=LedgerSigner(tmp_path / "ledger_signer").public, begun=found.memory)
    taken = time.perf_counter() - began
    report.add(
        "ledger",
        "audit_verify: what is new since a verified checkpoint",
        f"{taken:.2f} s",
        limit=f"all of it {total / speed:.2f} s",
        ratio=taken * speed / total,
        target="≤ 5 s",
        met=taken <= 5,
        valid=found.memory is not None and later.exit_status == 0 and later.events >= NEW_EVENTS,
        note=f"{later.events} events, after {total} that were verified before",
        figures={"seconds": taken},
    )
    total += later.events
    file = tmp_path / "ledger.jsonl"
    began = time.perf_counter()
    with file.open("w") as out:
        out.writelines(export.lines(connection.connection))
    exported = total / (time.perf_counter() - began)
    key = str(LedgerSigner(tmp_path / "ledger_signer").public)
    argv = [sys.executable, str(PROJECT / "audit" / "offline" / "ringi_verify.py"), str(file), "--key", key]
    began = time.perf_counter()
    ended = subprocess.run(argv, capture_output=True, text=True, check=False)
    offline = total / (time.perf_counter() - began)
    report.add(
        "ledger",
        "ringi_verify.py: events a second from an export",
        f"{offline:,.0f}/s",
        limit=f"hashing alone {hashing:,.0f}/s",
        ratio=offline / hashing,
        target="≥ 150,000/s",
        met=offline >= 150_000,
        valid=ended.returncode == 0 and f"HOLDS: {total} events" in ended.stdout,
        note=f"with the start of Python; the export was written at {exported:,.0f}/s",
        figures={"speed": offline},
    )


def _hashing(size: int) -> float:
    from hashlib import sha256

    event, chain = b"e" * size, bytes(32)
    began = time.perf_counter()
    for _ in range(100_000):
        leaf = sha256(b"\x00" + event).digest()
        chain = sha256(b"\x01" + chain + leaf).digest()
    return 100_000 / (time.perf_counter() - began)
