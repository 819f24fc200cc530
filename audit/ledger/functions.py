"""The functions of the ledger inside PostgreSQL, from the folder `sql`; `audit.capture.install` creates them.

Beside them each audited table has a function of its own (audit.ledger.row_function).
"""

from audit.ledger.row_function import PINNED
from audit.ledger.sql import text_of

FUNCTIONS = "".join(map(text_of, ("canonical", "commit", "write", "link"))).replace("PINNED", PINNED)
LEDGER_TABLES = ("audit_event", "audit_pending", "audit_ledgerentry", "audit_ledgerhead", "audit_checkpoint")
# A role that may create a temporary table could otherwise hang the trigger functions on it and forge events.
APPLICATION_FUNCTIONS = (
    "ringi_append(text, text, text, jsonb, jsonb, text, text)",
    "ringi_require(text)",
    "ringi_canonical(jsonb, integer)",
    "ringi_text(text)",
    "ringi_nfc(text)",
    "ringi_key_order(text)",
    "ringi_number(jsonb)",
    # What waits is linked in the one order that it has, so it does not matter who asks for it.
    "ringi_link()",
)
LEDGER_SIGNER_FUNCTIONS = ("ringi_add_checkpoint(bigint, bytea, text)", "ringi_renew_key(text, text, jsonb, text)")
OWNER_FUNCTIONS = (
    "ringi_context()",
    "ringi_write(text, jsonb, text, text, text, text, text, text)",
    "ringi_row(text, text, text, text)",
    "ringi_break_glass(text, text)",
    "ringi_keyed(text)",
    "ringi_commitment(text, text, text)",
    "ringi_personal(text, text, text)",
    "ringi_empty(jsonb)",
    "ringi_refuse()",
)
PRIVATE = "".join(
    f"REVOKE ALL ON FUNCTION {name} FROM PUBLIC;\n"
    for name in APPLICATION_FUNCTIONS + LEDGER_SIGNER_FUNCTIONS + OWNER_FUNCTIONS
)
