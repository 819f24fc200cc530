"""A part of the ledger is verified by itself: each event of it, where it begins and ends, and what is beside it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from audit import export_part
from audit.ledger.checkpoint import LedgerSigner
from audit.ledger.link import link_pending
from audit.ledger.note import KeyRing
from audit.ledger.parts import Broken
from audit.offline import ringi_verify
from tests.audit.conftest import LedgerDatabase, execute, fill

SIZES = (3, 4, 9, 16, 17, 23)


@pytest.fixture
def signer(ledger: LedgerDatabase, tmp_path: Path) -> LedgerSigner:
    """A ledger of 25 events with checkpoints at SIZES."""
    app, made = ledger.as_app(), LedgerSigner(tmp_path / "ledger_signer")
    before = 0
    for size in SIZES:
        fill(app, size - before)
        made.sign(app)
        before = size
    fill(app, 2)
    return made


def part(ledger: LedgerDatabase, first: int, last: int, key: Any = None, **options: Any) -> list[str]:
    """Return the lines of a part."""
    app = ledger.opened[0] if ledger.opened else ledger.as_app()
    with app.transaction():
        return list(export_part.lines(app, first, last, key=key, **options))


def verified(lines: list[str], signer: LedgerSigner, *kept: str) -> tuple[int, str]:
    """Return exit status and sentence of the offline verifier."""
    keys = [ringi_verify.parse_key(str(key)) for key in signer.keys]
    try:
        return ringi_verify.result(ringi_verify.verify(lines, kept, keys))
    except ringi_verify.Broken as broken:
        return 1, f"{broken.number}: {broken.what}"
    except ringi_verify.Inconclusive as why:
        return 2, str(why)


def note(ledger: LedgerDatabase, size: int) -> str:
    """Return a checkpoint as an auditor may have kept it."""
    return str(ledger.as_app().execute("SELECT note FROM audit_checkpoint WHERE number = %s", [size]).fetchone()[0])


def test_every_part_under_a_checkpoint_holds_by_itself(ledger: LedgerDatabase, signer: LedgerSigner) -> None:
    for first in range(1, 24):
        for last in range(first, 24):
            status, said = verified(part(ledger, first, last), signer)
            assert (status, said.split(",")[0]) == (0, f"HOLDS: events {first} to {last}"), (first, last, said)


def test_events_that_no_checkpoint_covers_are_said_not_to_be_signed(
    ledger: LedgerDatabase, signer: LedgerSigner
) -> None:
    assert "signed up to 23 of 25" in verified(part(ledger, 20, 25), signer)[1]
    assert verified(part(ledger, 24, 25), signer)[0] == 2


def test_each_altered_byte_of_a_part_is_found(ledger: LedgerDatabase, signer: LedgerSigner) -> None:
    lines = part(ledger, 6, 14)
    text = "".join(lines)
    for place in range(0, len(text), 7):
        if text[place] in "\n":
            continue
        other = text[:place] + ("x" if text[place] != "x" else "y") + text[place + 1 :]
        if json_equal(other, text):
            continue
        assert verified(other.splitlines(True), signer)[0] != 0, text[max(0, place - 60) : place + 20]


def json_equal(one: str, other: str) -> bool:
    """Tell whether a change of a byte left what is read as it was."""
    try:
        return [json.loads(line) for line in one.splitlines()] == [json.loads(line) for line in other.splitlines()]
    except ValueError:
        return False


@pytest.mark.parametrize("line", range(12))
def test_a_line_that_is_left_out_is_found(ledger: LedgerDatabase, signer: LedgerSigner, line: int) -> None:
    lines = part(ledger, 6, 14)
    assert json.loads(lines[1]).keys() == {"before", "path"} and json.loads(lines[2]).keys() == {"after", "path"}
    status, said = verified(lines[:line] + lines[line + 1 :], signer)
    # The checkpoint before connects the part with others; the one between is covered by the one behind.
    if line in (1, 7):
        assert status == 0 and "signed up to" not in said
    elif line == 2:
        assert "signed up to 9 of 14" in said
    else:
        assert status != 0, lines[line][:80]


def test_another_beginning_does_not_lead_to_the_signed_roots(ledger: LedgerDatabase, signer: LedgerSigner) -> None:
    lines = part(ledger, 6, 14)
    title = json.loads(lines[0])
    assert len(title["tree"]) == 2
    title["tree"][1] = "00" * 32
    # Without the checkpoint before, the one behind it shows it.
    status, said = verified([json.dumps(title), *lines[2:]], signer)
    assert status == 1 and "not those that the checkpoint of 9 events" in said, said


def test_the_checkpoint_behind_a_part_continues_its_tree(ledger: LedgerDatabase, signer: LedgerSigner) -> None:
    """No checkpoint lies in the part, and the one before it is left out."""
    lines = part(ledger, 10, 14)
    title = json.loads(lines[0])
    title["tree"][0] = "00" * 32
    status, said = verified([json.dumps(title), *lines[2:]], signer)
    assert status == 1 and "not those that the checkpoint of 16 events covers" in said, said


def test_a_kept_checkpoint_is_compared_wherever_it_lies(ledger: LedgerDatabase, signer: LedgerSigner) -> None:
    lines = part(ledger, 6, 14)
    for size in (4, 9, 16):
        assert verified(lines, signer, note(ledger, size))[0] == 0, size
    for size in (3, 23):
        status, said = verified(lines, signer, note(ledger, size))
        assert status == 2 and f"no proof about the earlier checkpoint of {size} events" in said


def test_a_kept_checkpoint_of_another_past_is_found(
    ledger: LedgerDatabase, signer: LedgerSigner, tmp_path: Path
) -> None:
    lines = part(ledger, 6, 14)
    for size in (4, 9, 16):
        lied = ringi_verify.parse_note(note(ledger, size))
        other = note(ledger, size).replace(base64.b64encode(lied[1]).decode(), base64.b64encode(b"x" * 32).decode())
        with pytest.raises(ringi_verify.Broken, match="differ|not those"):
            ringi_verify.verify(lines, [other], [])


def test_parts_that_follow_each_other_make_the_whole(ledger: LedgerDatabase, signer: LedgerSigner) -> None:
    one, other = part(ledger, 1, 12), part(ledger, 13, 23)
    assert json.loads(one[-1])["head"]["chain"] == json.loads(other[0])["chain"]


def test_a_key_that_was_renewed_within_the_part_is_believed(ledger: LedgerDatabase, signer: LedgerSigner) -> None:
    old, app = signer.keys[0], ledger.as_app()
    signer.renew_key(app, "試験")
    fill(app, 3)
    signer.sign(app)
    (last,) = app.execute("SELECT max(number) FROM audit_ledgerentry").fetchone()
    lines = part(ledger, 10, last, KeyRing(signer.keys))
    keys = [ringi_verify.parse_key(str(old))]
    assert ringi_verify.result(ringi_verify.verify(lines, [], keys))[0] == 0
    # The first event of a part names it: the checkpoint before is the one that the old key signed.
    (named,) = app.execute(
        "SELECT number FROM audit_ledgerentry l JOIN audit_event e ON e.id = l.event_id WHERE operation = %s",
        [ringi_verify.RENEWAL],
    ).fetchone()
    assert ringi_verify.result(ringi_verify.verify(part(ledger, named, last), [], keys))[0] == 0


def test_of_many_checkpoints_a_day_the_last_one_is_in_it(ledger: LedgerDatabase, signer: LedgerSigner) -> None:
    sizes = [
        ringi_verify.parse_note(json.loads(one)["checkpoint"])[0] for one in part(ledger, 2, 20) if "checkp" in one
    ]
    assert sizes == [17]


def test_a_part_of_an_altered_ledger_is_refused(ledger: LedgerDatabase, signer: LedgerSigner) -> None:
    root = ledger.as_superuser()
    root.execute("ALTER TABLE audit_ledgerentry DISABLE TRIGGER ALL")
    root.execute("UPDATE audit_ledgerentry SET leaf = decode(repeat('00', 32), 'hex') WHERE number = 12")
    with pytest.raises(Broken, match="does not follow"), root.transaction():
        list(export_part.lines(root, 10, 14))


def test_the_stamp_behind_the_part_and_one_of_a_checkpoint_before_it_are_verified(stamped: Any, tmp_path: Path) -> None:
    stamped.stamp(5)
    stamped.later()
    stamped.stamp(5)
    app = stamped.app
    (first,) = app.execute(
        "SELECT min(l.number) FROM audit_ledgerentry l JOIN audit_event e ON e.id = l.event_id WHERE operation = %s",
        [ringi_verify.STAMP],
    ).fetchone()
    with app.transaction():
        lines = list(export_part.lines(app, first, first + 2, key=KeyRing(stamped.signer.keys)))
    proofs = [json.loads(line) for line in lines if "path" in line]
    assert [sorted(one) for one in proofs] == [["before", "path"], ["after", "path", "token"]]
    file = tmp_path / "part.jsonl"
    file.write_text("".join(lines), "utf-8")
    words = [str(file), "--key", str(stamped.signer.public), "--time-stamp-ca", str(stamped.ca)]
    assert ringi_verify.main(words) == 0
    file.write_text("".join(lines).replace(proofs[1]["token"][100:140], "A" * 40), "utf-8")
    assert ringi_verify.main(words) == 1


def test_what_a_passkey_signed_is_checked_with_a_key_from_before_the_part(ledger: LedgerDatabase) -> None:
    """The event that names the passkey lies before the part, and is proved in the tree there."""
    app = ledger.as_app()
    fill(app, 5)
    execute(
        app,
        "SELECT ringi_append('operation', 'account:add_passkey', 'environments.Account:7', NULL, %s, '', 'done')",
        [json.dumps({"passkey": 1, "credential": "c", "site": "s", "key": {}})],
    )
    link_pending(app)
    fill(app, 3)
    lines = part(ledger, 8, 9)
    state = ringi_verify.verify(lines, [], [])
    assert isinstance(state, ringi_verify.Part) and state.passkeys.known[1][0] == "environments.Account:7"
    moved = [line.replace('"number":6', '"number":5') if '"path"' in line else line for line in lines]
    with pytest.raises(ringi_verify.Broken, match="do not lead to the root of the tree before"):
        ringi_verify.verify(moved, [], [])
