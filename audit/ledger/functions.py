"""The functions of the ledger inside PostgreSQL, as SQL; `audit.capture.install` creates them.

Numbers of errors: RI001 no actor, RI002 append only (also the key of an audited row), RI003 a wrong call, RI004 an
operation of another process.
"""

# The names pinned here are the schema and the settings that change how PostgreSQL writes a value as text.
_PINNED = """SECURITY DEFINER
SET search_path = public, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
SET intervalstyle = 'postgres' SET bytea_output = 'hex' SET extra_float_digits = 1"""

# UTF-16 order, which RFC 8785 asks for, differs from code-point order only where characters from U+E000 to
# U+FFFF meet those above U+FFFF: the former get U+10FFFF in front, so that they sort behind the latter.
_CANONICAL = """
CREATE OR REPLACE FUNCTION ringi_text(value text) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT coalesce(to_json(normalize(value, NFC))::text, 'null') $$;

CREATE OR REPLACE FUNCTION ringi_key_order(name text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN octet_length(name) = char_length(name) THEN name
    ELSE regexp_replace(regexp_replace(name, U&'\\+10FFFF', U&'\\+10FFFF' || chr(1), 'g'),
                        U&'([\\E000-\\FFFF])', U&'\\+10FFFF' || '\\1', 'g') END
$$;

CREATE OR REPLACE FUNCTION ringi_number(value jsonb) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN value::text ~ '^-?[0-9]{1,15}$' THEN value::text
    WHEN value::text ~ '^-?[0-9]{16}$' AND abs(value::numeric) <= 9007199254740991 THEN value::text
    ELSE '"' || value::text || '"' END
$$;

DROP FUNCTION IF EXISTS ringi_canonical(jsonb);
CREATE OR REPLACE FUNCTION ringi_canonical(value jsonb, depth integer DEFAULT 0) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    IF depth > 100 THEN RAISE EXCEPTION 'a JSON value is nested deeper than readers go' USING ERRCODE = '22030'; END IF;
    CASE coalesce(jsonb_typeof(value), 'null')
    WHEN 'object' THEN
        IF value = '{}' THEN
            RETURN '{}';
        ELSIF EXISTS (SELECT FROM jsonb_object_keys(value) AS key WHERE key IS NOT NFC NORMALIZED
                      GROUP BY normalize(key, NFC) HAVING count(*) > 1 OR value ? normalize(key, NFC)) THEN
            RAISE EXCEPTION 'a key stands twice in a JSON value, in two forms' USING ERRCODE = '22030';
        END IF;
        -- Numbers and truths are written here: a call for each would cost more than all the rest.
        RETURN (SELECT '{' || string_agg(
                    ringi_text(entry.key) || ':' || CASE jsonb_typeof(entry.value)
                        WHEN 'string' THEN ringi_text(entry.value #>> '{}')
                        WHEN 'number' THEN ringi_number(entry.value)
                        WHEN 'boolean' THEN entry.value::text
                        ELSE ringi_canonical(entry.value, depth + 1) END, ','
                    ORDER BY ringi_key_order(normalize(entry.key, NFC)) COLLATE "C") || '}'
                FROM jsonb_each(value) AS entry);
    WHEN 'array' THEN
        RETURN (SELECT '[' || coalesce(
                    string_agg(ringi_canonical(entry.value, depth + 1), ',' ORDER BY entry.place), '') || ']'
                FROM jsonb_array_elements(value) WITH ORDINALITY AS entry(value, place));
    WHEN 'string' THEN RETURN ringi_text(value #>> '{}');
    WHEN 'number' THEN RETURN ringi_number(value);
    WHEN 'boolean' THEN RETURN value::text;
    ELSE RETURN 'null';
    END CASE;
END $$;
"""

