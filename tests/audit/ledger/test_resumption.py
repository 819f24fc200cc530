"""A new key that the old one signed, and resumption after a restore, seen by both verifiers."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from audit import export
from audit.ledger import checkpoint as cp
from audit.ledger.chain import BROKEN, HOLDS, verify
from audit.ledger.note import BadNote, Checkpoint, KeyRing, notes_of, read, sign
from audit.ledger.resumption import REFUSAL, offered, resume, write_refusal
from audit.offline import ringi_verify
from audit.offline.ringi_verify import RENEWAL
from tests.audit.conftest import LedgerDatabase, events, execute, fill
from tests.audit.ledger.test_checkpoint import _rechain, _unguard


def _offline(lines: list[str], keys: list[Any], notes: list[str] = []) -> tuple[int, str]:  # noqa: B006
    try:
        ringi_verify.verify(lines, notes, [ringi_verify.parse_key(str(key)) for key in keys])
    except ringi_verify.Broken as broken:
        return 1, f"{broken.number}: {broken.what}"
    except ringi_verify.Inconclusive as fault:
        return 2, str(fault)
    return 0, ""


def app_note(app: psycopg.Connection[Any], size: int) -> str:
    """Return the checkpoint of a size as the ledger has it."""
    (note,) = app.execute("SELECT note FROM audit_checkpoint WHERE number = %s", [size]).fetchall()
    return str(note[0])


def test_a_new_key_signed_by_a_believed_key_is_believed(ledger: LedgerDatabase, tmp_path: Path) -> None:
    app = ledger.as_app()
    fill(app, 3)
    signer = cp.LedgerSigner(tmp_path)
    signer.sign(app)
    old = signer.public
    new = signer.renew_key(app, "yearly")
    assert new == signer.public != old and signer.origin == old.name
    fill(app, 2)
    again = cp.LedgerSigner(tmp_path)
    last = again.sign(app)
    assert last is not None and last.size == 6 and again.keys == [old, new]
    named = events(app)[3]
    assert (named["operation"], named["actor"], named["reason"]) == (RENEWAL, "worker:ledger_signer", "yearly")
    assert (named["after"]["previous"], named["after"]["key"]) == (str(old), str(new))
    assert read(named["after"]["note"], old) == read(app_note(app, 3))
    notes = list(notes_of(tmp_path / "checkpoints.txt"))
    assert [read(note).size for note in notes] == [3, 4, 6]
    assert read(notes[1], old).size == 4 and read(notes[2], new).size == 6
    with pytest.raises(BadNote):
        read(notes[2], old)
    lines = list(export.lines(app, KeyRing((old, new))))
    for keys in ([old], [old, new]):
        assert verify(app, key=keys, notes=notes).exit_status == HOLDS
        assert _offline(lines, keys, notes) == (0, "")
    # A key that the believed one never signed stays unknown: here the new key, which does not vouch for the old.
    assert verify(app, key=[new]).exit_status == BROKEN
    assert _offline(lines, [new])[0] == 1


def test_a_key_named_by_anyone_but_the_ledger_signer_is_not_believed(ledger: LedgerDatabase, tmp_path: Path) -> None:
    app = ledger.as_app()
    signer, forger = cp.LedgerSigner(tmp_path / "true"), cp.LedgerSigner(tmp_path / "false")
    with pytest.raises(psycopg.Error, match="only the ledger signer names its key"):
        execute(
            app, "SELECT ringi_append('operation', %s, '', NULL, %s, 'x', 'done')", [RENEWAL, json.dumps({"key": "x"})]
        )
    # A row may carry any name of an operation; it is no announcement.
    execute(app, "INSERT INTO toy (facts) VALUES (%s)", [json.dumps({"key": str(forger.public)})], operation=RENEWAL)
    fill(app, 2)
    signer.sign(app)
    _unguard(ledger).execute("DELETE FROM audit_checkpoint")
    forger.sign(app)
    assert verify(app, key=signer.public).exit_status == BROKEN
    lines = list(export.lines(app, signer.public))
    assert "bears no signature" in _offline(lines, [signer.public])[1]


def test_a_renewal_cut_short_anywhere_is_taken_up_again(ledger: LedgerDatabase, tmp_path: Path) -> None:
    app = ledger.as_app()
    fill(app, 1)
    signer = cp.LedgerSigner(tmp_path)
    signer.sign(app)
    old = signer.public

    class Cut(Exception):
        pass

    def cut(*_: Any) -> None:
        raise Cut

    signer.sign = cut
    with pytest.raises(Cut):
        signer.renew_key(app, "yearly")  # named, not signed
    between = cp.LedgerSigner(tmp_path)
    assert between.public == old
    between.sign(app)
    new = cp.LedgerSigner(tmp_path).renew_key(app, "yearly")
    assert [event["operation"] for event in events(app)].count(RENEWAL) == 1
    fill(app, 1)
    assert cp.LedgerSigner(tmp_path).public == new
    cp.LedgerSigner(tmp_path).sign(app)
    assert verify(app, key=old).exit_status == HOLDS


def _renewed_by_the_owner(
    ledger: LedgerDatabase, forger: cp.LedgerSigner, details: dict[str, Any], key: Any = None
) -> None:
    ledger.as_owner().execute(
        "SELECT ringi_renew_key('x', %s, %s::jsonb, 'yearly')", [str(key or forger.public), json.dumps(details)]
    )


def test_a_key_that_the_owner_of_the_tables_names_is_refused_and_found(ledger: LedgerDatabase, tmp_path: Path) -> None:
    app, forger = ledger.as_app(), cp.LedgerSigner(tmp_path / "false")
    fill(app, 3)
    signer = cp.LedgerSigner(tmp_path / "true")
    signer.sign(app)
    _renewed_by_the_owner(ledger, forger, {})
    with pytest.raises(cp.SigningRefused, match="number 4 names another key, and this signer did not make it"):
        signer.sign(app)
    found = verify(app, key=signer.public).finding
    assert found is not None and (found.number, "without the signature" in found.what) == (4, True)
    lines = list(export.lines(app, signer.public))
    assert _offline(lines, [signer.public])[1].startswith("4: it names another key")
    # The owner signs with that key from now on, also what lies behind; no verifier believes it.
    forger.frontier, forger.chain, forger.note = signer.frontier, signer.chain, signer.note
    forger.remembers, forger.origin = True, signer.origin
    tree, chain, _keyed = cp.grown(app.cursor(), forger.frontier, forger.chain)
    forger.sign_and_publish(app.cursor(), tree, chain)
    found = verify(app, key=signer.public).finding
    assert found is not None and "bears no signature" in found.what
    assert "bears no signature" in _offline(list(export.lines(app, signer.public)), [signer.public])[1]


@pytest.mark.parametrize("forgery", ["its own note", "another key's line", "an older note", "another root"])
def test_a_renewal_that_borrows_or_makes_up_its_signature_is_refused_and_found(
    ledger: LedgerDatabase, tmp_path: Path, forgery: str
) -> None:
    app, forger, signer = ledger.as_app(), cp.LedgerSigner(tmp_path / "false"), cp.LedgerSigner(tmp_path / "true")
    fill(app, 3)
    signer.sign(app)
    claim = read(signer.note)
    if forgery == "its own note":
        details = {"note": sign(claim, forger.private, forger.public)}
    elif forgery == "another key's line":
        details = {"note": sign(claim, signer.private, signer.public)}
    elif forgery == "an older note":
        fill(app, 2)
        signer.sign(app)
        details = {"note": sign(claim, signer.private, forger.public)}
    else:
        details = {"note": sign(Checkpoint(claim.origin, claim.size, bytes(32)), signer.private, forger.public)}
    _renewed_by_the_owner(ledger, forger, details)
    with pytest.raises(cp.SigningRefused, match="names another key"):
        signer.sign(app)
    assert verify(app, key=signer.public).exit_status == BROKEN
    assert _offline(list(export.lines(app, signer.public)), [signer.public])[0] == 1


def test_a_key_that_is_not_in_the_folder_is_refused_also_when_an_old_key_signed_it(
    ledger: LedgerDatabase, tmp_path: Path
) -> None:
    """The holder of a retired key could sign the next one; the signer knows which ones it made."""
    app, forger, signer = ledger.as_app(), cp.LedgerSigner(tmp_path / "false"), cp.LedgerSigner(tmp_path / "true")
    fill(app, 3)
    signer.sign(app)
    _renewed_by_the_owner(ledger, forger, {"note": sign(read(signer.note), signer.private, forger.public)})
    with pytest.raises(cp.SigningRefused, match="did not make it"):
        signer.sign(app)


def _approval(admin: psycopg.Connection[Any], digest: str, second: str = "employee:2") -> None:
    """Two persons' decision, as environments/operations/ledger records it."""
    admin.execute(
        "INSERT INTO audit_ledgerresumption (digest, size, note, finding, reason, requested_by, "
        "requested_person, requested_at,"
        " confirmed_by, confirmed_person, confirmed_at)"
        " VALUES (%s, 0, '', '', '復元', 'person:1:a', 'employee:1', now(), 'person:2:b', %s, now())",
        [digest, second],
    )


