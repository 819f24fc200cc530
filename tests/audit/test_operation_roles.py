"""Every operation as every database role, over a migrated database: PostgreSQL permits exactly what is declared."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from django.conf import settings

from audit.capture import NOT_PERMITTED
from audit.roles import Roles, grant
from tests.audit.test_roles import url
from tests.operation_roles import DECLARED

ROLES = {
    "owner": "_OWNER",
    "web": "",
    "worker": "_WORKER",
    "scheduler": "_SCHEDULER",
    "ledger_signer": "_LEDGER_SIGNER",
}
APPEND = "SELECT ringi_append(%s, %s, '', NULL, %s::jsonb, '', %s)"
CONTEXT = (
    "SELECT set_config('ringi.context', jsonb_build_object('actor', 'person:7:x', 'operation', %s::text)::text, true)"
)


@pytest.fixture(scope="module")
def declared(shared: str) -> str:
    """A database with the rights that a real one has; those of the other tests let one process do everything."""
    with psycopg.connect(url(shared, "_OWNER")) as owner:
        grant(owner.cursor(), Roles(**settings.DATABASE_ROLES), DECLARED)
    return shared


def _refusal(raw: psycopg.Connection[Any], statement: str, values: list[Any]) -> str:
    """Return the number of the error that a statement ends with; it changes nothing."""
    try:
        with raw.transaction(force_rollback=True):
            raw.execute(CONTEXT, [values[-1]])
            raw.execute(statement, values)
    except psycopg.Error as fault:
        return str(fault.sqlstate)
    return ""


@pytest.mark.parametrize("process", ROLES)
def test_each_role_may_cause_what_its_process_is_declared_to_and_nothing_else(declared: str, process: str) -> None:
    own = {"audit:renew_key"}  # a function of its own, which no other way leads to
    with psycopg.connect(url(declared, ROLES[process])) as raw:
        for operation, processes in DECLARED.items():
            for kind in ("operation", "refusal", "access"):
                said = ['{"reasons": ["no"]}', "refused"] if kind == "refusal" else [None, "done"]
                refused = _refusal(raw, APPEND, [kind, operation, *said])
                if operation not in own:
                    assert refused == ("" if process in processes else NOT_PERMITTED), (operation, kind)
        for strange in ("", "approval:Approve", "toy:undeclared"):
            assert _refusal(raw, APPEND, ["operation", strange, None, "done"]) == NOT_PERMITTED


@pytest.mark.parametrize("process", ["web", "worker", "scheduler"])
def test_a_row_is_written_in_the_name_of_no_other_process(declared: str, process: str) -> None:
    insert = "INSERT INTO releases_suppressedaddress (address, reason, since) VALUES ('x@example.org', %s, now())"
    with psycopg.connect(url(declared, ROLES[process])) as raw:
        for operation, processes in DECLARED.items():
            assert _refusal(raw, insert, [operation]) == ("" if process in processes else NOT_PERMITTED), operation