_WRITE = """
CREATE OR REPLACE FUNCTION ringi_context() RETURNS jsonb LANGUAGE plpgsql STABLE
AS $$
DECLARE
    context jsonb := nullif(current_setting('ringi.context', true), '')::jsonb;
BEGIN
    IF coalesce(context ->> 'actor', '') = '' THEN
        RAISE EXCEPTION 'no actor: nothing is written without the name of who does it'
            USING ERRCODE = 'RI001',
                  HINT = 'Use the operation, or ringi_break_glass(name, reason) in the same transaction.';
    END IF;
    RETURN context;
END $$;

CREATE OR REPLACE FUNCTION ringi_require(wanted text) RETURNS void LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM public.audit_operation_role WHERE operation = wanted
        AND (role = session_user OR pg_has_role(session_user, role, 'USAGE'))
    ) THEN
        RAISE EXCEPTION 'the database role % may not cause the operation "%"', session_user, wanted
            USING ERRCODE = 'RI004', HINT = 'audit/operation_roles.toml declares it, and migrate puts it into force.';
    END IF;
END $$;

CREATE OR REPLACE FUNCTION ringi_write(
    kind text, context jsonb, operation text, object text, before text, after text, reason text, outcome text
) RETURNS uuid LANGUAGE plpgsql
AS $$
DECLARE
    moment timestamptz := clock_timestamp();
    micros bigint := (extract(epoch FROM moment) * 1000000)::bigint;
    -- UUID version 7 (RFC 9562) with the microseconds in rand_a: events of one transaction sort as they came.
    event uuid := (lpad(to_hex(micros / 1000), 12, '0') || '7'
                   || lpad(to_hex((micros % 1000) * 4096 / 1000), 3, '0')
                   || substr(gen_random_uuid()::text, 20))::uuid;
    transaction bigint := pg_current_xact_id()::text::bigint;
    operation_id uuid := nullif(context ->> 'operation_id', '')::uuid;
    actor text := normalize(context ->> 'actor', NFC);
    channel text := normalize(coalesce(context ->> 'channel', ''), NFC);
BEGIN
    operation := normalize(coalesce(operation, ''), NFC);
    PERFORM ringi_require(operation);
    object := normalize(coalesce(object, ''), NFC);
    reason := normalize(coalesce(reason, ''), NFC);
    INSERT INTO audit_event VALUES (
        event, kind, operation_id, moment, actor, channel, operation, object, outcome, reason, transaction,
        convert_to(
            '{"actor":' || to_json(actor)::text
            || ',"after":' || coalesce(after, 'null')
            || ',"before":' || coalesce(before, 'null')
            || ',"channel":' || to_json(channel)::text
            || ',"id":"' || event
            || '","kind":' || to_json(kind)::text
            || ',"object":' || to_json(object)::text
            || ',"on_behalf":' || ringi_text(coalesce(context ->> 'on_behalf', ''))
            || ',"operation":' || to_json(operation)::text
            || ',"operation_id":' || CASE WHEN operation_id IS NULL THEN 'null' ELSE '"' || operation_id || '"' END
            || ',"outcome":' || to_json(outcome)::text
            || ',"reason":' || to_json(reason)::text
            || ',"request":{"address":' || ringi_text(coalesce(context ->> 'address', ''))
            || ',"id":' || ringi_text(coalesce(context ->> 'request', ''))
            || '},"session_user":' || ringi_text(session_user)
            || ',"ts":"' || to_char(moment AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
            || '","tx":' || transaction || ',"v":2}', 'UTF8'));
    RETURN event;
END $$;

CREATE OR REPLACE FUNCTION ringi_append(
    kind text, operation text, object text, before jsonb, after jsonb, reason text, outcome text
) RETURNS uuid LANGUAGE plpgsql PINNED
AS $$
BEGIN
    IF kind IS NULL OR kind NOT IN ('operation', 'refusal', 'access') THEN
        RAISE EXCEPTION 'an event of kind % is not appended by hand', kind USING ERRCODE = 'RI003';
    END IF;
    IF (kind = 'refusal') <> (normalize(coalesce(outcome, ''), NFC) = 'refused')
        OR (kind = 'refusal' AND jsonb_array_length(jsonb_path_query_array(after, '$.reasons[*]')) = 0) THEN
        RAISE EXCEPTION 'what was refused is an event of kind refusal, and says why' USING ERRCODE = 'RI003';
    END IF;
    IF after ? 'signature' AND coalesce(after #>> '{signature,digest}', '') = '' THEN
        RAISE EXCEPTION 'a signature names the digest of what was signed' USING ERRCODE = 'RI003';
    END IF;
    -- Verifiers believe the key that this event names; it is the ledger signer's alone.
    IF normalize(coalesce(operation, ''), NFC) = 'audit:renew_key' THEN
        RAISE EXCEPTION 'only the ledger signer names its key' USING ERRCODE = 'RI003';
    END IF;
    RETURN ringi_write(kind, ringi_context(), operation, object, ringi_canonical(before), ringi_canonical(after),
                       reason, normalize(coalesce(outcome, ''), NFC));
END $$;

CREATE OR REPLACE FUNCTION ringi_break_glass(name text, reason text) RETURNS uuid LANGUAGE plpgsql
AS $$
BEGIN
    IF coalesce(btrim(name), '') = '' OR coalesce(btrim(reason), '') = '' THEN
        RAISE EXCEPTION 'breaking the glass needs a name and a reason' USING ERRCODE = 'RI003';
    END IF;
    PERFORM set_config('ringi.context', jsonb_build_object(
        'actor', 'break-glass:' || name, 'on_behalf', '', 'channel', 'command', 'request', '',
        'operation', 'audit:break_glass', 'operation_id', gen_random_uuid(), 'reason', reason,
        'address', coalesce(host(inet_client_addr()), ''))::text, true);
    RETURN ringi_append('operation', 'audit:break_glass', '', NULL, '{}', reason, 'done');
END $$;
"""


