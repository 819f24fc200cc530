"""What the application role, a superuser, replica mode and a false search path may not do to the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from audit import capture
from audit.ledger.chain import verify
from tests.audit.conftest import LedgerDatabase, events, execute


@pytest.fixture(scope="module")
def one_event(clone: Callable[[], LedgerDatabase]) -> LedgerDatabase:
    """A ledger of one event."""
    database = clone()
    execute(database.as_app(), "INSERT INTO toy (title) VALUES ('x')")
    return database


@pytest.fixture
def guarded(one_event: LedgerDatabase) -> Iterator[LedgerDatabase]:
    """The ledger of one event, for those to whom everything is refused."""
    yield one_event
    for connection in one_event.opened:
        connection.close()


LEDGER = ("audit_event", "audit_pending", "audit_ledgerentry", "audit_ledgerhead", "audit_checkpoint")
# A column of each that can be updated.
CHANGED = {"audit_event": "reason = '9'", "audit_pending": "tx = 9"}


@pytest.mark.parametrize(
    "statement",
    [
        *(f"UPDATE {table} SET {CHANGED.get(table, 'number = 9')}" for table in LEDGER),
        *(f"DELETE FROM {table}" for table in LEDGER),
        *(f"TRUNCATE {table}" for table in LEDGER),
        *(f"ALTER TABLE {table} DISABLE TRIGGER ALL" for table in (*LEDGER, "toy")),
        *(f"DROP TABLE {table}" for table in (*LEDGER, "toy")),
        "INSERT INTO audit_ledgerentry VALUES (99, gen_random_uuid(), sha256('x'), sha256('y'))",
        "INSERT INTO audit_event SELECT * FROM audit_event",
        "INSERT INTO audit_pending (event_id, tx) VALUES (gen_random_uuid(), 1)",
        "SET ringi.linking = 'on'; DELETE FROM audit_pending",
        "TRUNCATE toy",
        "SELECT * FROM audit_digest_key",
        "SET session_replication_role = replica",
        "ALTER FUNCTION ringi_row_toy() SECURITY INVOKER",
        "CREATE OR REPLACE FUNCTION ringi_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "DROP TRIGGER ringi_capture ON toy",
        "SELECT ringi_write('row', '{\"actor\": \"x\"}', '', '', '', '', '', '')",
        "CREATE TABLE mine (id int)",
        "CREATE TEMPORARY TABLE t (id int);"
        " CREATE TRIGGER t AFTER INSERT ON t"
        " FOR EACH ROW EXECUTE FUNCTION ringi_row_toy()",
        "SELECT ringi_row('INSERT', 'toys.Toy:1', NULL, '{}')",
    ],
)
def test_the_application_role_can_not_touch_the_ledger(guarded: LedgerDatabase, statement: str) -> None:
    app = guarded.as_app()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute(statement)
    assert verify(app).finding is None
    assert len(events(app)) == 1


@pytest.mark.parametrize("statement", ["UPDATE {} SET {}", "DELETE FROM {}", "TRUNCATE {}"])
@pytest.mark.parametrize("table", LEDGER)
@pytest.mark.parametrize("replica", [False, True])
def test_even_a_superuser_is_refused_while_the_triggers_stand(
    guarded: LedgerDatabase, statement: str, table: str, replica: bool
) -> None:
    admin = guarded.as_superuser()
    if replica:
        admin.execute("SET session_replication_role = replica")
    with pytest.raises(psycopg.Error) as refused:
        admin.execute(statement.format(table, CHANGED.get(table, "number = 9")))
    assert refused.value.sqlstate == capture.APPEND_ONLY


def test_replica_mode_does_not_stop_the_capture(ledger: LedgerDatabase) -> None:
    admin = ledger.as_superuser()
    admin.execute("SET session_replication_role = replica")
    with pytest.raises(psycopg.Error, match="no actor"):
        admin.execute("INSERT INTO toy (title) VALUES ('x')")
    with pytest.raises(psycopg.Error) as refused:
        admin.execute("TRUNCATE toy")
    assert refused.value.sqlstate == capture.APPEND_ONLY
    execute(admin, "INSERT INTO toy (title) VALUES ('x')")
    assert len(events(admin)) == verify(admin).events == 1


def test_a_false_search_path_can_not_lead_the_functions_astray(ledger: LedgerDatabase) -> None:
    app = ledger.as_app()
    for table in ("audit_event", "audit_pending"):
        app.execute(f"CREATE TEMPORARY TABLE {table} (LIKE {table})")
    app.execute(
        "CREATE TEMPORARY TABLE audit_ledgerhead AS SELECT 1::smallint AS id, 77::bigint AS number, ''::bytea AS chain"
    )
    app.execute("SET search_path = pg_temp, public")
    execute(app, "INSERT INTO public.toy (title) VALUES ('x')")
    assert app.execute("SELECT public.ringi_link()").fetchone() == (1,)
    app.execute("SET search_path = public")
    app.execute("DROP TABLE pg_temp.audit_event, pg_temp.audit_pending, pg_temp.audit_ledgerhead")
    assert verify(app).events == 1


@pytest.mark.parametrize(
    "facts",
    [
        '{"é": 1, "e\u0301": 2}',
        '[{"a": {"q\u0323\u0307": 1, "q\u0307\u0323": 2}}]',
        '{"a":' * 120 + "1" + "}" * 120,
        "[" * 300 + "]" * 300,
    ],
    ids=["composed and not", "two orders", "deep object", "deep list"],
)
def test_what_readers_could_take_in_two_ways_does_not_get_into_the_ledger(ledger: LedgerDatabase, facts: str) -> None:
    """A key that stands twice once it is normalised would be no JSON to a verifier, and one too deep ends it."""
    app = ledger.as_app()
    for statement in (
        "INSERT INTO toy (title, facts) VALUES ('x', %s::jsonb)",
        "SELECT ringi_append('operation', 'toy:change', '', NULL, %s::jsonb, '', 'done')",
    ):
        with pytest.raises(psycopg.errors.DuplicateJsonObjectKeyValue):
            execute(app, statement, [facts])
    execute(
        app,
        "INSERT INTO toy (title, facts) VALUES ('x', %s::jsonb)",
        ['{"e\u0301": {"é": 1}, "a": ' + "[" * 99 + "]" * 99 + "}"],
    )
    assert verify(app).finding is None


def test_an_event_deeper_than_a_verifier_reads_is_a_finding_and_not_its_end(ledger: LedgerDatabase) -> None:
    app = ledger.as_app()
    execute(app, "INSERT INTO toy (title) VALUES ('x')")
    deep = '{"a":' * 300 + "1" + "}" * 300
    ledger.as_owner().execute(
        "INSERT INTO audit_event SELECT gen_random_uuid(), kind, operation_id, at, actor, channel, "
        "operation, object, outcome, reason, 1,"
        " convert_to(replace(convert_from(bytes, 'UTF8'), '\"before\":null', '\"before\":' || %s), 'UTF8') "
        "FROM audit_event",
        [deep],
    )
    ledger.as_owner().execute("INSERT INTO audit_pending (event_id, tx) SELECT id, tx FROM audit_event WHERE tx = 1")
    assert len(app.execute("SELECT ringi_link()").fetchall()) == 1
    finding = verify(app).finding
    assert finding is not None and (finding.number, finding.what) == (2, "the bytes of the event are not JSON")
