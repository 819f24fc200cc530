-- The keys of personal columns, one for each row, made by migration 0004 and by the tests of the bare ledger.

CREATE TABLE audit_personal_key (
    object text COLLATE "C" PRIMARY KEY,
    key bytea NOT NULL CHECK (length(key) = 32)
);