def _rendered(value: str) -> str:
    """Write the SQL that turns a column's jsonb `value` into canonical text; one CASE: it runs per cell."""
    return f"""CASE
        WHEN jsonb_typeof({value}) = 'null' THEN 'null'
        WHEN cell.key = ANY (secret) THEN
            '"hmac-sha256:' || encode(ringi_keyed({value} #>> '{{}}'), 'hex') || '"'
        WHEN cell.key = ANY (times) THEN coalesce(
            '"' || to_char(({value} #>> '{{}}')::timestamptz AT TIME ZONE 'UTC',
                           'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"', {value}::text)
        WHEN cell.key = ANY (binaries) THEN
            '"sha256:' || encode(sha256(decode(substr({value} #>> '{{}}', 3), 'hex')), 'hex') || '"'
        WHEN jsonb_typeof({value}) = 'string' THEN to_json(normalize({value} #>> '{{}}', NFC))::text
        WHEN jsonb_typeof({value}) = 'number' THEN ringi_number({value})
        ELSE ringi_canonical({value}) END"""


def _pairs(value: str) -> str:
    return f"""'{{' || string_agg(to_json(cell.key)::text || ':' || {_rendered(value)}, ','
        ORDER BY cell.key COLLATE "C") || '}}'"""


_ROW = f"""
CREATE OR REPLACE FUNCTION ringi_keyed(value text) RETURNS bytea LANGUAGE sql STABLE
AS $$ SELECT sha256(outer_pad || sha256(inner_pad || convert_to(value, 'UTF8'))) FROM audit_digest_key $$;

CREATE OR REPLACE FUNCTION ringi_row_event() RETURNS trigger LANGUAGE plpgsql PINNED
AS $$
DECLARE
    -- Arguments: label, primary key, unaudited, secret, times, binaries; the last five with commas.
    keys text[] := string_to_array(TG_ARGV[1], ',');
    unaudited text[] := string_to_array(TG_ARGV[2], ',');
    secret text[] := string_to_array(TG_ARGV[3], ',');
    times text[] := string_to_array(TG_ARGV[4], ',');
    binaries text[] := string_to_array(TG_ARGV[5], ',');
    old_row jsonb;
    new_row jsonb;
    changed bigint;
    moved bigint;
    before text;
    after text;
    context jsonb;
    identity text;
    outcome text;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        old_row := to_jsonb(OLD);
        new_row := to_jsonb(NEW);
        SELECT {_pairs("cell.value")}, {_pairs("(new_row -> cell.key)")},
               count(*) FILTER (WHERE cell.value <> new_row -> cell.key),
               count(*) FILTER (WHERE cell.value <> new_row -> cell.key AND cell.key = ANY (keys))
            INTO before, after, changed, moved
            FROM jsonb_each(old_row) AS cell
            WHERE cell.key = ANY (keys)
                OR (cell.value <> new_row -> cell.key AND cell.key <> ALL (unaudited));
        -- Events follow a row by its key: another one would end its story, and begin one without a beginning.
        IF moved > 0 THEN
            RAISE EXCEPTION 'the key of an audited row never changes: UPDATE of % % is refused',
                TG_TABLE_NAME, old_row -> keys[1] USING ERRCODE = 'RI002';
        END IF;
        IF changed = 0 OR before IS NULL THEN
            RETURN NULL;
        END IF;
        outcome := 'updated';
    ELSIF TG_OP = 'INSERT' THEN
        old_row := to_jsonb(NEW);
        SELECT {_pairs("cell.value")} INTO after FROM jsonb_each(old_row) AS cell
            WHERE cell.key <> ALL (unaudited);
        outcome := 'inserted';
    ELSE
        old_row := to_jsonb(OLD);
        SELECT {_pairs("cell.value")} INTO before FROM jsonb_each(old_row) AS cell
            WHERE cell.key <> ALL (unaudited);
        outcome := 'deleted';
    END IF;
    context := ringi_context();
    IF cardinality(keys) = 1 THEN
        identity := old_row ->> keys[1];
    ELSE
        SELECT string_agg(old_row ->> part.name, ',' ORDER BY part.place) INTO identity
            FROM unnest(keys) WITH ORDINALITY AS part(name, place);
    END IF;
    PERFORM ringi_write('row', context, context ->> 'operation', TG_ARGV[0] || ':' || coalesce(identity, ''),
                        before, after, context ->> 'reason', outcome);
    RETURN NULL;
END $$;
"""

