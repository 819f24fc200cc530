"""Rows as they were, folded from their events, also when they were written past the application."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from audit import as_of
from audit.clock import now
from environments.models import Environment, Holiday


def test_a_row_is_as_it_was_at_each_moment(acting_as: Callable[..., Any], database: str) -> None:
    from environments.operations.holiday.add import add
    from environments.operations.holiday.remove import remove

    before = now()
    with acting_as("manager"):
        made = add(day=before.date(), name_ja="創立記念日", name_en="Foundation day")
    between = now()
    with acting_as("manager"):
        remove(made.pk, reason="次の年からは休まない")
    label = f"environments.Holiday:{made.pk}"
    assert as_of.life_of(label, before).at(before) is None
    there = as_of.life_of(label, between).at(between)
    assert there is not None and there.complete
    was = as_of.instance(Holiday, there)
    assert (was.name_ja, was.day, was.removed_at) == ("創立記念日", before.date(), None)
    after = as_of.life_of(label, now()).at(now())
    assert after is not None
    is_now = Holiday.objects.get(pk=made.pk)
    assert as_of.instance(Holiday, after).removed_at == is_now.removed_at
    assert (after.reason, after.operation) == ("次の年からは休まない", "holiday:remove")


def test_what_sql_changed_and_deleted_is_seen(database: str, people: dict[str, Any]) -> None:
    """A row that was deleted is there before and not after; its label is listed while it was there."""
    other = Environment.objects.get(slug="development").pk
    with psycopg.connect(database, autocommit=True) as raw:
        times = [now()]
        for statement in (
            "INSERT INTO environments_holiday (day, name_ja, name_en) VALUES ('2026-12-29', 'あ', 'a')",
            "UPDATE environments_holiday SET name_ja = 'い'",
            "DELETE FROM environments_holiday",
        ):
            with raw.transaction():
                context = '{"actor": "command:test", "channel": "command", "operation": "test:sql"}'
                raw.execute("SELECT set_config('ringi.context', %s, true)", [context])
                raw.execute(statement)
            times.append(now())
    model = "environments.Holiday"
    lives = as_of.lives_of(model)
    (life,) = lives.values()
    assert [past and past.values["name_ja"] for past in map(life.at, times)] == [None, "あ", "い", None]
    assert [len(as_of.labels_at(model, moment)) for moment in times] == [0, 1, 1, 0]
    assert len(as_of.labels_at("environments.Environment", times[0])) == 3
    assert as_of.life_of(f"environments.Environment:{other}", times[0]).at(times[0]).values["slug"] == "development"


def test_the_chain_says_what_a_row_is_when_the_clock_stepped_back(database: str) -> None:
    context = '{"actor": "command:test", "channel": "command", "operation": "test:sql"}'
    with psycopg.connect(database, autocommit=True) as raw:
        for statement in (
            "INSERT INTO environments_holiday (day, name_ja, name_en) VALUES ('2026-12-29', 'あ', 'a')",
            "UPDATE environments_holiday SET name_ja = 'い'",
            "UPDATE environments_holiday SET name_ja = 'う'",
        ):
            with raw.transaction():
                raw.execute("SELECT set_config('ringi.context', %s, true)", [context])
                raw.execute(statement)
    name = str(conninfo_to_dict(database)["dbname"])
    with psycopg.connect(make_conninfo(os.environ["DATABASE_SERVER_URL"], dbname=name)) as root:
        root.execute("ALTER TABLE audit_event DISABLE TRIGGER ringi_append_only")
        root.execute(
            "UPDATE audit_event SET at = at - interval '1 hour' WHERE id = (SELECT event_id FROM audit_ledgerentry"
            " ORDER BY number DESC LIMIT 1)"
        )
        root.execute("ALTER TABLE audit_event ENABLE ALWAYS TRIGGER ringi_append_only")
    (life,) = as_of.lives_of("environments.Holiday").values()
    assert [state.values["name_ja"] for state in life.states] == ["あ", "い", "う"]
    past = life.at(now())
    assert past is not None and past.values["name_ja"] == "う"


def test_columns_have_names_for_people() -> None:
    assert as_of.column_names("environments.Holiday")["name_ja"] == "name (Japanese)"
    assert as_of.column_names("releases.Release.editors")["account_id"]
    assert as_of.column_names("gone.Model") == {}