@pytest.fixture
def restored(
    ledger: LedgerDatabase, clone: Callable[..., LedgerDatabase], tmp_path: Path
) -> tuple[LedgerDatabase, list[str], Any]:
    """A backup of 10 events, signed at 10, restored after 15 were signed; the auditor's notes and the first key."""
    fill(ledger.as_app(), 10)
    signer = cp.LedgerSigner(tmp_path)
    signer.sign(ledger.as_app())
    backup = clone(ledger)
    fill(ledger.as_app(), 5)
    signer.sign(ledger.as_app())
    return backup, list(notes_of(tmp_path / "checkpoints.txt")), signer.public


def _refused(folder: Path, app: psycopg.Connection[Any]) -> str:
    signer = cp.LedgerSigner(folder)
    with pytest.raises(cp.SigningRefused) as refusal:
        signer.sign(app)
    write_refusal(signer, app, str(refusal.value))
    return str(refusal.value)


def test_it_resumes_only_by_a_code_given_on_its_host_and_with_two_persons(restored: Any, tmp_path: Path) -> None:
    backup, notes, old = restored
    app, admin = backup.as_app(), backup.as_superuser()
    assert "from number 11 on are missing" in _refused(tmp_path, app)
    _refused(tmp_path, app)  # said once
    (said,) = [event for event in events(app) if event["operation"] == REFUSAL]
    assert said["after"]["note"] == notes[-1] and said["after"]["size"] == 15
    unagreed = offered(cp.LedgerSigner(tmp_path), app)
    assert (unagreed.agreement, unagreed.agreed, unagreed.lost, unagreed.size) == (None, 10, 15, 11)
    with pytest.raises(cp.SigningRefused, match="two persons have not agreed"):
        resume(cp.LedgerSigner(tmp_path), app, unagreed.code)
    with admin.transaction(force_rollback=True), pytest.raises(psycopg.errors.CheckViolation):
        _approval(admin, said["after"]["digest"], second="employee:1")
    _approval(admin, "ab" * 32)
    assert offered(cp.LedgerSigner(tmp_path), app).agreement is None
    _approval(admin, said["after"]["digest"])
    with pytest.raises(cp.SigningRefused):
        cp.LedgerSigner(tmp_path).sign(app)  # what stands in the database is not enough
    offer = offered(cp.LedgerSigner(tmp_path), app)
    fill(app, 1)  # work goes on meanwhile
    for wrong in ("", "x", unagreed.code, offer.code[:-1], offer.code.replace("11-", "12-"), "11", "99-" + "0" * 16):
        with pytest.raises(cp.SigningRefused, match="is not the code"):
            resume(cp.LedgerSigner(tmp_path), app, wrong)
    signer = cp.LedgerSigner(tmp_path)
    resume(signer, app, offer.code)
    named = events(app)[-1]
    assert named["operation"] == RENEWAL and named["reason"] == "復元"
    assert named["after"] | {"agreed": 10, "lost": 15, "lost_note": notes[-1]} == named["after"]
    assert named["after"]["accepted"] == offer.code and "@" in named["after"]["accepted_by"]
    assert signer.public != old
    fill(app, 4)
    assert cp.LedgerSigner(tmp_path).sign(app) is not None
    # From now on the ledger signer's own folder agrees with the ledger …
    kept = list(notes_of(tmp_path / "checkpoints.txt"))
    assert [read(note).size for note in kept] == [10, 13, 17]
    assert verify(app, key=cp.LedgerSigner(tmp_path).keys, notes=kept).exit_status == HOLDS
    # … what was remembered is kept beside …
    (before,) = tmp_path.glob("before-*")
    assert list(notes_of(before / "checkpoints.txt")) == notes
    assert json.loads((before / "accepted.json").read_text())["accepted"] == offer.code
    # … and a holder of the lost checkpoint still finds that events are gone.
    lines, keys = list(export.lines(app, None)), cp.LedgerSigner(tmp_path).keys
    found = verify(app, key=keys, notes=notes)
    assert found.finding is not None and found.finding.number == 11
    assert _offline(lines, keys, notes)[1].startswith("11: ")
    assert _offline(lines, keys, notes[:1]) == (0, "")
    # A key that no believed key signed is not believed.
    assert _offline(lines, [old], notes[:1])[0] == 1


