"""Events get their numbers behind the writes; of two versions of a row the later one has the later number."""

from __future__ import annotations

import json
import random
import threading
from collections import defaultdict
from typing import Any

import psycopg
import pytest

from audit import capture
from audit.ledger.chain import verify
from audit.ledger.link import link_pending
from tests.audit.conftest import SATO, LedgerDatabase, events, execute, fill


def _begin(connection: psycopg.Connection[Any]) -> None:
    connection.execute("BEGIN")
    capture.set_context(SATO, operation="toy:change", connection=connection)


def _titles(connection: psycopg.Connection[Any]) -> list[str]:
    return [event["after"]["title"] for event in events(connection)]


def test_the_later_version_has_the_later_number_though_its_transaction_began_first(ledger: LedgerDatabase) -> None:
    """By the number of its transaction, which it took with its first write, it would come first."""
    early, late = ledger.as_app(), ledger.as_app()
    execute(late, "INSERT INTO toy (title) VALUES ('made')")
    _begin(early)
    early.execute("INSERT INTO toy (title) VALUES ('beside')")
    _begin(late)
    late.execute("UPDATE toy SET title = 'first' WHERE id = 1")
    waiting = threading.Thread(target=early.execute, args=["UPDATE toy SET title = 'second' WHERE id = 1"])
    waiting.start()
    late.execute("COMMIT")
    waiting.join()
    early.execute("COMMIT")
    assert _titles(early) == ["made", "first", "beside", "second"]


def test_an_open_transaction_holds_nothing_up_and_follows_when_it_commits(ledger: LedgerDatabase) -> None:
    app, open_ = ledger.as_app(), ledger.as_app()
    _begin(open_)
    open_.execute("INSERT INTO toy (title) VALUES ('open')")
    for title in ("a", "b"):
        execute(app, "INSERT INTO toy (title) VALUES (%s)", [title])
        assert link_pending(app) == 1
    assert _titles(app) == ["a", "b"]
    open_.execute("COMMIT")
    assert _titles(app) == ["a", "b", "open"] and verify(app).finding is None


def test_what_breaks_off_while_it_links_has_linked_nothing(ledger: LedgerDatabase) -> None:
    app, other = ledger.as_app(), ledger.as_superuser()
    execute(app, "INSERT INTO toy (title) SELECT n::text FROM generate_series(1, 20000) AS n")
    with pytest.raises(psycopg.errors.QueryCanceled):
        app.execute("SET statement_timeout = '60ms'; SELECT ringi_link()")
    app.execute("SET statement_timeout = 0")
    assert other.execute("SELECT number FROM audit_ledgerhead").fetchone() == (0,)
    with app.transaction(force_rollback=True):
        assert link_pending(app) == 20_000
    assert other.execute("SELECT count(*) FROM audit_pending").fetchone() == (20_000,)
    assert link_pending(app) == 20_000
    assert (verify(app).last, verify(app).pending, verify(app).finding) == (20_000, 0, None)


def test_under_writers_and_linkers_each_version_follows_the_one_before(ledger: LedgerDatabase) -> None:
    """Six writers add to the same four rows, some roll back, and three link meanwhile: no number is missing, none is
    there twice, and what an event found is what the one before it left.
    """
    app = ledger.as_app()
    fill(app, 4, per_transaction=4)
    ended = threading.Event()
    linked: list[int] = []

    def write(seed: int) -> None:
        chance, own = random.Random(seed), ledger.as_app()
        for _ in range(60):
            rows = sorted(chance.sample(range(1, 5), 2))
            with own.transaction(force_rollback=chance.random() < 0.2):
                capture.set_context(SATO, operation="toy:change", connection=own)
                for row in rows:
                    own.execute("UPDATE toy SET amount = coalesce(amount, 0) + 1 WHERE id = %s", [row])

    def join_them() -> None:
        own = ledger.as_app()
        while not ended.is_set():
            linked.append(link_pending(own))

    linkers = [threading.Thread(target=join_them) for _ in range(3)]
    writers = [threading.Thread(target=write, args=[seed]) for seed in range(6)]
    for thread in (*linkers, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    ended.set()
    for thread in linkers:
        thread.join()
    report = verify(app) if link_pending(app) == 0 else verify(app)
    count = app.execute("SELECT count(*) FROM audit_event").fetchone()
    assert (report.finding, report.pending, (report.last,)) == (None, 0, count)
    assert sum(1 for many in linked if many) > 5, "they linked while others wrote"
    left: dict[str, str] = defaultdict(str)
    for event in events(app):
        if event["outcome"] == "updated":
            assert event["before"]["amount"] == left[event["object"]]
        left[event["object"]] = event["after"]["amount"]
    rows = app.execute("SELECT 'toys.Toy:' || id, amount::text FROM toy").fetchall()
    assert left == dict(rows)


HARM = {
    "its mark": ("DELETE FROM audit_pending", "is not in the chain"),
    "itself": (
        "DELETE FROM audit_event WHERE id IN (SELECT event_id FROM audit_pending)",
        "is pending, but it is missing",
    ),
    "its number": (
        "INSERT INTO audit_ledgerentry SELECT 3, event_id, sha256(''), sha256('') FROM audit_pending;"
        " UPDATE audit_ledgerhead SET number = 3",
        "hash to the leaf",
    ),
    "its place": (
        "INSERT INTO audit_pending (event_id, tx) SELECT event_id, 1 FROM audit_ledgerentry WHERE number = 1",
        "is pending, but it is in the chain",
    ),
}


@pytest.mark.parametrize("harm", HARM)
def test_a_pending_event_that_does_not_fit_is_named(ledger: LedgerDatabase, harm: str) -> None:
    app, admin = ledger.as_app(), ledger.as_superuser()
    fill(app, 2)
    execute(app, "INSERT INTO toy (title) VALUES ('pending')")
    assert (verify(app).finding, verify(app).pending) == (None, 1)
    for table in ("audit_event", "audit_pending", "audit_ledgerentry", "audit_ledgerhead"):
        admin.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
    statement, named = HARM[harm]
    admin.execute(statement)
    finding = verify(app).finding
    assert finding is not None and finding.number == 3 and named in finding.what


def test_what_is_written_says_the_same_whatever_the_session_has_set(ledger: LedgerDatabase) -> None:
    app = ledger.as_app()
    insert = (
        "INSERT INTO toy (title, amount, ready, due, facts, file, beat, span, pause, ratio, phrase) VALUES ('x', 1.50,"
        " true, '2026-01-02 03:04:05.6+09', '{\"b\": [1, 2.50], \"a\": null}', '\\x00ff', now(),"
        " tstzrange('2026-01-01 00:00+09', NULL), '1 mon 2 days 03:00', 0.1::float8 + 0.2, 'secret')"
    )
    execute(app, insert)
    app.execute(
        "SET timezone = 'Asia/Tokyo'; SET datestyle = 'German'; SET intervalstyle = 'iso_8601';"
        " SET bytea_output = 'escape'; SET extra_float_digits = -5"
    )
    execute(app, insert)
    one, other = (event["after"] | {"id": 0} for event in events(app))
    assert (
        one == other and one["due"] == "2026-01-01T18:04:05.600000Z" and one["facts"] == {"a": None, "b": [1, "2.50"]}
    )
    assert json.dumps(one["pause"]) == '"1 mon 2 days 03:00:00"'
