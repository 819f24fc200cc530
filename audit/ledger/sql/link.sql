-- The chain over the events, and what the ledger signer writes. audit/ledger/functions.py replaces PINNED.

CREATE OR REPLACE FUNCTION ringi_link() RETURNS bigint LANGUAGE plpgsql PINNED
-- A plan made while the tables were small would read them whole for as long as the connection lives.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    place bigint;
    previous bytea;
    hash bytea;
    event record;
    events uuid[] := '{}';
    leaves bytea[] := '{}';
    chains bytea[] := '{}';
    linked bigint := 0;
BEGIN
    SELECT number, chain INTO place, previous FROM audit_ledgerhead WHERE id = 1 FOR UPDATE;
    IF place IS NULL THEN RETURN 0; END IF;  -- verification names what is missing, and what waits without reason
    PERFORM set_config('ringi.linking', 'on', true);
    -- A transaction that changes a row waits until the one before has committed, and is visible only together with it.
    -- So the later version of a row has the later number, if transactions are ordered by their last events.
    FOR event IN
        SELECT pending.event_id, audit_event.bytes, count(*) OVER () AS of
        FROM (SELECT event_id, position, max(position) OVER (PARTITION BY tx) AS last FROM audit_pending) AS pending
        JOIN audit_event ON audit_event.id = pending.event_id
        WHERE NOT EXISTS (SELECT FROM audit_ledgerentry WHERE audit_ledgerentry.event_id = pending.event_id)
        ORDER BY pending.last, pending.position
    LOOP
        hash := sha256('\x00'::bytea || event.bytes);
        previous := sha256('\x01'::bytea || previous || hash);
        events := events || event.event_id;
        leaves := leaves || hash;
        chains := chains || previous;
        linked := linked + 1;
        IF linked % 10000 = 0 OR linked = event.of THEN
            INSERT INTO audit_ledgerentry
                SELECT place + link.number, link.event, link.leaf, link.chain
                FROM unnest(events, leaves, chains) WITH ORDINALITY AS link(event, leaf, chain, number);
            DELETE FROM audit_pending WHERE event_id = ANY (events);
            place := place + cardinality(events);
            UPDATE audit_ledgerhead SET number = place, chain = previous WHERE id = 1;
            events := '{}';
            leaves := '{}';
            chains := '{}';
        END IF;
    END LOOP;
    PERFORM set_config('ringi.linking', '', true);
    RETURN linked;
END $$;

CREATE OR REPLACE FUNCTION ringi_refuse() RETURNS trigger LANGUAGE plpgsql
AS $$
BEGIN
    -- The link function moves the head, and takes what it links from what is pending.
    IF current_setting('ringi.linking', true) = 'on'
        AND (TG_TABLE_NAME, TG_OP) IN (('audit_ledgerhead', 'UPDATE'), ('audit_pending', 'DELETE')) THEN
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
