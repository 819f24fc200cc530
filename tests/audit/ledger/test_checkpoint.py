"""Notes in the C2SP form, and a ledger signer that never signs against its own memory."""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.ledger import checkpoint as cp
from audit.ledger.note import BadNote, Checkpoint, PublicKey, append_note, notes_of, read, sign
from audit.ledger.proof import tree_hash
from audit.offline import ringi_verify, ringi_witness
from tests.audit.conftest import LedgerDatabase, fill

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = PublicKey("ringi.example/log", PRIVATE.public_key().public_bytes_raw())
CLAIM = Checkpoint("ringi.example/log", 42, sha256(b"x").digest())


def test_a_note_has_origin_size_root_blank_line_and_signature() -> None:
    note = sign(CLAIM, PRIVATE)
    origin, size, root, blank, signature, rest = note.split("\n")
    assert (origin, size, blank, rest) == ("ringi.example/log", "42", "", "")
    assert base64.b64decode(root) == CLAIM.root
    dash, name, blob = signature.split(" ")
    assert (dash, name) == ("—", "ringi.example/log")
    raw = base64.b64decode(blob)
    assert raw[:4] == sha256(b"ringi.example/log\n\x01" + KEY.public).digest()[:4]
    PRIVATE.public_key().verify(raw[4:], f"{origin}\n{size}\n{root}\n".encode())
    assert read(note, KEY) == CLAIM


def test_a_key_is_read_as_it_was_written() -> None:
    assert PublicKey.parse(str(KEY)) == KEY
    for wrong in ("", "a+b", str(KEY).replace("log", "lag"), str(KEY)[:-4]):
        with pytest.raises(BadNote):
            PublicKey.parse(wrong)


def test_a_note_changed_in_any_character_is_refused() -> None:
    note = sign(CLAIM, PRIVATE)
    for place, character in enumerate(note):
        changed = note[:place] + ("B" if character == "A" else "A") + note[place + 1 :]
        try:
            understood = read(changed, KEY)
        except BadNote:
            continue
        # Base64 has spare bits at its end; whatever still verifies says the same.
        assert understood == CLAIM


@pytest.mark.parametrize(
    "change",
    [
        lambda note: note.replace("\n42\n", "\n042\n"),
        lambda note: note.replace("\n42\n", "\n-2\n"),
        lambda note: note.replace("\n\n", "\n"),
        lambda note: note.rstrip("\n"),
        lambda note: note.split("— ")[0],
        lambda note: note.replace("— ringi.example/log", "— other.example"),
        lambda note: sign(CLAIM, Ed25519PrivateKey.generate()),
        lambda note: "",
    ],
)
def test_a_malformed_or_foreign_note_is_refused(change) -> None:
    with pytest.raises(BadNote):
        read(change(sign(CLAIM, PRIVATE)), KEY)


def test_signatures_of_others_are_ignored() -> None:
    note = sign(CLAIM, PRIVATE)
    witness = sign(Checkpoint("witness.example", 42, CLAIM.root), Ed25519PrivateKey.generate())
    assert read(note + witness.split("\n\n")[1], KEY) == CLAIM


def test_a_size_has_nineteen_digits_at_most() -> None:
    """A note of a thousand digits would keep its reader busy."""
    longest, longer = (sign(Checkpoint(CLAIM.origin, size, CLAIM.root), PRIVATE) for size in (10**19 - 1, 10**19))
    assert read(longest, KEY).size == ringi_verify.parse_note(longest)[0] == 10**19 - 1
    huge = longer.replace(f"\n{10**19}\n", f"\n{5000 * '9'}\n")
    for note in (longer, huge):
        with pytest.raises(BadNote):
            read(note, KEY)
        with pytest.raises(ValueError, match="malformed"):
            ringi_verify.parse_note(note)


@pytest.mark.parametrize("append", [append_note, ringi_witness.append_note], ids=["ledger_signer", "witness"])
def test_a_note_that_a_crash_cut_is_cut_off_before_the_next(
    tmp_path: Path, append: Callable[[Path, str], None]
) -> None:
    """At any byte, and with the zeros or the noise that a file system may leave."""
    first, second, third = (sign(Checkpoint(CLAIM.origin, size, CLAIM.root), PRIVATE) for size in (1, 22, 333))
    raw = second.encode()
    tails = [
        *(raw[:end] for end in range(len(raw))),
        bytes(9000),
        raw[:-1] + bytes(70),
        b"\n" * 5000,
        raw[:-9] + b"\xff" * 30,
    ]
    for before in ([], [first], [first] * 40):
        for tail in tails:
            file = tmp_path / "checkpoints.txt"
            file.write_bytes("".join(before).encode() + tail)
            append(file, third)
            assert list(notes_of(file)) == ringi_verify.split_notes(file.read_text()) == [*before, third], tail