_LINK = """
CREATE OR REPLACE FUNCTION ringi_link() RETURNS trigger LANGUAGE plpgsql PINNED
-- A plan made while the tables were small would read them whole for as long as the connection lives.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    place bigint;
    previous bytea;
    hash bytea;
    event record;
    events uuid[];
    leaves bytea[];
    chains bytea[];
BEGIN
    -- The first event of a transaction links all of it, so that the head row is written once per transaction.
    IF EXISTS (SELECT FROM audit_ledgerentry WHERE audit_ledgerentry.event_id = NEW.id) THEN
        RETURN NULL;
    END IF;
    SELECT audit_ledgerhead.number, audit_ledgerhead.chain INTO STRICT place, previous
        FROM audit_ledgerhead WHERE id = 1 FOR UPDATE;
    FOR event IN
        SELECT audit_event.id, audit_event.bytes FROM audit_event
        WHERE audit_event.tx = NEW.tx
          AND NOT EXISTS (SELECT FROM audit_ledgerentry WHERE audit_ledgerentry.event_id = audit_event.id)
        ORDER BY audit_event.id
    LOOP
        hash := sha256('\\x00'::bytea || event.bytes);
        previous := sha256('\\x01'::bytea || previous || hash);
        events := events || event.id;
        leaves := leaves || hash;
        chains := chains || previous;
    END LOOP;
    INSERT INTO audit_ledgerentry
        SELECT place + link.number, link.event, link.leaf, link.chain
        FROM unnest(events, leaves, chains) WITH ORDINALITY AS link(event, leaf, chain, number);
    UPDATE audit_ledgerhead SET number = place + coalesce(cardinality(events), 0), chain = previous WHERE id = 1;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION ringi_refuse() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    -- Only the link function moves the head, and it does so from inside a trigger.
    IF TG_TABLE_NAME = 'audit_ledgerhead' AND TG_OP = 'UPDATE' AND pg_trigger_depth() >= 2 THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'append only: % of % is refused', TG_OP, TG_TABLE_NAME USING ERRCODE = 'RI002';
END $$;

CREATE OR REPLACE FUNCTION ringi_add_checkpoint(size bigint, root bytea, note text) RETURNS void LANGUAGE plpgsql PINNED
AS $$
BEGIN
    IF size IS NULL OR size < 1 OR size > (SELECT number FROM audit_ledgerhead) THEN
        RAISE EXCEPTION 'a checkpoint of % events does not fit the ledger', size USING ERRCODE = 'RI003';
    END IF;
    IF size <= (SELECT max(number) FROM audit_checkpoint) THEN
        RAISE EXCEPTION 'a checkpoint of % events comes after a later one', size USING ERRCODE = 'RI003';
    END IF;
    INSERT INTO audit_checkpoint VALUES (size, root, note, clock_timestamp());
END $$;
"""

