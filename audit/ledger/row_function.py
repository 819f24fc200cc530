"""The capture function of an audited table, with its columns written out.

`audit.capture` creates it and `audit.guards` compares it with what stands in the database.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

# Few statements, each by a key: to plan them once a connection, whatever the application's own connections set, halves
# the time of an audited write.
SCHEMA = "SECURITY DEFINER\nSET search_path = public, pg_temp SET plan_cache_mode = 'auto'"
# The schema, and the settings that change how PostgreSQL writes a value as text.
PINNED = f"""{SCHEMA} SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
SET intervalstyle = 'postgres' SET bytea_output = 'hex' SET extra_float_digits = 1"""

# VALUE as canonical JSON, the same whatever a session has set. Each gives NULL for NULL.
_FIRM = {
    "boolean": "VALUE::text",
    "smallint": "VALUE::text",
    "integer": "VALUE::text",
    "bigint": (
        "CASE WHEN VALUE BETWEEN -9007199254740991 AND 9007199254740991 THEN VALUE::text ELSE '\"' || VALUE || '\"' END"
    ),
    "uuid": "'\"' || VALUE || '\"'",
    "text": "to_json(ringi_nfc(VALUE))::text",
    "character varying": "to_json(ringi_nfc(VALUE))::text",
    "date": "to_json(VALUE)::text",
    "timestamp with time zone": (
        "coalesce('\"' || to_char(VALUE AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') || '\"',"
        " to_json(VALUE)::text)"
    ),
    "bytea": "'\"sha256:' || encode(sha256(VALUE), 'hex') || '\"'",
}
_ANY = "CASE WHEN VALUE IS NOT NULL THEN ringi_canonical(to_jsonb(VALUE)) END"
_SECRET = "'\"hmac-sha256:' || encode(ringi_keyed(to_jsonb(VALUE) #>> '{}'), 'hex') || '\"'"


@dataclass(frozen=True)
class Column:
    """A column of an audited table. type: as PostgreSQL writes it, without a length.

    personal: it is a commitment, or (given the name of another column) where that column has a value.
    """

    name: str
    type: str
    secret: bool = False
    personal: bool | str = False

    @property
    def firm(self) -> bool:
        """Tell whether no setting of a session changes how its values are written."""
        return not self.secret and (self.type in _FIRM or self.type == "jsonb")

    def member(self, row: str, named: str = "", commit: str = "ringi_personal") -> str:
        """Return SQL for its name and value in a row (NEW, OLD) as a member of a JSON object.

        named: SQL for the label of the row. commit: the function that makes a commitment.
        """
        how = _SECRET if self.secret else _FIRM.get(self.type, _ANY)
        value = f"""coalesce({how.replace("VALUE", f'{row}."{self.name}"')}, 'null')"""
        if self.personal:
            made = f"coalesce({commit}({named}, '{self.name}', {value}), 'null')"
            of = self.personal if isinstance(self.personal, str) else ""
            value = f"""CASE WHEN {row}."{of}" IS NULL THEN {value} ELSE {made} END""" if of else made
        return f"""'"{self.name}":' || {value}"""

    @property
    def differs(self) -> str:
        """Return SQL that tells whether an update changed it; equal intervals can be written differently."""
        as_text = "::text" if self.type == "interval" else ""
        return f'NEW."{self.name}"{as_text} IS DISTINCT FROM OLD."{self.name}"{as_text}'


def function_name(table: str) -> str:
    """Return the name of the capture function of a table."""
    return f"ringi_row_{table}"


def _identity(label: str, key: Collection[str], row: str) -> str:
    return f"'{label}:' || " + " || ',' || ".join(f'{row}."{name}"' for name in key)


def row_function(table: str, label: str, key: Collection[str], columns: Iterable[Column]) -> str:
    """Return the SQL that creates the capture function of a table.

    label: `app.Model`, with which the object of each event begins. key: the columns of the primary key, in its order.
    columns: those that are audited, with the key.
    """
    ordered = sorted(columns, key=lambda column: column.name)
    types = {column.name: column for column in ordered}

    def whole(row: str) -> str:
        members = (column.member(row, identity(row)) for column in ordered)
        return "'{' || " + "\n            || ',' || ".join(members) + " || '}'"

    def identity(row: str) -> str:
        return _identity(label, key, row)

    members = "".join(
        f"""
        {"" if column.name in key else f"IF {column.differs} THEN"}
            before := before || ',' || {column.member("OLD", identity("OLD"))};
            after := after || ',' || {column.member("NEW", identity("NEW"))};
            {"" if column.name in key else "changed := true; END IF;"}"""
        for column in ordered
    )
    moved = " OR ".join(types[name].differs for name in key)
    pins = SCHEMA if all(column.firm for column in ordered) else PINNED
    return f"""