def test_a_rewritten_past_is_shown_for_what_it_is_before_it_is_accepted(ledger: LedgerDatabase, tmp_path: Path) -> None:
    """The owner rewrites an event, deletes the checkpoints, and writes that two persons agreed."""
    app = ledger.as_app()
    for _ in range(2):
        fill(app, 5)
        cp.LedgerSigner(tmp_path).sign(app)
    admin = _unguard(ledger)
    admin.execute(
        "UPDATE audit_event SET actor = 'person:8:x', bytes = convert_to(replace(convert_from(bytes, 'UTF8'),"
        " 'person:7:佐藤 花子', 'person:8:x'), 'UTF8') WHERE id = (SELECT event_id FROM audit_ledgerentry WHERE "
        "number = 7)"
    )
    _rechain(admin)
    admin.execute("DELETE FROM audit_checkpoint")
    assert "the first 10 events are not those" in _refused(tmp_path, app)
    (said,) = [event for event in events(app) if event["operation"] == REFUSAL]
    _approval(admin, said["after"]["digest"])
    with pytest.raises(cp.SigningRefused):
        cp.LedgerSigner(tmp_path).sign(app)
    offer = offered(cp.LedgerSigner(tmp_path), app)
    assert (offer.agreed, offer.lost, offer.size) == (5, 10, 11) and offer.agreement is not None
    # Checkpoints that the owner made up do not count as what the signer signed.
    forger = cp.LedgerSigner(tmp_path / "false")
    forger.sign_and_publish(admin.cursor(), *cp.grown(admin.cursor(), cp.Frontier(), bytes(32))[:2])
    assert offered(cp.LedgerSigner(tmp_path), app).agreed == 5
    forged = sign(Checkpoint(forger.origin, 7, bytes(32)), forger.private)
    admin.execute("INSERT INTO audit_checkpoint VALUES (7, %s, %s, now())", [bytes(32), forged])
    with pytest.raises(cp.SigningRefused, match="contradicts its own checkpoint of 7 events"):
        offered(cp.LedgerSigner(tmp_path), app)


