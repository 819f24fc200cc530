"""The database's own copy of the machines: a trigger per table, fed by the same edges, refuses every other jump."""

import json
from typing import Any

from audit.triggers import BEFORE, INSERT, ROW, UPDATE, Expected, hang
from releases.state_machines.edges import edges, initial

FUNCTION = """
CREATE OR REPLACE FUNCTION ringi_edge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NEW.state <> TG_ARGV[0] THEN
      RAISE EXCEPTION '% begins in %, not in %', TG_TABLE_NAME, TG_ARGV[0], NEW.state USING ERRCODE = 'RI002';
    END IF;
  ELSIF NEW.state IS DISTINCT FROM OLD.state
        AND NOT (OLD.state || '>' || NEW.state) = ANY (string_to_array(TG_ARGV[1], ' ')) THEN
    RAISE EXCEPTION '%: no edge from % to %', TG_TABLE_NAME, OLD.state, NEW.state USING ERRCODE = 'RI002';
  ELSIF TG_ARGV[2]::jsonb ? (OLD.state || '>' || NEW.state) THEN
    PERFORM ringi_require(TG_ARGV[2]::jsonb ->> (OLD.state || '>' || NEW.state));
  END IF;
  RETURN NEW;
END $$;
CREATE OR REPLACE FUNCTION ringi_fencing_token() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.fencing_token < OLD.fencing_token THEN
    RAISE EXCEPTION 'step %: fencing_token % is behind %', OLD.id, NEW.fencing_token, OLD.fencing_token
      USING ERRCODE = 'RI003';
  END IF;
  RETURN NEW;
END $$;
"""


def machines() -> list[type[Any]]:
    """Return every model that has a machine."""
    from django.apps import apps

    found = [m for m in apps.get_app_config("releases").get_models() if not m.__name__.startswith("Historical")]
    return [m for m in found if any(f.name == "state" for f in m._meta.fields)]


def triggers() -> dict[tuple[str, str], Expected]:
    """Return table, trigger, function, kind (`pg_trigger.tgtype`) and arguments of each, as `install` makes them."""
    found: dict[tuple[str, str], Expected] = {}
    for model in machines():
        jumps = " ".join(sorted({f"{e.source}>{e.target}" for e in edges(model)}))
        table, kind = model._meta.db_table, ROW | BEFORE | INSERT | UPDATE
        reserved = json.dumps({f"{e.source}>{e.target}": e.operation for e in edges(model) if e.operation})
        found[table, "ringi_edge"] = ("ringi_edge", kind, [str(initial(model)), jumps, reserved])
    found["releases_step", "ringi_fencing_token"] = ("ringi_fencing_token", ROW | BEFORE | UPDATE, [])
    return found


def install(**signal: Any) -> None:
    """Create or replace the guards; called after each migration of the app."""
    from django.db import connection

    if signal.get("using", "default") != "default":
        return
    with connection.cursor() as cursor:
        cursor.execute(FUNCTION)
        hang(cursor, triggers())
