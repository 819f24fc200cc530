-- The chain over the events, and what the ledger signer writes. audit/ledger/functions.py replaces PINNED.

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
        hash := sha256('\x00'::bytea || event.bytes);
        previous := sha256('\x01'::bytea || previous || hash);
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