def test_it_does_not_resume_with_a_ledger_that_was_altered(restored: Any, tmp_path: Path) -> None:
    backup, _notes, _old = restored
    app = backup.as_app()
    _refused(tmp_path, app)
    admin = _unguard(backup)
    (said,) = [event for event in events(app) if event["operation"] == REFUSAL]
    _approval(backup.as_superuser(), said["after"]["digest"])
    admin.execute(
        "UPDATE audit_event SET bytes = bytes || ' '::bytea"
        " WHERE id = (SELECT event_id FROM audit_ledgerentry WHERE number = 3)"
    )
    with pytest.raises(cp.SigningRefused, match="number 3: the bytes of the event do not hash"):
        offered(cp.LedgerSigner(tmp_path), app)
    admin.execute("UPDATE audit_event SET bytes = rtrim(bytes, ' '), actor = 'person:8:x'")
    admin.execute(
        'UPDATE audit_event SET bytes = convert_to(regexp_replace(convert_from(bytes, \'UTF8\'), \'"actor":"[^"]*"\','
        " '\"actor\":\"person:8:x\"'), 'UTF8')"
    )
    _rechain(admin)
    with pytest.raises(cp.SigningRefused, match="contradicts its own checkpoint of 10 events"):
        offered(cp.LedgerSigner(tmp_path), app)


def test_a_ledger_signer_that_lost_its_memory_resumes_in_the_same_way(ledger: LedgerDatabase, tmp_path: Path) -> None:
    app = ledger.as_app()
    fill(app, 4)
    cp.LedgerSigner(tmp_path / "lost").sign(app)
    assert "does not remember" in _refused(tmp_path / "new", app)
    (said,) = [event for event in events(app) if event["operation"] == REFUSAL]
    _approval(ledger.as_superuser(), said["after"]["digest"])
    signer = cp.LedgerSigner(tmp_path / "new")
    assert offered(signer, app).agreed == 0, "an empty folder can't tell what was signed"
    resume(signer, app, offered(signer, app).code)
    assert signer.sign(app) is None
    keys = [*cp.LedgerSigner(tmp_path / "lost").keys, *signer.keys]
    assert verify(app, key=keys).exit_status == HOLDS


def test_a_resumption_cut_short_between_key_and_memory_is_taken_up_again(restored: Any, tmp_path: Path) -> None:
    backup, _notes, _old = restored
    app = backup.as_app()
    _refused(tmp_path, app)
    (said,) = [event for event in events(app) if event["operation"] == REFUSAL]
    _approval(backup.as_superuser(), said["after"]["digest"])
    signer = cp.LedgerSigner(tmp_path)

    class Cut(Exception):
        pass

    def cut(*_: Any) -> None:
        raise Cut

    signer.sign_and_publish = cut
    code = offered(signer, app).code
    with pytest.raises(Cut):
        resume(signer, app, code)
    again = cp.LedgerSigner(tmp_path)
    with pytest.raises(cp.SigningRefused):
        again.sign(app)
    resume(again, app, code)
    assert verify(app, key=cp.LedgerSigner(tmp_path).keys).exit_status == HOLDS
    assert base64.b64decode((tmp_path / "key").read_text().split()[1])
