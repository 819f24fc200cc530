"""Removed triggers and functions of the ledger are named, and so is a table that is in no list."""

from __future__ import annotations

import io
import json
import os
from functools import partial
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from audit import guards
from audit.apps import table_of
from audit.audited_tables import AUDITED_TABLES as ALL
from audit.ledger.functions import LEDGER_TABLES
from audit.roles import Roles
from tests.audit.conftest import AUDITED_TABLES, TABLE_OF, LedgerDatabase, Listed

WHOLE = "ringi_row_toy()"
AGAIN = "CREATE OR REPLACE TRIGGER ringi_capture AFTER {when} ON toy FOR EACH ROW {more} EXECUTE FUNCTION {call};"
ALWAYS = "ALTER TABLE toy ENABLE ALWAYS TRIGGER ringi_capture"
IUD = "INSERT OR UPDATE OR DELETE"
NOT_THE_SAME = "toy: trigger ringi_capture is not as it was installed"


def _faults(ledger: LedgerDatabase, more: tuple[Listed, ...] = ()) -> list[str]:
    tables = TABLE_OF | {"toys.Gone": "gone"}
    return guards.faults(ledger.as_app(), (*AUDITED_TABLES, *more), tables.__getitem__, Roles(application=ledger.app))


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        ("SELECT 1", []),
        (AGAIN.format(when=IUD, more="", call=WHOLE) + ALWAYS, []),
        ("ALTER TABLE toy DISABLE TRIGGER ringi_capture", ["toy: trigger ringi_capture is disabled"]),
        ("ALTER TABLE toy ENABLE TRIGGER ringi_capture", ["toy: trigger ringi_capture is not enabled always"]),
        ("ALTER TABLE toy ENABLE REPLICA TRIGGER ringi_capture", ["toy: trigger ringi_capture is not enabled always"]),
        ("DROP TRIGGER ringi_capture ON toy_pair", ["toy_pair: there is no trigger ringi_capture"]),
        ("ALTER TABLE toy DISABLE TRIGGER ringi_no_truncate", ["toy: trigger ringi_no_truncate is disabled"]),
        ("DROP TABLE toy_pair", ["toys.Toy.pairs: there is no table toy_pair"]),
        (AGAIN.format(when="INSERT OR UPDATE", more="", call=WHOLE) + ALWAYS, [NOT_THE_SAME]),
        (AGAIN.format(when="INSERT OR DELETE OR UPDATE OF title", more="", call=WHOLE) + ALWAYS, [NOT_THE_SAME]),
        (AGAIN.format(when=IUD, more="WHEN (false)", call=WHOLE) + ALWAYS, [NOT_THE_SAME]),
        (AGAIN.format(when=IUD, more="", call="ringi_row_toy('x')") + ALWAYS, [NOT_THE_SAME]),
        (AGAIN.format(when=IUD, more="", call="ringi_row_toy_pair()") + ALWAYS, [NOT_THE_SAME]),
        ("ALTER TABLE toy ADD COLUMN colour text", ["function ringi_row_toy is not as it was installed"]),
        (AGAIN.format(when=IUD, more="", call="ringi_refuse()") + ALWAYS, [NOT_THE_SAME]),
        (
            "CREATE OR REPLACE FUNCTION ringi_row_toy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            ["function ringi_row_toy is not as it was installed"],
        ),
        *(
            (
                f"ALTER TABLE {table} DISABLE TRIGGER ringi_append_only",
                [f"{table}: trigger ringi_append_only is disabled"],
            )
            for table in LEDGER_TABLES
        ),
        (
            "INSERT INTO audit_operation_role VALUES ('approval:approve', 'postgres')",
            ["audit_operation_role: postgres may cause approval:approve, which is not as it was declared"],
        ),
    ],
)
def test_each_trigger_that_does_not_stand_is_named(ledger: LedgerDatabase, harm: str, named: list[str]) -> None:
    ledger.as_superuser().execute(harm)
    assert _faults(ledger) == named


