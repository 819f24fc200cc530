"""What the owner of the tables can do to the past, and which of the product's own commands finds it.

The owner may drop and write everything in the database. The signer's folder, the public key and what was verified last
lie outside of it.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection

from audit import verification
from audit.ledger import checkpoint as cp
from audit.ledger.checkpoint import LedgerSigner
from audit.ledger.resumption import note_digest
from tests.audit.ledger.test_checkpoint import _rechain
from tests.conftest import _named, sign_ledger

Owner = psycopg.Connection[Any]
TABLES = ("audit_event", "audit_ledgerentry", "audit_ledgerhead", "audit_checkpoint")


@pytest.fixture
def owner(database: str, state_folder: Path, settings: Any) -> Iterator[Owner]:
    """The owner's session in a ledger that was signed twice and verified once."""
    with connection.cursor() as cursor:
        for n in range(6):
            cursor.execute(
                'SELECT set_config(\'ringi.context\', \'{"actor": "person:7:x", "operation": '
                '"access:confirm"}\', false)'
            )
            cursor.execute("INSERT INTO auth_group (name) VALUES (%s)", [f"group {n}"])
            if n == 3:
                sign_ledger(LedgerSigner(state_folder / "ledger_signer"))
        cursor.execute("SELECT set_config('ringi.context', '', false)")
    sign_ledger(LedgerSigner(state_folder / "ledger_signer"))
    (state_folder / "ledger.pub").write_bytes((state_folder / "ledger_signer" / "key.pub").read_bytes())
    settings.LEDGER_PUBLIC_KEY = str(state_folder / "ledger.pub")
    connection.ensure_connection()
    verification.remember(verification.verified(connection.connection))
    name = str(connection.settings_dict["NAME"])
    with psycopg.connect(_named(os.environ["DATABASE_OWNER_URL"], name), autocommit=True) as session:
        yield session


def _said(command: str, *options: str) -> tuple[int, str]:
    """Run a command of the product; return its exit status and what it said."""
    out = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command(command, *options, stdout=out)
    return int(str(ended.value.code)), out.getvalue()


def _signed(state: Path) -> str:
    """Sign as the signer does; return why it refuses, empty where it does not."""
    try:
        sign_ledger(LedgerSigner(state / "ledger_signer"))
    except cp.SigningRefused as refusal:
        return str(refusal)
    return ""


def _unguarded(owner: Owner) -> None:
    for table in TABLES:
        owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")


def _guarded(owner: Owner) -> None:
    for table in TABLES:
        owner.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER ringi_append_only")


def _rewritten(owner: Owner) -> None:
    """Another name stands in an event, and all fits again but what was signed."""
    _unguarded(owner)
    owner.execute(
        "UPDATE audit_event SET actor = 'person:8:y', bytes ="
        " convert_to(replace(convert_from(bytes, 'UTF8'), 'person:7:x', 'person:8:y'), 'UTF8')"
        " WHERE id = (SELECT id FROM audit_event WHERE actor = 'person:7:x' ORDER BY at DESC LIMIT 1)"
    )
    _rechain(owner)


def _signed_by_the_owner(owner: Owner, state: Path) -> LedgerSigner:
    """Sign all that there is with a key of the owner's, in place of the true checkpoints."""
    owner.execute("ALTER TABLE audit_checkpoint DISABLE TRIGGER USER")
    owner.execute("DELETE FROM audit_checkpoint")
    forger = LedgerSigner(state / "forger", origin=LedgerSigner(state / "ledger_signer").origin.rpartition("/")[0])
    cursor = owner.cursor()
    forger.sign_and_publish(cursor, *cp.grown(cursor, cp.Frontier(), bytes(32))[:2])
    return forger


def _altered(owner: Owner, _state: Path) -> None:
    _unguarded(owner)
    owner.execute("UPDATE audit_event SET actor = 'person:8:y' WHERE actor = 'person:7:x'")
    _guarded(owner)


def _cut(owner: Owner, _state: Path) -> None:
    _unguarded(owner)
    owner.execute(
        "DELETE FROM audit_event WHERE id = (SELECT event_id FROM audit_ledgerentry ORDER BY number DESC LIMIT 1)"
    )
    _rechain(owner)
    owner.execute("DELETE FROM audit_checkpoint WHERE number > (SELECT number FROM audit_ledgerhead)")
    _guarded(owner)


def _reordered(owner: Owner, _state: Path) -> None:
    _unguarded(owner)
    last = owner.execute("SELECT array_agg(event_id ORDER BY number) FROM audit_ledgerentry").fetchall()[0][0][-2:]
    owner.execute("DELETE FROM audit_ledgerentry WHERE event_id = ANY (%s)", [last])
    size = owner.execute("SELECT count(*) FROM audit_ledgerentry").fetchall()[0][0]
    for place, event in enumerate(reversed(last), size + 1):
        owner.execute("INSERT INTO audit_ledgerentry VALUES (%s, %s, %s, %s)", [place, event, bytes(32), bytes(32)])
    _rechain(owner)
    _guarded(owner)


def _signed_anew(owner: Owner, state: Path) -> None:
    _rewritten(owner)
    _signed_by_the_owner(owner, state)
    _guarded(owner)


