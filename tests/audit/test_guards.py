"""Whoever takes away what writes the ledger is named, and so is a table that nobody thought of."""

from __future__ import annotations

import io
import json
import os
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from audit import guards
from audit.ledger.functions import LEDGER_TABLES
from tests.audit.conftest import GOVERNED, TABLE_OF, LedgerDatabase, Listed

WHOLE = "ringi_row_event('toys.Toy', 'id', 'beat', 'phrase', '', '')"
AGAIN = "CREATE OR REPLACE TRIGGER ringi_capture AFTER {when} ON toy FOR EACH ROW {more} EXECUTE FUNCTION {call};"
ALWAYS = "ALTER TABLE toy ENABLE ALWAYS TRIGGER ringi_capture"
IUD = "INSERT OR UPDATE OR DELETE"
NOT_THE_SAME = "toy: trigger ringi_capture is not as it was installed"


def _faults(ledger: LedgerDatabase, more: tuple[Listed, ...] = ()) -> list[str]:
    tables = TABLE_OF | {"toys.Gone": "gone"}
    return guards.faults(ledger.as_app(), (*GOVERNED, *more), tables.__getitem__)


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
        (AGAIN.format(when=IUD, more="", call=WHOLE.replace("beat", "beat,title")) + ALWAYS, [NOT_THE_SAME]),
        (AGAIN.format(when=IUD, more="", call="ringi_refuse()") + ALWAYS, [NOT_THE_SAME]),
        (
            "CREATE OR REPLACE FUNCTION ringi_row_event() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            ["function ringi_row_event is not as it was installed"],
        ),
        *(
            (f"ALTER TABLE {table} DISABLE TRIGGER ringi_append_only", [f"{table}: trigger ringi_append_only is disabled"])
            for table in LEDGER_TABLES
        ),
        ("ALTER TABLE audit_event DISABLE TRIGGER ringi_link", ["audit_event: trigger ringi_link is disabled"]),
    ],
)  # fmt: skip
def test_each_trigger_that_does_not_stand_is_named(ledger: LedgerDatabase, harm: str, named: list[str]) -> None:
    ledger.as_superuser().execute(harm)
    assert _faults(ledger) == named


def test_a_trigger_moved_to_another_schemas_function_is_named(ledger: LedgerDatabase) -> None:
    root = ledger.as_superuser()
    root.execute("CREATE SCHEMA mine")
    root.execute("CREATE FUNCTION mine.ringi_row_event() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    root.execute(AGAIN.format(when=IUD, more="", call=f"mine.{WHOLE}") + ALWAYS)
    assert _faults(ledger) == [NOT_THE_SAME]


def test_a_governed_table_that_is_gone_is_named(ledger: LedgerDatabase) -> None:
    assert _faults(ledger, (Listed("toys.Gone"),)) == ["toys.Gone: there is no table gone"]


def test_a_table_of_no_list_is_named_in_whichever_schema(ledger: LedgerDatabase) -> None:
    root = ledger.as_superuser()
    before = guards.strangers(root, GOVERNED, TABLE_OF.__getitem__)
    assert "plain" in before and not {"toy", "toy_pair", "audit_event"} & set(before)
    root.execute("CREATE SCHEMA mine; CREATE TABLE mine.toy (id int); CREATE TABLE beside (id int)")
    assert set(guards.strangers(root, GOVERNED, TABLE_OF.__getitem__)) - set(before) == {"beside", "mine.toy"}


def _verified(*options: str) -> tuple[Any, str]:
    out = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("audit_verify", *options, stdout=out)
    return ended.value.code, out.getvalue()


def test_audit_verify_ends_with_one_while_a_table_is_not_captured(database: str, tmp_path: Any, settings: Any) -> None:
    settings.STATE = tmp_path
    status, said = _verified("--json")
    told = json.loads(said)
    assert (status, told["finding"], told["not_captured"], told["unknown_tables"]) == (2, None, [], [])
    name = str(conninfo_to_dict(database)["dbname"])
    with psycopg.connect(make_conninfo(os.environ["DATABASE_SERVER_URL"], dbname=name), autocommit=True) as root:
        root.execute("CREATE TABLE releases_beside (id int)")
        status, said = _verified()
        assert status == 2 and "releases_beside" in said
        root.execute("ALTER TABLE releases_approval DISABLE TRIGGER ringi_capture")
        status, said = _verified()
        assert status == 1 and "releases_approval: trigger ringi_capture is disabled" in said
        status, said = _verified("--json")
        assert (status, json.loads(said)["status"]) == (1, 1)
        root.execute("ALTER TABLE releases_approval ENABLE ALWAYS TRIGGER ringi_capture")
        assert _verified()[0] == 2
