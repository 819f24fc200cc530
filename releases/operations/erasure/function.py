"""The database's own guard of an erasure: the one function that empties history rows and destroys keys.

Any role may call it, and it does nothing but what the transaction of a confirmation allows.
"""

from typing import Any

from audit.ledger.row_function import SCHEMA

FUNCTION = f"""
CREATE OR REPLACE FUNCTION ringi_erase(bigint) RETURNS bigint LANGUAGE plpgsql {SCHEMA}
AS $$
DECLARE
    person text;
    emptied bigint;
BEGIN
    PERFORM ringi_require('erasure:confirm');
    -- Written in this transaction: a confirmation of before erases nothing twice.
    SELECT account_id::text INTO person FROM releases_erasure
    WHERE id = $1 AND confirmed_at IS NOT NULL AND confirmed_person <> requested_person
        AND xmin::text::bigint = (pg_current_xact_id()::text::bigint & 4294967295);
    IF person IS NULL OR ringi_context() ->> 'operation' IS DISTINCT FROM 'erasure:confirm' THEN
        RAISE EXCEPTION 'no two people confirm this erasure in this transaction' USING ERRCODE = 'RI003';
    END IF;
    emptied := ringi_row_environments_account_erase(ARRAY[person]);
    PERFORM ringi_row_environments_requestedchange_erase(ARRAY(
        SELECT id::text FROM environments_requestedchange WHERE account_id::text = person));
    PERFORM ringi_row_releases_teammember_erase(ARRAY(
        SELECT id::text FROM releases_teammember WHERE account_id::text = person));
    PERFORM ringi_row_releases_notificationdelivery_erase(ARRAY(
        SELECT d.id::text FROM releases_notificationdelivery d JOIN releases_inboxitem i ON i.id = d.inbox_item_id
        WHERE i.account_id::text = person));
    PERFORM ringi_row_releases_suppressedaddress_erase(ARRAY(
        SELECT id::text FROM releases_suppressedaddress WHERE address = ''));
    RETURN emptied;
END $$;
"""


def install(**signal: Any) -> None:
    """Create or replace the function; called after each migration of the app."""
    from django.db import connection

    if signal.get("using", "default") == "default":
        with connection.cursor() as cursor:
            cursor.execute(FUNCTION)
