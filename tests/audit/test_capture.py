"""What the triggers write, what they refuse, and what the application role may not do."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import unicodedata
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import rfc8785

from audit import capture, guards
from audit.ledger.chain import verify
from audit.offline.ringi_verify import KEYS
from audit.roles import Roles
from tests.audit.conftest import AUDITED_TABLES, SATO, TABLE_OF, LedgerDatabase, Listed, events, execute

HOSTILE = [
    "",
    "日本語の稟議書",
    'quote " and \\ backslash / slash',
    "".join(map(chr, range(1, 32))),
    "\x7f\x80\x9f DEL and C1",
    "line\u2028para\u2029",
    "emoji 🚀👩‍👩‍👧 𠮷野家",
    "か\u3099 は が, e\u0301 is é",
    "\ufeffBOM \ufffd \uffff \ue000",
    "</script>&'<!--",
]


def _ours(value: Any) -> Any:
    """Say in Python what our subset of RFC 8785 makes of a value."""
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, dict):
        return {_ours(key): _ours(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_ours(part) for part in value]
    if isinstance(value, Decimal) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**53):
        return str(value)
    return value


@pytest.mark.parametrize(
    "value",
    [
        *HOSTILE,
        dict.fromkeys(HOSTILE, 1) | {"nested": {"b": [1, None, True, {"": []}], "a": {}}},
        {"\ue000": 1, "🚀": 2, "\uffff": 3, "\U0010ffff": 4, "z": 5, "あ": 6, "\U0010ffff\ue000": 7, "\ue000a": 8},
        [0, -1, 2**53 - 1, 2**53, -(2**53) + 1, 10**30, Decimal("1.50"), Decimal("-0.1"), Decimal("2.0")],
        [[], {}, None, False, [[["deep"]]]],
    ],
)
def test_canonical_json_is_that_of_rfc_8785(ledger: LedgerDatabase, value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False, default=lambda number: f"<{number}>")
    for number in ("1.50", "-0.1", "2.0"):
        text = text.replace(f'"<{number}>"', number)
    (got,) = ledger.as_app().execute("SELECT ringi_canonical(%s::jsonb)", [text]).fetchone()
    assert got.encode() == rfc8785.dumps(_ours(value))


def _drawn(chance: random.Random, depth: int = 0) -> Any:
    """Return some JSON value, most of it short and ASCII as most rows are."""
    kind = chance.choice("snnbosaa" if depth < 4 else "snb")
    if kind == "s":
        return chance.choice([*HOSTILE, "plain", "a b", "1.5", "[x", "{y", "12345678901234567", "1e5", '"q"', "\\"])
    if kind == "n":
        return chance.choice([None, 0, -7, 12, 2**53 - 1, 2**53, -(2**53), 123456789012345, 1234567890123456])
    if kind == "b":
        return chance.choice([True, False])
    if kind == "o":
        keys = ["b", "aa", "a", "Z", "あ", "\ue000", "🚀", "", "a b", '"']
        return {key: _drawn(chance, depth + 1) for key in chance.sample(keys, chance.randint(0, 5))}
    return [_drawn(chance, depth + 1) for _ in range(chance.randint(0, 4))]


def test_canonical_json_of_anything_is_that_of_rfc_8785(ledger: LedgerDatabase) -> None:
    chance, app = random.Random(8785), ledger.as_app()
    for _ in range(1500):
        value = _drawn(chance)
        (got,) = app.execute("SELECT ringi_canonical(%s::jsonb)", [json.dumps(value)]).fetchone()
        assert got.encode() == rfc8785.dumps(_ours(value)), value


def test_event_bytes_are_canonical_and_say_who_what_when_why(ledger: LedgerDatabase) -> None:
    app = ledger.as_app()
    operation_id = uuid4()
    execute(
        app,
        "INSERT INTO toy (title) VALUES (%s)",
        [HOSTILE[3] + "が\u3099"],
        operation_id=operation_id,
        reason="か\u3099",
    )
    (raw,) = app.execute("SELECT bytes FROM audit_event").fetchone()
    event = json.loads(raw)
    assert raw == rfc8785.dumps(event)
    assert event.keys() == KEYS
    assert event["actor"] == "person:7:佐藤 花子"
    assert event["request"] == {"address": "192.0.2.7", "id": "r-1"}
    assert (event["operation_id"], event["operation"], event["reason"]) == (str(operation_id), "toy:change", "が")
    assert (event["kind"], event["object"], event["outcome"]) == ("row", "toys.Toy:1", "inserted")
    assert event["before"] is None
    assert event["after"]["title"] == HOSTILE[3] + "が\u3099"
    at = datetime.strptime(event["ts"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - at).total_seconds()) < 60


def test_each_event_names_the_database_role_of_its_session_whatever_the_writer_says(ledger: LedgerDatabase) -> None:
    app, owner = ledger.as_app(), ledger.as_owner()
    app.execute(
        """SELECT set_config('ringi.context', '{"actor": "x", "operation": "toy:look", "session_user": "y"}', false)"""
    )
    app.execute("INSERT INTO toy (title) VALUES ('x')")
    app.execute("SELECT ringi_append('access', 'toy:look', '', NULL, '{\"session_user\": \"y\"}', '', 'done')")
    ledger.as_superuser().execute(f'GRANT "{ledger.app}" TO "{ledger.owner}"')
    owner.execute(f'SET ROLE "{ledger.app}"')
    execute(owner, "INSERT INTO toy (title) VALUES ('x')")
    assert [event["session_user"] for event in events(app)] == [ledger.app, ledger.app, ledger.owner]


@pytest.mark.parametrize(
    "statement", ["INSERT INTO toy (title) VALUES ('x')", "UPDATE toy SET title = 'y'", "DELETE FROM toy"]
)
def test_it_refuses_a_write_without_actor(ledger: LedgerDatabase, statement: str) -> None:
    app = ledger.as_app()
    execute(app, "INSERT INTO toy (title) VALUES ('first')")
    with pytest.raises(psycopg.Error) as refused:
        app.execute(statement)
    assert refused.value.sqlstate == capture.NO_ACTOR
    assert app.execute("SELECT title FROM toy").fetchall() == [("first",)]
    with pytest.raises(psycopg.Error) as refused:
        app.execute("""SELECT set_config('ringi.context', '{"actor": ""}', false)""")
        app.execute(statement)
    assert refused.value.sqlstate == capture.NO_ACTOR


def test_the_context_ends_with_the_transaction(ledger: LedgerDatabase) -> None:
    app = ledger.as_app()
    execute(app, "INSERT INTO toy (title) VALUES ('x')")
    with pytest.raises(psycopg.Error, match="no actor"):
        app.execute("INSERT INTO toy (title) VALUES ('y')")


def test_an_update_holds_only_what_changed_and_the_key(ledger: LedgerDatabase) -> None:
    app = ledger.as_app()
    execute(app, "INSERT INTO toy (title, amount) VALUES ('x', 1.5)")
    execute(app, "UPDATE toy SET amount = 2.25, ready = ready, beat = now()")
    event = events(app)[-1]
    assert event["before"] == {"id": 1, "amount": "1.5000"}
    assert event["after"] == {"id": 1, "amount": "2.2500"}
    assert event["outcome"] == "updated"


def test_a_null_becoming_a_value_is_a_change(ledger: LedgerDatabase) -> None:
    app = ledger.as_app()
    execute(app, "INSERT INTO toy (title, facts) VALUES ('x', 'null')")
    execute(app, "UPDATE toy SET amount = 1, facts = NULL")
    event = events(app)[-1]
    assert event["before"]["amount"] is None
    assert event["after"]["amount"] == "1.0000"


def test_a_change_of_unaudited_columns_alone_makes_no_event_and_needs_no_actor(ledger: LedgerDatabase) -> None:
    app = ledger.as_app()
    execute(app, "INSERT INTO toy (title, beat) VALUES ('x', now())")
    app.execute("UPDATE toy SET beat = clock_timestamp()")
    execute(app, "UPDATE toy SET title = title")
    (event,) = events(app)
    assert "beat" not in event["after"]


def test_a_delete_holds_the_whole_row(ledger: LedgerDatabase) -> None:
    app = ledger.as_app()
    execute(app, "INSERT INTO toy (title) VALUES ('x')")
    execute(app, "DELETE FROM toy")
    inserted, deleted = events(app)
    assert deleted["before"] == inserted["after"]
    assert deleted["after"] is None
    assert deleted["outcome"] == "deleted"


def test_times_bytes_secrets_and_floats_have_one_form_whatever_the_session_says(ledger: LedgerDatabase) -> None:
    app, owner = ledger.as_app(), ledger.as_owner()
    app.execute("SET timezone = 'Asia/Tokyo'")
    app.execute("SET bytea_output = 'escape'")
    app.execute("SET datestyle = 'German'")
    app.execute("SET intervalstyle = 'iso_8601'")
    app.execute("SET extra_float_digits = -10")
    execute(
        app,
        "INSERT INTO toy (due, file, phrase, facts, pause, ratio, span)"
        " VALUES ('2026-12-16 10:00+09', %s, 'open sesame', '[0.5, 1e30, 7]', '90 minutes',"
        " 0.1::float8 + 0.2, tstzrange('2026-12-16 10:00+09', NULL))",
        [b"\x00\xff"],
    )
    after = events(app)[0]["after"]
    assert after["due"] == "2026-12-16T01:00:00.000000Z"
    assert after["file"] == "sha256:" + hashlib.sha256(b"\x00\xff").hexdigest()
    assert after["facts"] == ["0.5", "1" + 30 * "0", 7]
    assert (after["pause"], after["ratio"]) == ("01:30:00", "0.30000000000000004")
    assert after["span"] == '["2026-12-16 01:00:00+00",)'
    (inner,) = owner.execute("SELECT inner_pad FROM audit_digest_key").fetchone()
    key = bytes(byte ^ 0x36 for byte in inner)
    assert after["phrase"] == "hmac-sha256:" + hmac.new(key, b"open sesame", "sha256").hexdigest()


def test_bulk_update_insert_and_delete_leave_an_event_per_row(ledger: LedgerDatabase) -> None:
    app = ledger.as_app()
    execute(app, "INSERT INTO toy (title) SELECT n::text FROM generate_series(1, 50) n")
    execute(app, "UPDATE toy SET title = title || '!'")
    execute(app, "DELETE FROM toy WHERE id > 10")
    found = [(event["outcome"], event["object"]) for event in events(app)]
    assert found == (
        [("inserted", f"toys.Toy:{n}") for n in range(1, 51)]
        + [("updated", f"toys.Toy:{n}") for n in range(1, 51)]
        + [("deleted", f"toys.Toy:{n}") for n in range(11, 51)]
    )
    assert verify(app).finding is None


def test_copy_and_merge_are_captured(ledger: LedgerDatabase) -> None:
    app = ledger.as_app()
    with app.transaction():
        capture.set_context(SATO, operation="toy:load", connection=app)
        with app.cursor().copy("COPY toy (title) FROM STDIN") as copy:
            copy.write_row(["copied"])
        app.execute(
            "MERGE INTO toy USING (SELECT 1 AS id) s ON toy.id = s.id WHEN MATCHED THEN UPDATE SET title = 'merged'"
        )
    assert [event["outcome"] for event in events(app)] == ["inserted", "updated"]


def test_a_table_with_two_keys_is_named_by_both(ledger: LedgerDatabase) -> None:
    app = ledger.as_app()
    execute(app, "INSERT INTO toy_pair VALUES (3, 4)")
    assert events(app)[0]["object"] == "toys.Toy.pairs:3,4"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE toy SET id = 9 WHERE id = 1",
        "UPDATE toy SET id = 9, title = 'y', beat = now() WHERE id = 1",
        "UPDATE toy SET id = id + 10",
        "UPDATE toy_pair SET other_id = 5",
        "UPDATE toy_pair SET toy_id = 4, other_id = 3",
        "INSERT INTO toy (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 9",
        "MERGE INTO toy USING (SELECT 1 AS id) s ON toy.id = s.id WHEN MATCHED THEN UPDATE SET id = 9",
    ],
)
@pytest.mark.parametrize("role", ["application", "owner", "superuser in replica mode"])
def test_the_key_of_an_audited_row_never_changes(ledger: LedgerDatabase, statement: str, role: str) -> None:
    """History and as-of follow a row by its key."""
    app = ledger.as_app()
    execute(app, "INSERT INTO toy (title) VALUES ('x'), ('z')")
    execute(app, "INSERT INTO toy_pair VALUES (3, 4)")
    writer = app if role == "application" else ledger.as_owner() if role == "owner" else ledger.as_superuser()
    if role.startswith("superuser"):
        writer.execute("SET session_replication_role = replica")
    with pytest.raises(psycopg.Error, match="the key of an audited row never changes") as refused:
        execute(writer, statement)
    assert refused.value.sqlstate == capture.APPEND_ONLY
    assert app.execute("SELECT id, title FROM toy ORDER BY id").fetchall() == [(1, "x"), (2, "z")]
    assert app.execute("SELECT * FROM toy_pair").fetchall() == [(3, 4)]
    assert len(events(app)) == 3


def test_a_key_set_to_itself_is_no_change_of_it(ledger: LedgerDatabase) -> None:
    app = ledger.as_app()
    execute(app, "INSERT INTO toy (title) VALUES ('x')")
    execute(app, "UPDATE toy SET id = id, title = 'y'")
    assert events(app)[-1]["after"] == {"id": 1, "title": "y"}


def test_operations_and_refusals_are_appended_and_rows_are_not(ledger: LedgerDatabase) -> None:
    app = ledger.as_app()
    append = "SELECT ringi_append(%s, 'toy:approve', 'toys.Toy:1', NULL, %s::jsonb, 'why', 'done')"
    refusal = append.replace("'done'", "'refused'")
    said = '{"b": 1.5, "a": "か\u3099"}'
    execute(app, append, ["operation", said])
    execute(app, refusal, ["refusal", '{"reasons": ["no"]}'])
    execute(app, append, ["access", said])
    assert [event["kind"] for event in events(app)] == ["operation", "refusal", "access"]
    assert events(app)[0]["after"] == {"a": "が", "b": "1.5"}
    wrong = [
        (append, "row", "{}"),
        (append, None, "{}"),
        (refusal, "access", '{"reasons": ["no"]}'),
        (refusal, "operation", "{}"),
    ]
    wrong += [
        (append, "refusal", '{"reasons": ["no"]}'),
        (refusal, "refusal", "{}"),
        (refusal, "refusal", '{"reasons": []}'),
    ]
    for statement, kind, details in wrong:
        with pytest.raises(psycopg.Error) as refused:
            execute(app, statement, [kind, details])
        assert refused.value.sqlstate == capture.WRONG_CALL
    with pytest.raises(psycopg.Error) as refused:
        app.execute(append, ["operation", "{}"])
    assert refused.value.sqlstate == capture.NO_ACTOR


def test_breaking_the_glass_leaves_an_event_of_its_own(ledger: LedgerDatabase) -> None:
    owner = ledger.as_owner()
    with owner.transaction():
        owner.execute("SELECT ringi_break_glass('田中', '索引の修理')")
        owner.execute("INSERT INTO toy (title) VALUES ('by hand')")
    broke, row = events(owner)
    assert (broke["actor"], broke["operation"], broke["reason"]) == (
        "break-glass:田中",
        "audit:break_glass",
        "索引の修理",
    )
    assert broke["session_user"] == ledger.owner
    assert (row["actor"], row["operation_id"]) == (broke["actor"], broke["operation_id"])
    with pytest.raises(psycopg.Error, match="a name and a reason"):
        owner.execute("SELECT ringi_break_glass('田中', ' ')")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ledger.as_app().execute("SELECT ringi_break_glass('x', 'y')")


def _installed(connection: psycopg.Connection[Any]) -> dict[str, set[tuple[str, str]]]:
    rows = connection.execute(
        "SELECT c.relname, t.tgname, t.tgenabled FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
        " WHERE t.tgname IN ('ringi_capture', 'ringi_no_truncate')"
    ).fetchall()
    found: dict[str, set[tuple[str, str]]] = {}
    for table, trigger, enabled in rows:
        found.setdefault(table, set()).add((trigger, enabled))
    return found


def test_triggers_are_those_of_the_list_and_always_enabled(ledger: LedgerDatabase) -> None:
    owner = ledger.as_owner()
    both = {("ringi_capture", "A"), ("ringi_no_truncate", "A")}
    assert _installed(owner) == {"toy": both, "toy_pair": both}
    ours = owner.execute(
        "SELECT c.relname, t.tgname, t.tgenabled FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
        " WHERE t.tgname = 'ringi_append_only' ORDER BY 1"
    ).fetchall()
    assert ours == [
        ("audit_checkpoint", "ringi_append_only", "A"),
        ("audit_event", "ringi_append_only", "A"),
        ("audit_ledgerentry", "ringi_append_only", "A"),
        ("audit_ledgerhead", "ringi_append_only", "A"),
        ("audit_pending", "ringi_append_only", "A"),
    ]


def test_installing_again_follows_the_list(ledger: LedgerDatabase) -> None:
    owner, app = ledger.as_owner(), ledger.as_app()
    owner.execute("ALTER TABLE toy DISABLE TRIGGER ringi_capture")
    key = owner.execute("SELECT * FROM audit_digest_key").fetchone()
    with owner.transaction():
        capture.install(owner, AUDITED_TABLES[:1], TABLE_OF.__getitem__, Roles(application=ledger.app))
    assert _installed(owner) == {"toy": {("ringi_capture", "A"), ("ringi_no_truncate", "A")}}
    assert owner.execute("SELECT * FROM audit_digest_key").fetchone() == key
    app.execute("INSERT INTO toy_pair VALUES (1, 2)")
    assert events(owner) == []


@pytest.mark.parametrize(
    ("listed", "table"), [(Listed("toys.Toy"), "nowhere"), (Listed("toys.Toy", frozenset({"gone"})), "toy")]
)
def test_a_list_that_names_what_is_not_there_is_refused(ledger: LedgerDatabase, listed: Listed, table: str) -> None:
    owner = ledger.as_owner()
    with pytest.raises(capture.Uncapturable), owner.transaction():
        capture.install(owner, [listed], lambda _: table)


def test_a_column_added_by_a_migration_is_captured_at_once_and_one_added_by_hand_is_named(
    ledger: LedgerDatabase,
) -> None:
    owner = ledger.as_owner()
    owner.execute("ALTER TABLE toy ADD COLUMN colour text")
    named = guards.faults(ledger.as_app(), AUDITED_TABLES, TABLE_OF.__getitem__, Roles(application=ledger.app))
    assert named == ["function ringi_row_toy is not as it was installed"]
    with owner.cursor() as cursor:
        capture.follow(cursor, AUDITED_TABLES[0], "toy")
    execute(owner, "INSERT INTO toy (title, colour) VALUES ('x', 'red')")
    assert events(owner)[0]["after"]["colour"] == "red"
    owner.execute("ALTER TABLE toy DROP COLUMN colour, DROP COLUMN beat")  # beat is in the list: unaudited
    with owner.cursor() as cursor:
        capture.follow(cursor, AUDITED_TABLES[0], "toy")
    execute(owner, "UPDATE toy SET title = 'y'")
    assert events(owner)[1]["after"] == {"id": 1, "title": "y"}
