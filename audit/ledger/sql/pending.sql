-- Events that have no place in the chain yet, made by migration 0002 and by the tests of the bare ledger.

-- position: in the order in which the events were written, each while its row was locked.
CREATE TABLE audit_pending (
    event_id uuid PRIMARY KEY,
    position bigint GENERATED ALWAYS AS IDENTITY,
    tx bigint NOT NULL
);
DROP INDEX audit_event_tx;