def _body(ledger: LedgerDatabase, function: str) -> Any:
    (found,) = ledger.as_owner().execute("SELECT prosrc FROM pg_proc WHERE proname = %s", [function]).fetchall()
    return found[0]


def test_a_genuine_body_beside_a_replaced_function_hides_nothing(ledger: LedgerDatabase) -> None:
    owner, genuine = ledger.as_owner(), _body(ledger, "ringi_write")
    owner.execute("SET check_function_bodies = off")
    owner.execute(f"CREATE FUNCTION ringi_write(int) RETURNS uuid LANGUAGE plpgsql AS $${genuine}$$")
    assert _faults(ledger) == ["function ringi_write is there 2 times"]
    owner.execute(
        "CREATE OR REPLACE FUNCTION ringi_write(kind text, context jsonb, operation text, object text, before text,"
        " after text, reason text, outcome text) RETURNS uuid LANGUAGE sql AS 'SELECT gen_random_uuid()'"
    )
    both = ["function ringi_write is not as it was installed", "function ringi_write is there 2 times"]
    assert _faults(ledger) == both
    owner.execute("DROP FUNCTION ringi_write(text, jsonb, text, text, text, text, text, text)")
    assert _faults(ledger) == both[:1], "the body alone, with other arguments"


def test_a_function_of_pg_catalog_that_goes_before_the_installed_one_is_named(ledger: LedgerDatabase) -> None:
    ledger.as_superuser().execute(
        "CREATE FUNCTION pg_catalog.ringi_canonical(value jsonb) RETURNS text LANGUAGE sql AS $$SELECT 'null'$$"
    )
    assert _faults(ledger) == ["function ringi_canonical is there 2 times"]


@pytest.mark.parametrize(
    ("function", "change"),
    [
        ("ringi_row_toy", "SET search_path = evil, public, pg_temp"),
        ("ringi_row_toy", "RESET search_path"),
        ("ringi_row_toy", "SET timezone = 'Asia/Tokyo'"),
        ("ringi_row_toy", "SET session_replication_role = 'replica'"),
        ("ringi_row_toy", "SECURITY INVOKER"),
        ("ringi_link", "RESET ALL"),
        ("ringi_context", "SET search_path = evil"),
        ("ringi_refuse", "SECURITY DEFINER"),
    ],
)
def test_a_function_with_other_rights_or_settings_is_named(ledger: LedgerDatabase, function: str, change: str) -> None:
    connection = ledger.as_superuser() if "replica" in change else ledger.as_owner()
    connection.execute(f"ALTER FUNCTION {function}() {change}")
    assert _faults(ledger) == [f"function {function} is not as it was installed"]


WRITE = "ringi_write(text, jsonb, text, text, text, text, text, text)"


@pytest.mark.parametrize(
    "change",
    [
        f"{WRITE} STRICT",
        "ringi_append(text, text, text, jsonb, jsonb, text, text) STRICT",
        "ringi_canonical(jsonb, integer) STRICT",
        "ringi_context() IMMUTABLE",
    ],
)
def test_a_function_that_answers_without_being_run_is_named(ledger: LedgerDatabase, change: str) -> None:
    """A strict one leaves out what has a NULL among its arguments; an immutable one answers as it did the first
    time.
    """
    ledger.as_owner().execute(f"ALTER FUNCTION {change}")
    assert _faults(ledger) == [f"function {change.partition('(')[0]} is not as it was installed"]


def test_a_function_whose_arguments_changed_places_is_named(ledger: LedgerDatabase) -> None:
    owner = ledger.as_owner()
    ((made,),) = owner.execute(f"SELECT pg_get_functiondef('{WRITE}'::regprocedure)").fetchall()
    owner.execute(f"DROP FUNCTION {WRITE}")
    owner.execute(made.replace("before text, after text", "after text, before text"))
    assert _faults(ledger) == ["function ringi_write is not as it was installed"]