def test_the_ledger_signer_publishes_again_what_a_crash_cut(ledger: LedgerDatabase, tmp_path: Path) -> None:
    app, file = ledger.as_app(), tmp_path / "checkpoints.txt"
    for count in (3, 2):
        fill(app, count)
        cp.LedgerSigner(tmp_path).sign(app)
    whole = file.read_bytes()
    for cut in (1, 30, 90, 100):
        file.write_bytes(whole[:-cut])
        assert cp.LedgerSigner(tmp_path).sign(app) is None and file.read_bytes() == whole
        file.write_bytes(whole[:-cut])
        fill(app, 1)
        after = cp.LedgerSigner(tmp_path)
        assert after.sign(app) is not None
        assert file.read_bytes() == (whole := whole + after.note.encode())


def _leaves(ledger: LedgerDatabase) -> list[bytes]:
    return [row[0] for row in ledger.as_app().execute("SELECT leaf FROM audit_ledgerentry ORDER BY number").fetchall()]


def test_the_ledger_signer_signs_each_growth_once_inside_and_outside(ledger: LedgerDatabase, tmp_path: Path) -> None:
    app = ledger.as_app()
    signer = cp.LedgerSigner(tmp_path / "ledger_signer")
    assert signer.sign(app) is None
    fill(app, 5)
    first = signer.sign(app)
    assert first is not None and (first.size, first.root) == (5, tree_hash(_leaves(ledger)))
    assert signer.sign(app) is None
    fill(app, 8, per_transaction=4)
    again = cp.LedgerSigner(tmp_path / "ledger_signer")
    second = again.sign(app)
    assert second is not None and (second.size, second.root) == (13, tree_hash(_leaves(ledger)))
    notes = list(notes_of(tmp_path / "ledger_signer" / "checkpoints.txt"))
    assert [read(note, again.public) for note in notes] == [first, second]
    kept = app.execute("SELECT number, root, note FROM audit_checkpoint ORDER BY number").fetchall()
    assert kept == [(5, first.root, notes[0]), (13, second.root, notes[1])]


def test_the_ledger_signers_files_are_private(tmp_path: Path) -> None:
    cp.LedgerSigner(tmp_path / "ledger_signer")
    assert stat.S_IMODE((tmp_path / "ledger_signer").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "ledger_signer" / "key").stat().st_mode) == 0o600


def test_a_crash_between_signing_and_publishing_is_made_good(ledger: LedgerDatabase, tmp_path: Path) -> None:
    app = ledger.as_app()
    signer = cp.LedgerSigner(tmp_path)
    fill(app, 3)
    signer.sign(app)
    fill(app, 1)
    with app.transaction(force_rollback=True):
        signer.sign(app)  # remembered and in the file, but not in the database
    assert cp.LedgerSigner(tmp_path).sign(app) is None
    assert app.execute("SELECT array_agg(number ORDER BY number) FROM audit_checkpoint").fetchone() == ([3, 4],)
    assert len(list(notes_of(tmp_path / "checkpoints.txt"))) == 2


def _unguard(ledger: LedgerDatabase):
    admin = ledger.as_superuser()
    for table in ("audit_event", "audit_ledgerentry", "audit_ledgerhead", "audit_checkpoint"):
        admin.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
    return admin


def _rechain(admin) -> None:
    """Forge a chain that fits the bytes as they now are, as someone with all rights in the database could."""
    chain, links = bytes(32), []
    rows = admin.execute(
        "SELECT e.id, e.bytes FROM audit_ledgerentry l JOIN audit_event e ON e.id = l.event_id ORDER BY l.number"
    ).fetchall()
    admin.execute("DELETE FROM audit_ledgerentry")
    for number, (event, content) in enumerate(rows, 1):
        leaf = sha256(b"\x00" + content).digest()
        chain = sha256(b"\x01" + chain + leaf).digest()
        links.append((number, event, leaf, chain))
    with admin.cursor() as cursor:
        cursor.executemany("INSERT INTO audit_ledgerentry VALUES (%s, %s, %s, %s)", links)
    admin.execute("UPDATE audit_ledgerhead SET number = %s, chain = %s", [len(links), chain])


