"""What the time stamps in an export prove offline, and what the verifiers find in false ones."""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from audit import export
from audit.ledger import checkpoint as cp
from audit.ledger.note import KeyRing
from audit.offline import ringi_verify
from tests.audit.conftest import LedgerDatabase, events, fill
from tests.audit.stamped import Stamped, details, digest_of, forge, set_clock, verify
from tests.time_stamping import Authority


def test_the_export_proves_offline_when_it_existed(stamped: Stamped, tmp_path: Path, capsys: Any) -> None:
    stamped.stamp()
    stamped.later()
    stamped.stamp(2)
    away = tmp_path / "away"
    away.mkdir()
    file = stamped.export(away / "ledger.jsonl")
    shutil.copy(ringi_verify.__file__, away / "ringi_verify.py")
    shutil.copy(stamped.ca, away / "tsa.pem")
    command = [sys.executable, "-I", "-S", "ringi_verify.py", "ledger.jsonl", "--key", str(stamped.signer.public)]
    done = subprocess.run([*command, "--time-stamp-ca", "tsa.pem"], cwd=away, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    holds, said = done.stdout.splitlines()
    assert holds.startswith("HOLDS: 7 events")
    assert (
        said.startswith("TIME: events 1 to 6 existed at 20")
        and "by the clock of CN=Test TSA (2 time stamps, each" in said
    )
    done = subprocess.run(command, cwd=away, capture_output=True, text=True)
    assert done.returncode == 0 and "NOT VERIFIED: 2 time stamps" in done.stdout
    bare = {"PATH": "/nonexistent"}
    done = subprocess.run([*command, "--time-stamp-ca", "tsa.pem"], cwd=away, capture_output=True, text=True, env=bare)
    assert done.returncode == 2 and "needs the program openssl" in done.stdout
    for words in (["--time-stamp-ca", str(away / "none.pem")], ["--time-stamp-ca", str(file)]):
        assert verify(capsys, file, "--key", stamped.signer.public, *words)[0] == 2


def test_an_export_without_a_stamp_proves_no_time(stamped: Stamped, tmp_path: Path, capsys: Any) -> None:
    fill(stamped.app, 2)
    stamped.signer.sign(stamped.app)
    file = stamped.export(tmp_path / "ledger.jsonl")
    status, out = verify(capsys, file, "--key", stamped.signer.public, "--time-stamp-ca", stamped.ca)
    assert status == 2 and "CAN'T TELL when the ledger existed" in out


def test_a_ledger_that_was_written_long_before_its_first_stamp_is_said_to_be(
    ledger: LedgerDatabase, stamped: Stamped, tmp_path: Path, capsys: Any
) -> None:
    set_clock(ledger, -2 * 24 * 60)
    fill(stamped.app, 2)
    set_clock(ledger, 0)
    stamped.stamp()
    file = stamped.export(tmp_path / "ledger.jsonl")
    status, out = verify(capsys, file, "--key", stamped.signer.public, "--time-stamp-ca", stamped.ca)
    assert status == 0 and "each event within 2.0 days of its own time" in out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("bytes", "does not verify: message imprint mismatch"),
        ("authority", "does not verify: certificate verify error"),
        ("bit", "does not verify: "),
        ("time", "it states another time than the event"),
        ("checkpoint", "is of a checkpoint of 2 events that is not in the ledger"),
    ],
)
def test_a_false_stamp_is_found_in_the_database_and_offline(
    ledger: LedgerDatabase,
    stamped: Stamped,
    make: Callable[..., Authority],
    tmp_path: Path,
    capsys: Any,
    change: str,
    said: str,
) -> None:
    stamped.stamp()
    true = base64.b64decode(stamped.of("done")[0]["after"]["token"])
    if change == "bytes":
        forge(stamped, ledger, size=4)  # the same stamp, of a later checkpoint
    elif change == "authority":
        forge(stamped, ledger, **details(stamped, make(), 3))
    elif change == "bit":
        forge(stamped, ledger, token=base64.b64encode(true[:-1] + bytes([true[-1] ^ 1])).decode())
    elif change == "time":
        forge(stamped, ledger, time="2020-01-01T00:00:00.000000Z")
    else:
        forge(stamped, ledger, size=2)
    last = len(events(stamped.app))
    assert [(one.number, said in one.what) for one in stamped.findings()] == [(last, True)]
    assert stamped.findings(behind=last) == []
    file = stamped.export(tmp_path / "ledger.jsonl")
    status, out = verify(capsys, file, "--key", stamped.signer.public, "--time-stamp-ca", stamped.ca)
    assert status == 1 and f"TIME STAMP at number {last}: " in out and said in out and "TIME: events 1 to 3" in out


def test_a_malformed_stamp_is_found(ledger: LedgerDatabase, stamped: Stamped, tmp_path: Path, capsys: Any) -> None:
    stamped.stamp()
    forge(stamped, ledger, token=7)
    last = len(events(stamped.app))
    assert [one.number for one in stamped.findings()] == [last]
    status, out = verify(capsys, stamped.export(tmp_path / "l"), "--key", stamped.signer.public)
    assert status == 1 and f"BROKEN at number {last}" in out


