"""The database's own copy of the machines: a trigger per table, fed by the same edges, refuses every other jump."""

from __future__ import annotations

from typing import Any

from releases.machines.edges import edges, initial

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
  END IF;
  RETURN NEW;
END $$;
CREATE OR REPLACE FUNCTION ringi_epoch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.epoch < OLD.epoch THEN
    RAISE EXCEPTION 'step %: epoch % is behind %', OLD.id, NEW.epoch, OLD.epoch USING ERRCODE = 'RI003';
  END IF;
  RETURN NEW;
END $$;
"""


def machines() -> list[type[Any]]:
    """Return every model that has a machine."""
    from django.apps import apps

    found = [m for m in apps.get_app_config("releases").get_models() if not m.__name__.startswith("Historical")]
    return [m for m in found if any(f.name == "state" for f in m._meta.fields)]


def install(**signal: Any) -> None:
    """Create or replace the guards; called after each migration of the app."""
    from django.db import connection

    if signal.get("using", "default") != "default":
        return
    with connection.cursor() as cursor:
        cursor.execute(FUNCTION)
        for model in machines():
            table = model._meta.db_table
            jumps = " ".join(sorted({f"{e.source}>{e.target}" for e in edges(model)}))
            cursor.execute(
                f"CREATE OR REPLACE TRIGGER ringi_edge BEFORE INSERT OR UPDATE ON {table} "
                f"FOR EACH ROW EXECUTE FUNCTION ringi_edge('{initial(model)}', '{jumps}')"
            )
            cursor.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER ringi_edge")
        cursor.execute(
            "CREATE OR REPLACE TRIGGER ringi_epoch BEFORE UPDATE ON releases_step "
            "FOR EACH ROW EXECUTE FUNCTION ringi_epoch()"
        )
        cursor.execute("ALTER TABLE releases_step ENABLE ALWAYS TRIGGER ringi_epoch")
