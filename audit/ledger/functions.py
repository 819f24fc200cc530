"""The functions of the ledger inside PostgreSQL, from the folder `sql`; `audit.capture.install` creates them."""

from audit.ledger.sql import text_of

# The names pinned here are the schema and the settings that change how PostgreSQL writes a value as text.
_PINNED = """SECURITY DEFINER
SET search_path = public, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'
SET intervalstyle = 'postgres' SET bytea_output = 'hex' SET extra_float_digits = 1"""

FUNCTIONS = "".join(map(text_of, ("canonical", "write", "row_event", "link"))).replace("PINNED", _PINNED)
for value in ("cell.value", "(new_row -> cell.key)"):
    FUNCTIONS = FUNCTIONS.replace(f"PAIRS({value})", text_of("pairs").strip().replace("VALUE", value))
TRIGGERS = text_of("triggers")

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