def test_each_altered_byte_of_a_token_is_found(stamped: Stamped) -> None:
    """But for those that nothing signs, such as the copy of the trusted certificate: the stamp states the same."""
    stamped.stamp()
    token = base64.b64decode(stamped.of("done")[0]["after"]["token"])
    known, digest = ringi_verify.Authority(str(stamped.ca)), digest_of(stamped, 3)
    root = x509.load_pem_x509_certificate(stamped.ca.read_bytes()).public_bytes(serialization.Encoding.DER)
    moment, begin, passed = known.time(token), token.index(root), 0
    for place in range(0, len(token), 13):
        altered = token[:place] + bytes([token[place] ^ 1]) + token[place + 1 :]
        try:
            stated = known.time(altered)
        except ValueError:
            continue
        if not known.fault(altered, digest, moment):
            assert stated == moment
            passed += not begin <= place < begin + len(root)
    assert passed < 3


def test_a_later_stamp_renews_the_proof_of_one_whose_certificate_has_ended(
    stamped: Stamped, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    words = ("--key", stamped.signer.public, "--time-stamp-ca", stamped.ca)
    stamped.authority.certify((-1, 10))
    stamped.stamp()
    old = stamped.export(tmp_path / "old.jsonl")
    stamped.later()
    stamped.authority.certify((-1, 9000))
    stamped.stamp(2)
    both = stamped.export(tmp_path / "both.jsonl")
    assert verify(capsys, old, *words)[0] == verify(capsys, both, *words)[0] == 0
    monkeypatch.setattr(ringi_verify, "time", lambda: time.time() + 86400 * 99)
    status, out = verify(capsys, old, *words)
    assert status == 2 and "the certificates of its time stamps have ended" in out
    status, out = verify(capsys, both, *words)
    assert status == 0 and "(2 time stamps, " in out
    monkeypatch.setattr(ringi_verify, "time", lambda: time.time() + 86400 * 9998)
    assert verify(capsys, both, *words)[0] == 2


def test_a_later_stamp_of_an_earlier_checkpoint_renews_nothing(
    ledger: LedgerDatabase, stamped: Stamped, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    stamped.authority.certify((-1, 10))
    stamped.stamp()
    stamped.authority.certify((-1, 9000))
    forge(stamped, ledger, **details(stamped, stamped.authority, 3))
    file = stamped.export(tmp_path / "ledger.jsonl")
    words = (file, "--key", stamped.signer.public, "--time-stamp-ca", stamped.ca)
    monkeypatch.setattr(ringi_verify, "time", lambda: time.time() + 86400 * 99)
    out = verify(capsys, *words)[1]
    assert "; 1 more prove nothing today)" in out


def test_stamps_that_the_reader_kept_show_a_rewritten_ledger(
    ledger: LedgerDatabase, stamped: Stamped, clone: Callable[..., LedgerDatabase], tmp_path: Path, capsys: Any
) -> None:
    fill(stamped.app, 2)
    stamped.signer.sign(stamped.app)
    before = clone(ledger)
    folder, stamped.app = shutil.copytree(stamped.signer.folder, tmp_path / "rewriter"), ledger.as_app()
    stamped.stamp()
    kept = stamped.signer.folder / "time_stamps.jsonl"
    words = ("--key", stamped.signer.public, "--time-stamp-ca", stamped.ca, "--time-stamps", kept)
    status, out = verify(capsys, stamped.export(tmp_path / "true"), *words)
    assert status == 0 and "TIME: events 1 to 5 existed" in out
    other, signer = before.as_app(), cp.LedgerSigner(folder)
    fill(other, 7)
    signer.sign(other)
    file = tmp_path / "rewritten"
    file.write_text("".join(export.lines(other, KeyRing(signer.keys))), "utf-8")
    status, out = verify(capsys, file, *words)
    assert status == 1 and "events 1 to 5 are not those that the checkpoint of 5 events was signed for" in out


@pytest.mark.parametrize(("minutes", "found"), [(4, False), (-4, False), (6, True), (-6, True)])
def test_a_clock_of_the_ledger_that_differs_by_more_than_five_minutes_is_found(
    ledger: LedgerDatabase, stamped: Stamped, tmp_path: Path, capsys: Any, minutes: int, found: bool
) -> None:
    set_clock(ledger, minutes)
    stamped.stamp()
    wanted = f"the clock of the ledger is {minutes:+d}"[:-1]
    assert any(one.what.startswith(wanted) for one in stamped.findings()) == found
    assert bool(stamped.findings()) == found
    file = stamped.export(tmp_path / "ledger.jsonl")
    status, out = verify(capsys, file, "--key", stamped.signer.public, "--time-stamp-ca", stamped.ca)
    assert (status, "TIME STAMP at number 4: the clock of the ledger is" in out) == (int(found), found)
    assert "TIME: events 1 to 3 existed" in out


@pytest.mark.parametrize("minutes", [-61, 6], ids=["before", "after"])
def test_an_event_whose_time_contradicts_the_stamps_around_it_is_found(
    ledger: LedgerDatabase, stamped: Stamped, tmp_path: Path, capsys: Any, minutes: int
) -> None:
    """The clock was set only between two stamps, so that each stamp agrees with it."""
    stamped.stamp()
    set_clock(ledger, minutes)
    fill(stamped.app, 2)
    stamped.signer.sign(stamped.app)
    set_clock(ledger, 0)
    stamped.later()
    stamped.stamp()
    number = 5 if minutes < 0 else 6
    assert [one.what.startswith("it says a time") for one in stamped.findings()] == [True]
    assert stamped.findings()[0].number == 5
    assert [one.number for one in stamped.findings(behind=4)] == [5]
    file = stamped.export(tmp_path / "ledger.jsonl")
    status, out = verify(capsys, file, "--key", stamped.signer.public, "--time-stamp-ca", stamped.ca)
    assert status == 1 and f"TIME at number {number}: it says a time" in out