def test_the_ledger_signer_refuses_a_shorter_ledger(ledger: LedgerDatabase, tmp_path: Path) -> None:
    app = ledger.as_app()
    fill(app, 4)
    cp.LedgerSigner(tmp_path).sign(app)
    admin = _unguard(ledger)
    admin.execute("DELETE FROM audit_event WHERE id = (SELECT event_id FROM audit_ledgerentry WHERE number = 4)")
    _rechain(admin)
    with pytest.raises(cp.SigningRefused, match="from number 4 on are missing"):
        cp.LedgerSigner(tmp_path).sign(app)


def test_the_ledger_signer_refuses_a_rewritten_ledger_even_when_it_has_grown(
    ledger: LedgerDatabase, tmp_path: Path
) -> None:
    app = ledger.as_app()
    fill(app, 4)
    cp.LedgerSigner(tmp_path).sign(app)
    admin = _unguard(ledger)
    admin.execute(
        "UPDATE audit_event SET bytes = bytes || ' '::bytea"
        " WHERE id = (SELECT event_id FROM audit_ledgerentry WHERE number = 2)"
    )
    _rechain(admin)
    fill(app, 4)
    with pytest.raises(cp.SigningRefused, match="the first 4 events are not those"):
        cp.LedgerSigner(tmp_path).sign(app)


def test_the_ledger_signer_refuses_new_events_that_do_not_fit(ledger: LedgerDatabase, tmp_path: Path) -> None:
    app = ledger.as_app()
    fill(app, 2)
    cp.LedgerSigner(tmp_path).sign(app)
    fill(app, 3)
    _unguard(ledger).execute(
        "UPDATE audit_event SET bytes = bytes || ' '::bytea"
        " WHERE id = (SELECT event_id FROM audit_ledgerentry WHERE number = 4)"
    )
    with pytest.raises(cp.SigningRefused, match="number 4: the bytes of the event do not hash"):
        cp.LedgerSigner(tmp_path).sign(app)


def test_the_ledger_signer_refuses_an_exchanged_checkpoint_a_lost_memory_and_a_lost_key(
    ledger: LedgerDatabase, tmp_path: Path
) -> None:
    app = ledger.as_app()
    fill(app, 2)
    cp.LedgerSigner(tmp_path).sign(app)
    admin = _unguard(ledger)
    (note,) = admin.execute("UPDATE audit_checkpoint SET note = note || ' ' RETURNING rtrim(note)").fetchone()
    with pytest.raises(cp.SigningRefused, match="not the one signed here"):
        cp.LedgerSigner(tmp_path).sign(app)
    admin.execute("UPDATE audit_checkpoint SET note = rtrim(note, ' ')")
    assert cp.LedgerSigner(tmp_path).sign(app) is None
    (tmp_path / "state.json").rename(tmp_path / "elsewhere")
    with pytest.raises(cp.SigningRefused, match="does not remember"):
        cp.LedgerSigner(tmp_path).sign(app)
    (tmp_path / "elsewhere").rename(tmp_path / "state.json")
    (tmp_path / "key").unlink()
    with pytest.raises(cp.SigningRefused, match="key is missing"):
        cp.LedgerSigner(tmp_path)


def test_a_restored_backup_is_found_even_after_new_events(ledger: LedgerDatabase, clone, tmp_path: Path) -> None:
    fill(ledger.as_app(), 10)
    backup = clone(ledger)
    app = ledger.as_app()
    fill(app, 5)
    cp.LedgerSigner(tmp_path).sign(app)
    restored = backup.as_app()
    with pytest.raises(cp.SigningRefused, match="from number 11 on are missing"):
        cp.LedgerSigner(tmp_path).sign(restored)
    fill(restored, 9)
    with pytest.raises(cp.SigningRefused, match="the first 15 events are not those"):
        cp.LedgerSigner(tmp_path).sign(restored)


def test_a_checkpoint_that_does_not_fit_the_ledger_is_refused_by_the_database(ledger: LedgerDatabase) -> None:
    app = ledger.as_app()
    fill(app, 3)
    for size in (0, 4, None):
        with pytest.raises(Exception, match="does not fit"):
            app.execute("SELECT ringi_add_checkpoint(%s::bigint, sha256('x'), 'note')", [size])
    app.execute("SELECT ringi_add_checkpoint(3, sha256('x'), 'note')")
    with pytest.raises(Exception, match="comes after a later one"):
        app.execute("SELECT ringi_add_checkpoint(3, sha256('y'), 'note')")


def test_the_state_is_readable_json(ledger: LedgerDatabase, tmp_path: Path) -> None:
    app = ledger.as_app()
    fill(app, 3)
    cp.LedgerSigner(tmp_path).sign(app)
    state = json.loads((tmp_path / "state.json").read_text())
    assert state["size"] == 3 and len(state["frontier"]) == 2
