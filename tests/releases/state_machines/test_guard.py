"""The database's own copy of the state machines: raw SQL can neither jump nor lower a fencing_token."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from audit import capture
from audit.actor import Actor
from releases.state_machines.guard import machines

SOMEONE = Actor(account_id=None, name="someone", kind="command", channel="command")


def refused(database: str, statement: str, *values: Any) -> str:
    """Run a statement with an actor named, as the application role; return the SQLSTATE of its refusal."""
    with psycopg.connect(database) as connection:
        capture.set_context(SOMEONE, operation="test:jump", connection=connection)
        try:
            connection.execute(statement, values)
        except psycopg.Error as error:
            connection.rollback()
            return error.sqlstate or ""
        connection.rollback()
    return ""


def test_the_database_guards_always_fire(database: str) -> None:
    """Also under session_replication_role = replica, by which a superuser bypasses ordinary triggers."""
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT c.relname::text, t.tgname::text, t.tgenabled::text FROM pg_trigger t "
            "JOIN pg_class c ON c.oid = t.tgrelid"
            " WHERE t.tgname IN ('ringi_edge', 'ringi_fencing_token', 'ringi_capture')"
        ).fetchall()
    assert {enabled for _table, _name, enabled in rows} == {"A"}
    guarded = {table for table, name, _enabled in rows if name == "ringi_edge"}
    assert guarded == {model._meta.db_table for model in machines()}
    assert {table for table, name, _enabled in rows if name == "ringi_fencing_token"} == {"releases_step"}


def test_a_jump_by_sql_is_refused(world: Any, database: str) -> None:
    release = world.planned()
    change = "UPDATE releases_release SET state = %s WHERE id = %s"
    for state in ("approved", "final_check_completed", "releasing", "completed", "nonsense"):
        assert refused(database, change, state, release.pk) == "RI002", state
    assert refused(database, change, "scope_locked", release.pk) == ""
    assert world.fresh(release).state == "draft"


def test_a_row_begins_in_the_first_state(database: str) -> None:
    insert = (
        "INSERT INTO releases_procedure (version, content, digest, reason, writers, state, created_at)"
        " VALUES ('9.9.9', '{}', 'x', 'y', '[]', %s, now())"
    )
    assert refused(database, insert, "in_review") == "RI002"
    assert refused(database, insert, "draft") == ""


def test_a_fencing_token_never_falls(world: Any, database: str) -> None:
    from audit.actor import acting
    from audit.operation import operation
    from releases.models import Deployment, Procedure, Step

    release = world.planned()
    with acting(SOMEONE), operation("test:lay") as op:
        deployment = Deployment.objects.create(
            release=release,
            application=release.application,
            environment=world.environments["development"],
            procedure=Procedure.objects.get(),
            requested_by=world.people["ci"],
        )
        step = Step.objects.create(
            deployment=deployment, phase="deployment", ordinal=1, step_type="command", parameters={}, fencing_token=3
        )
        op.about(deployment)
    change_fencing_token = "UPDATE releases_step SET fencing_token = %s WHERE id = %s"
    assert refused(database, change_fencing_token, 2, step.pk) == "RI003"
    assert refused(database, change_fencing_token, 4, step.pk) == ""


def test_a_write_without_an_actor_is_refused(world: Any, database: str) -> None:
    with psycopg.connect(database) as connection:
        for statement in (
            "UPDATE environments_environment SET name_en = 'elsewhere'",
            "DELETE FROM environments_accessrule",
            "UPDATE environments_account SET is_staff = false",
        ):
            with pytest.raises(psycopg.Error) as refusal, connection.transaction():
                connection.execute(statement)
            assert refusal.value.sqlstate == "RI001"