CREATE OR REPLACE FUNCTION {function_name(table)}() RETURNS trigger LANGUAGE plpgsql {pins}
AS $$
DECLARE
    before text;
    after text;
    changed boolean := false;
    event uuid;
BEGIN
    IF TG_OP = 'INSERT' THEN
        after := {whole("NEW")};
        event := ringi_row(TG_OP, {identity("NEW")}, before, after);
    ELSIF TG_OP = 'DELETE' THEN
        before := {whole("OLD")};
        event := ringi_row(TG_OP, {identity("OLD")}, before, after);
    ELSE
        -- Events follow a row by its key: another one would end its story, and begin one without a beginning.
        IF {moved} THEN
            RAISE EXCEPTION 'the key of an audited row never changes: UPDATE of % % is refused',
                TG_TABLE_NAME, {identity("OLD")} USING ERRCODE = 'RI002';
        END IF;
        before := '';
        after := '';{members}
        IF changed THEN
            before := '{{' || substr(before, 2) || '}}';
            after := '{{' || substr(after, 2) || '}}';
            event := ringi_row(TG_OP, {identity("OLD")}, before, after);
        END IF;
    END IF;
    RETURN NULL;
END $$;
"""


def personal_functions(table: str, label: str, key: str, columns: Iterable[Column], history: str) -> dict[str, str]:
    """Return name → SQL of the functions of a table with personal columns. history: the table of its history rows.

    One gives the commitments of rows, one those of their history rows: each reads the rows itself, so that nobody can
    try out values with it. One empties the history rows of rows that are empty, and destroys their keys.
    """
    types = {column.name: column.type for column in columns}
    personal = sorted((column for column in columns if column.personal), key=lambda column: column.name)
    members = " || ',' || ".join(one.member("r", _identity(label, [key], "r"), "ringi_commitment") for one in personal)
    wanted, made = f"""r WHERE r."{key}" = ANY ($1::{types[key]}[])""", f"('{{' || {members} || '}}')::jsonb"
    filled = " OR ".join(f"""ringi_empty(to_jsonb(r."{one.name}")) <> to_jsonb(r."{one.name}")""" for one in personal)
    emptied = ", ".join(
        f""""{one.name}" = ringi_empty(to_jsonb(r."{one.name}"))""" + (" #>> '{}'" if one.type != "jsonb" else "")
        for one in personal
    )
    body = f"""
    IF EXISTS (SELECT FROM {table} {wanted} AND ({filled})) THEN
        RAISE EXCEPTION 'a row of {table} is not empty: its key stays' USING ERRCODE = 'RI003';
    END IF;
    DELETE FROM audit_personal_key WHERE object = ANY (SELECT '{label}:' || one FROM unnest($1) AS one);"""
    if history:
        body += f"""
    UPDATE {history} AS r SET {emptied} {wanted.removeprefix("r ")} AND ({filled});
    GET DIAGNOSTICS emptied = ROW_COUNT;"""
    found = {
        "erase": f"""(text[]) RETURNS bigint LANGUAGE plpgsql
AS $$
DECLARE
    emptied bigint := 0;
BEGIN{body}
    RETURN emptied;
END $$;
"""
    }
    for kind, of, number in (("personal", table, "0"), ("history", history, "r.history_id")):
        if of:
            found[kind] = f"""(text[]) RETURNS TABLE (key text, history bigint, made jsonb) LANGUAGE sql STABLE {PINNED}
AS $$
    SELECT r."{key}"::text, {number}::bigint, {made} FROM {of} {wanted}
$$;
"""
    return {
        (name := f"{function_name(table)}_{kind}"): f"CREATE OR REPLACE FUNCTION {name}{sql}"
        for kind, sql in found.items()
    }
