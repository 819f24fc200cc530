-- Events of rows, written by the trigger of each audited table. audit/ledger/functions.py replaces PINNED, and
-- PAIRS(value) by pairs.sql.

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
        SELECT PAIRS(cell.value), PAIRS((new_row -> cell.key)),
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
        SELECT PAIRS(cell.value) INTO after FROM jsonb_each(old_row) AS cell
            WHERE cell.key <> ALL (unaudited);
        outcome := 'inserted';
    ELSE
        old_row := to_jsonb(OLD);
        SELECT PAIRS(cell.value) INTO before FROM jsonb_each(old_row) AS cell
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
