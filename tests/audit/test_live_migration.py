"""What a migration does to the ledger while Ringi runs: it waits for no writer, and lets none wait for long."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.apps import apps
from django.db import connection
from django.db.models.signals import pre_migrate

from audit import capture, guards
from audit.apps import _forget_who_migrates
from audit.roles import Roles
from tests.audit.conftest import AUDITED_TABLES, SATO, TABLE_OF, LedgerDatabase, events


def _install_again(connection: psycopg.Connection[Any], app: str) -> None:
    with connection.transaction():
        capture.install(connection, AUDITED_TABLES, TABLE_OF.__getitem__, Roles(application=app))


def test_a_migration_waits_for_no_writer(ledger: LedgerDatabase) -> None:
    """A write that has begun holds its table and the ledger until it ends, and may need another audited table."""
    writer, owner = ledger.as_app(), ledger.as_owner()
    owner.execute("SET lock_timeout = '5s'")
    with writer.transaction():
        capture.set_context(SATO, operation="toy:change", operation_id=uuid4(), connection=writer)
        writer.execute("INSERT INTO toy (title) VALUES ('begun')")
        _install_again(owner, ledger.app)
        writer.execute("INSERT INTO toy_pair VALUES (1, 2)")
    assert [event["object"].partition(":")[0] for event in events(ledger.as_app())] == ["toys.Toy", "toys.Toy.pairs"]


@pytest.mark.parametrize(
    "harm",
    [
        "ALTER TABLE toy DISABLE TRIGGER ringi_capture",
        "ALTER TABLE toy ENABLE TRIGGER ringi_capture",
        "DROP TRIGGER ringi_no_truncate ON toy",
        "ALTER TABLE audit_event DISABLE TRIGGER ringi_append_only",
        "CREATE OR REPLACE TRIGGER ringi_capture AFTER INSERT ON toy FOR EACH ROW EXECUTE FUNCTION ringi_row_toy();"
        "ALTER TABLE toy ENABLE ALWAYS TRIGGER ringi_capture",
    ],
)
def test_the_installation_mends_each_trigger(ledger: LedgerDatabase, harm: str) -> None:
    def faults() -> list[str]:
        roles = Roles(application=ledger.app)
        return guards.faults(ledger.as_app(), AUDITED_TABLES, TABLE_OF.__getitem__, roles)

    ledger.as_superuser().execute(harm)
    assert faults()
    _install_again(ledger.as_owner(), ledger.app)
    assert faults() == []


def test_a_migration_gives_a_lock_up_after_seconds(database: str) -> None:
    def limit() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            return str(cursor.fetchone()[0])

    pre_migrate.send(apps.get_app_config("audit"), app_config=apps.get_app_config("audit"), using="default")
    assert limit() == "5s"
    for config in apps.get_app_configs():
        _forget_who_migrates(config, "default")
    assert limit() == "0"