ELSEWHERE = "CREATE SCHEMA x; CREATE FUNCTION x.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (
            f"{ELSEWHERE}CREATE TRIGGER t BEFORE INSERT ON audit_outbox FOR EACH ROW EXECUTE FUNCTION x.f()",
            "trigger t that was not installed here",
        ),
        ("CREATE RULE quiet AS ON INSERT TO audit_outbox DO INSTEAD NOTHING", "rule quiet"),
        ("ALTER TABLE audit_outbox ENABLE ROW LEVEL SECURITY", "row security"),
    ],
    ids=["trigger", "rule", "row security"],
)
def test_what_swallows_the_alarms_of_the_ledger_is_named(ledger: LedgerDatabase, harm: str, named: str) -> None:
    ledger.as_owner().execute(harm)
    (found,) = _faults(ledger)
    assert found.startswith("audit_outbox: there is") and found.endswith(named)


def test_a_function_of_another_owner_is_named(ledger: LedgerDatabase) -> None:
    ledger.as_superuser().execute(f"ALTER FUNCTION ringi_link() OWNER TO {ledger.app}")
    assert _faults(ledger) == ["function ringi_link is not as it was installed"]


@pytest.mark.parametrize(
    ("rule", "table"),
    [
        ("ON INSERT TO audit_event DO INSTEAD NOTHING", "audit_event"),
        ("ON UPDATE TO audit_ledgerhead DO INSTEAD NOTHING", "audit_ledgerhead"),
        ("ON UPDATE TO toy DO ALSO UPDATE plain SET title = ''", "toy"),
    ],
)
def test_a_rule_on_a_table_of_the_ledger_or_an_audited_one_is_named(
    ledger: LedgerDatabase, rule: str, table: str
) -> None:
    owner = ledger.as_owner()
    owner.execute("CREATE RULE elsewhere AS ON INSERT TO plain DO INSTEAD NOTHING; CREATE VIEW toys AS TABLE toy")
    assert _faults(ledger) == []
    owner.execute(f"CREATE RULE quiet AS {rule}")
    assert _faults(ledger) == [f"{table}: there is a rule quiet"]


SWALLOW = "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (
            f"{SWALLOW}; CREATE TRIGGER a BEFORE INSERT ON audit_event FOR EACH ROW EXECUTE FUNCTION swallow()",
            [
                "audit_event: there is a trigger a that was not installed here",
                "function swallow() was not installed here",
            ],
        ),
        (
            f"{SWALLOW}; CREATE TRIGGER zz BEFORE INSERT ON toy FOR EACH ROW EXECUTE FUNCTION swallow()",
            ["toy: there is a trigger zz that was not installed here", "function swallow() was not installed here"],
        ),
        (
            "CREATE TRIGGER x BEFORE UPDATE ON toy FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            ["toy: there is a trigger x that was not installed here"],
        ),
        (
            "ALTER TABLE toy ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON toy USING (false)",
            ["toy: there is a policy p", "toy: there is row security"],
        ),
        ("CREATE TABLE more () INHERITS (audit_event)", ["audit_event: there is a table that inherits from it, more"]),
        (
            "CREATE FUNCTION to_json(text) RETURNS json LANGUAGE sql AS $$SELECT '\"x\"'::json$$",
            ["function to_json(text) was not installed here"],
        ),
        (
            "CREATE OPERATOR || (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = pg_catalog.uuid_eq)",
            ["operator ||(uuid,uuid) was not installed here"],
        ),
    ],
)
def test_what_was_not_installed_here_is_named(ledger: LedgerDatabase, more: str, named: list[str]) -> None:
    """What swallows an INSERT leaves no trace in the chain; and a function that takes just these types writes another
    text.
    """
    owner = ledger.as_owner()
    owner.execute("CREATE TABLE elsewhere (); CREATE VIEW seen AS TABLE toy")
    owner.execute(more)
    assert _faults(ledger) == named


