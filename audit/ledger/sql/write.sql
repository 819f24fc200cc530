-- Events that an operation, or a person under break-glass, writes. audit/ledger/functions.py replaces PINNED.
-- Numbers of errors: RI001 no actor, RI002 append only (also the key of an audited row), RI003 a wrong call, RI004 an
-- operation of another process.

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
    actor text := ringi_nfc(context ->> 'actor');
    channel text := ringi_nfc(coalesce(context ->> 'channel', ''));
BEGIN
    operation := ringi_nfc(coalesce(operation, ''));
    PERFORM ringi_require(operation);
    object := ringi_nfc(coalesce(object, ''));
    reason := ringi_nfc(coalesce(reason, ''));
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
    INSERT INTO audit_pending (event_id, tx) VALUES (event, transaction);
    RETURN event;
END $$;

CREATE OR REPLACE FUNCTION ringi_keyed(value text) RETURNS bytea LANGUAGE sql STABLE
AS $$ SELECT sha256(outer_pad || sha256(inner_pad || convert_to(value, 'UTF8'))) FROM audit_digest_key $$;

-- An event of a row, for the capture functions of the tables (audit/ledger/row_function.py).
CREATE OR REPLACE FUNCTION ringi_row(change text, object text, before text, after text) RETURNS uuid LANGUAGE plpgsql
AS $$
DECLARE
    context jsonb := ringi_context();
    outcome text := CASE change WHEN 'INSERT' THEN 'inserted' WHEN 'UPDATE' THEN 'updated' ELSE 'deleted' END;
BEGIN
    RETURN ringi_write('row', context, context ->> 'operation', object, before, after, context ->> 'reason', outcome);
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