def _name_a_key(owner: Owner, key: str) -> None:
    """Call the signer's own function, with a right that the owner takes and gives back."""
    owner.execute("INSERT INTO audit_operation_role VALUES ('audit:renew_key', session_user) ON CONFLICT DO NOTHING")
    owner.execute("SELECT ringi_renew_key('x', %s, '{}', 'yearly')", [key])
    owner.execute("DELETE FROM audit_operation_role WHERE role = session_user AND operation = 'audit:renew_key'")


def _renewed(owner: Owner, state: Path) -> None:
    """The owner names a key, and signs with it what it has rewritten."""
    key = LedgerSigner(state / "forger", origin=LedgerSigner(state / "ledger_signer").origin.rpartition("/")[0]).public
    _name_a_key(owner, str(key))
    _signed_anew(owner, state)


def _continued(owner: Owner, state: Path) -> None:
    """The owner rewrites, and writes that two persons let the signer go on."""
    _rewritten(owner)
    owner.execute("DELETE FROM audit_checkpoint")
    _guarded(owner)
    owner.execute("ALTER TABLE audit_ledgerresumption DISABLE TRIGGER ringi_capture")
    owner.execute(
        "INSERT INTO audit_ledgerresumption (digest, size, note, finding, reason, requested_by, "
        "requested_person, requested_at,"
        " confirmed_by, confirmed_person, confirmed_at)"
        " VALUES (%s, 0, '', '', 'x', 'person:1:a', 'employee:1', now(), 'person:2:b', 'employee:2', now())",
        [note_digest(LedgerSigner(state / "ledger_signer").note)],
    )
    owner.execute("ALTER TABLE audit_ledgerresumption ENABLE ALWAYS TRIGGER ringi_capture")


@pytest.mark.parametrize(
    ("attack", "refusal"),
    [
        (_altered, "is not what the bytes say"),
        (_cut, "are missing"),
        (_reordered, "are not those"),
        (_signed_anew, "is not the one signed here"),
        (_renewed, "is not the one signed here"),
        (_continued, "are not those"),
    ],
)
def test_a_past_that_was_altered_is_found_by_verification_and_refused_by_the_signer(
    owner: Owner, state_folder: Path, attack: Callable[[Owner, Path], None], refusal: str
) -> None:
    assert _said("audit_verify")[0] == 0
    attack(owner, state_folder)
    assert _said("audit_verify")[0] == 1
    # Also on a host that knows nothing of what was verified before, and where the signer's notes are not at hand.
    nowhere = str(state_folder / "nowhere" / "checkpoints.txt")
    (state_folder / "verifier" / "verified.json").unlink()
    status, _ = _said("audit_verify", "--checkpoints", nowhere)
    assert status == {_cut: 0, _continued: 2, _reordered: 1}.get(attack, 1)
    if attack is not _altered:  # what is signed already the signer does not read again: verification does
        assert refusal in _signed(state_folder)
        assert refusal in _signed(state_folder), "and once more"


def test_a_key_that_the_owner_names_is_refused_before_anything_is_signed_with_it(
    owner: Owner, state_folder: Path
) -> None:
    _name_a_key(owner, str(LedgerSigner(state_folder / "ledger_signer").public))
    assert "this signer did not make it" in _signed(state_folder)
    status, said = _said("audit_verify")
    assert status == 1 and "without the signature of the one before" in said


SWALLOW = "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (
            f"{SWALLOW}; CREATE TRIGGER a BEFORE INSERT ON audit_event FOR EACH ROW EXECUTE FUNCTION swallow()",
            "trigger a",
        ),
        (
            f"{SWALLOW}; CREATE TRIGGER a BEFORE INSERT ON auth_group FOR EACH ROW EXECUTE FUNCTION swallow()",
            "trigger a",
        ),
        ("ALTER TABLE auth_group DISABLE TRIGGER ringi_capture", "ringi_capture is disabled"),
        (
            "CREATE OR REPLACE FUNCTION ringi_row_auth_group() RETURNS trigger LANGUAGE plpgsql"
            " AS 'BEGIN RETURN NULL; END'",
            "function ringi_row_auth_group",
        ),
        (
            "CREATE FUNCTION to_json(text) RETURNS json LANGUAGE sql AS $$SELECT '\"y\"'::json$$",
            "function to_json(text)",
        ),
        ("CREATE RULE r AS ON INSERT TO audit_event DO INSTEAD NOTHING", "a rule r"),
        ("ALTER TABLE auth_group ENABLE ROW LEVEL SECURITY", "row security"),
    ],
)
def test_what_keeps_events_from_being_written_is_named(owner: Owner, harm: str, named: str) -> None:
    assert _said("audit_verify")[0] == 0
    with psycopg.connect(_named(os.environ["DATABASE_SERVER_URL"], owner.info.dbname), autocommit=True) as root:
        root.execute(harm)  # here the owner's role may create nothing in the schema; elsewhere it may
    status, said = _said("audit_verify")
    assert status == 1 and named in said


def test_a_row_that_was_changed_while_the_trigger_was_off_is_found_by_the_comparison(owner: Owner) -> None:
    assert _said("audit_reconcile")[0] == 0
    owner.execute("ALTER TABLE auth_group DISABLE TRIGGER ringi_capture")
    owner.execute("UPDATE auth_group SET name = 'owners' WHERE name = 'group 1'")
    owner.execute("ALTER TABLE auth_group ENABLE ALWAYS TRIGGER ringi_capture")
    assert _said("audit_verify")[0] == 0
    status, said = _said("audit_reconcile")
    assert status == 1 and "auth.Group" in said