def test_what_another_app_installs_is_compared_too(database: str, settings: Any) -> None:
    name = str(conninfo_to_dict(database)["dbname"])
    audited = [one for one in ALL if one.model.startswith("releases.")]
    with psycopg.connect(make_conninfo(os.environ["DATABASE_SERVER_URL"], dbname=name), autocommit=True) as root:
        ask = partial(guards.faults, root, audited, table_of, Roles(**settings.DATABASE_ROLES), beside=guards.BESIDE)
        assert ask() == []
        (body,) = root.execute("SELECT pg_get_functiondef('ringi_edge'::regproc)").fetchall()[0]
        root.execute(body.replace("RETURN NEW", "RETURN NULL"))
        assert ask() == ["function ringi_edge is not as it was installed"]
        root.execute(body)
        root.execute("ALTER TABLE releases_release DISABLE TRIGGER ringi_edge")
        assert ask() == ["releases_release: trigger ringi_edge is disabled"]


def test_a_trigger_moved_to_another_schemas_function_is_named(ledger: LedgerDatabase) -> None:
    root = ledger.as_superuser()
    root.execute("CREATE SCHEMA mine")
    root.execute("CREATE FUNCTION mine.ringi_row_toy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    root.execute(AGAIN.format(when=IUD, more="", call=f"mine.{WHOLE}") + ALWAYS)
    assert _faults(ledger) == [NOT_THE_SAME]


def test_an_audited_table_that_is_gone_is_named(ledger: LedgerDatabase) -> None:
    assert _faults(ledger, (Listed("toys.Gone"),)) == ["toys.Gone: there is no table gone"]


def test_a_table_of_no_list_is_named_in_whichever_schema(ledger: LedgerDatabase) -> None:
    root = ledger.as_superuser()
    before = guards.strangers(root, AUDITED_TABLES, TABLE_OF.__getitem__)
    assert "plain" in before and not {"toy", "toy_pair", "audit_event"} & set(before)
    root.execute("CREATE SCHEMA mine; CREATE TABLE mine.toy (id int); CREATE TABLE beside (id int)")
    assert set(guards.strangers(root, AUDITED_TABLES, TABLE_OF.__getitem__)) - set(before) == {"beside", "mine.toy"}


def _verified(*options: str) -> tuple[Any, str]:
    out = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("audit_verify", *options, stdout=out)
    return ended.value.code, out.getvalue()


def test_audit_verify_ends_with_one_while_a_table_is_not_captured(database: str, tmp_path: Any, settings: Any) -> None:
    settings.STATE_DIR = tmp_path
    status, said = _verified("--json")
    report = json.loads(said)
    assert (status, report["finding"], report["not_captured"], report["unknown_tables"]) == (2, None, [], [])
    name = str(conninfo_to_dict(database)["dbname"])
    with psycopg.connect(make_conninfo(os.environ["DATABASE_SERVER_URL"], dbname=name), autocommit=True) as root:
        root.execute("CREATE TABLE releases_beside (id int)")
        status, said = _verified()
        assert status == 2 and "releases_beside" in said
        root.execute("ALTER TABLE releases_approvaldecision DISABLE TRIGGER ringi_capture")
        status, said = _verified()
        assert status == 1 and "releases_approvaldecision: trigger ringi_capture is disabled" in said
        status, said = _verified("--json")
        assert (status, json.loads(said)["status"]) == (1, 1)
        root.execute("ALTER TABLE releases_approvaldecision ENABLE ALWAYS TRIGGER ringi_capture")
        assert _verified()[0] == 2


def test_functions_plan_their_statements_once_a_connection_whatever_it_sets(database: str) -> None:
    asked = (
        "SELECT proname, 'plan_cache_mode=auto' = ANY (proconfig) FROM pg_proc WHERE prosecdef AND proname ~ '^ringi_'"
    )
    with psycopg.connect(database) as connection:
        found = dict(connection.execute(asked).fetchall())
    assert found.keys() >= {"ringi_append", "ringi_row_releases_step"}
    assert all(found.values()), found