_RENEW = """
CREATE OR REPLACE FUNCTION ringi_renew_key(previous text, key text, details jsonb, reason text) RETURNS uuid
LANGUAGE plpgsql PINNED
AS $$
BEGIN
    IF coalesce(key, '') = '' OR coalesce(btrim(reason), '') = '' THEN
        RAISE EXCEPTION 'a new key is named with a reason' USING ERRCODE = 'RI003';
    END IF;
    RETURN ringi_write(
        'operation', jsonb_build_object('actor', 'worker:ledger_signer', 'channel', 'worker',
          'operation_id', gen_random_uuid()),
        'audit:renew_key', '', NULL,
        ringi_canonical(coalesce(details, '{}') || jsonb_build_object(
            'key', key, 'previous', previous, 'database_role', session_user)),
        reason, 'done');
END $$;
"""

FUNCTIONS = (_CANONICAL + _WRITE + _ROW + _LINK + _RENEW).replace("PINNED", _PINNED)

# A role that may create a temporary table could otherwise hang the trigger functions on it and forge events.
APPLICATION_FUNCTIONS = (
    "ringi_append(text, text, text, jsonb, jsonb, text, text)",
    "ringi_require(text)",
    "ringi_canonical(jsonb, integer)",
    "ringi_text(text)",
    "ringi_key_order(text)",
    "ringi_number(jsonb)",
)
LEDGER_SIGNER_FUNCTIONS = ("ringi_add_checkpoint(bigint, bytea, text)", "ringi_renew_key(text, text, jsonb, text)")
OWNER_FUNCTIONS = (
    "ringi_context()",
    "ringi_write(text, jsonb, text, text, text, text, text, text)",
    "ringi_break_glass(text, text)",
    "ringi_keyed(text)",
    "ringi_row_event()",
    "ringi_link()",
    "ringi_refuse()",
)

PRIVATE = "".join(
    f"REVOKE ALL ON FUNCTION {name} FROM PUBLIC;\n"
    for name in APPLICATION_FUNCTIONS + LEDGER_SIGNER_FUNCTIONS + OWNER_FUNCTIONS
)

LEDGER_TABLES = ("audit_event", "audit_ledgerentry", "audit_ledgerhead", "audit_checkpoint")

_APPEND_ONLY = "".join(
    f"""
CREATE OR REPLACE TRIGGER ringi_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION ringi_refuse();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER ringi_append_only;"""
    for table in LEDGER_TABLES
)

TRIGGERS = f"""
DROP TRIGGER IF EXISTS ringi_link ON audit_event;
CREATE CONSTRAINT TRIGGER ringi_link AFTER INSERT ON audit_event DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION ringi_link();
ALTER TABLE audit_event ENABLE ALWAYS TRIGGER ringi_link;
{_APPEND_ONLY}
"""
