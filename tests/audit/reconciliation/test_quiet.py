"""No alarm on an untouched system: what the product itself does by its rules is always explained."""

from __future__ import annotations

import os
from typing import Any

import psycopg
from django.core.management import call_command
from psycopg.conninfo import conninfo_to_dict

from audit.actor import Actor, acting
from audit.operation import operation
from audit.reconciliation import nightly
from audit.reconciliation.compare import compared_tables
from environments.models import AccessRule
from releases.models import Procedure
from releases.operations.approval.decide import approve
from releases.operations.procedure import put_into_effect
from tests.conftest import connected
from tests.releases.audited import again, database, deployment, made
from tests.releases.conftest import sample_repository

__all__ = ["again", "database", "made", "deployment", "sample_repository"]
SCHEDULER = Actor(account_id=None, name="scheduler", kind="worker", channel="scheduler")


def found() -> dict[str, Any]:
    """Compare all there is; return what was found."""
    with acting(SCHEDULER):
        ended = nightly.reconcile()
    assert ended is not None
    return ended.found


def kept() -> dict[str, int]:
    """Return how many snapshots there are of each model."""
    return {one.label: one.history._default_manager.count() for one in compared_tables()}


def test_a_second_procedure_leaves_nothing_unexplained(again: Any, deployment: Any) -> None:
    active = Procedure.objects.get(state="in_effect")
    with again.acting_as("manager"):
        draft = put_into_effect.load(
            active.document.model_validate(active.content | {"version": "9.8.0"}), reason="a word"
        )
        applied = put_into_effect.submit(draft.pk, reason="a word")
    before = kept()
    for name in ("committee_a", "committee_b"):
        if Procedure.objects.get(pk=draft.pk).state != "in_effect":
            with again.acting_as(name):
                approve(applied.pk, digest=applied.digest)
    assert Procedure.objects.get(state="in_effect").pk == draft.pk
    assert (found()["alarms"], found()["unexplained"]) == ([], 0)
    same = ("environments.AccessRule", "environments.Environment", "releases.NotificationRule")
    assert {label: kept()[label] for label in same} == {label: before[label] for label in same}


def test_a_row_saved_as_it_was_leaves_no_snapshot(deployment: Any) -> None:
    with acting(SCHEDULER), operation("test:touch") as op:
        op.details["why"] = "nothing"
        for rule in AccessRule.objects.all():
            rule.save()
            AccessRule.objects.update_or_create(pk=rule.pk, defaults={"level": rule.level})
    before = kept()
    assert found()["unexplained"] == 0
    with acting(SCHEDULER), operation("test:touch") as op:
        op.details["why"] = "one of them"
        rule = AccessRule.objects.exclude(level="none").first()
        rule.level = "none"
        rule.save()
    assert kept() == before | {"environments.AccessRule": before["environments.AccessRule"] + 1}
    assert (found()["unexplained"], found()["bulk"]) == (0, 0)


def test_an_upgrade_leaves_nothing_unexplained(database: str) -> None:
    """The owner migrates: from nothing new, and from a column that the rows of yesterday did not have."""
    from django.db import connection, connections

    name, owner = database_name(database), conninfo_to_dict(os.environ["DATABASE_OWNER_URL"])["user"]
    with psycopg.connect(os.environ["DATABASE_SERVER_URL"], autocommit=True) as server:
        server.execute(f'ALTER DATABASE "{name}" OWNER TO {owner}')
    with connected(os.environ["DATABASE_OWNER_URL"], name):
        call_command("migrate", verbosity=0, interactive=False)
        with connection.cursor() as cursor:
            for table in ("environments_environment", "environments_historicalenvironment"):
                cursor.execute(f"ALTER TABLE {table} ADD COLUMN younger text NOT NULL DEFAULT 'x'")
        call_command("migrate", verbosity=0, interactive=False)
        connections.close_all()
    assert (found()["alarms"], found()["writes"]) == ([], {})


def database_name(address: str) -> str:
    """Return the name of the database at an address."""
    return str(conninfo_to_dict(address)["dbname"])
