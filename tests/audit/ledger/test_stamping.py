"""Time stamps of checkpoints by a real authority: which are kept, what they prove, and what is found."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from audit import export
from audit.ledger import checkpoint as cp, stamping, time_stamps
from audit.ledger.note import KeyRing
from audit.ledger.parts import Finding
from audit.ledger.stamping import INTERVAL, RETRY_SECONDS, Stamping
from audit.offline import ringi_verify
from tests.audit.conftest import LedgerDatabase, events, fill
from tests.time_stamping import Authority

FORGE = "ALTER TABLE audit_event DISABLE TRIGGER ALL"


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Authority]]:
    """Return a function that starts an authority."""
    started: list[Authority] = []

    def start(*arguments: Any, **options: Any) -> Authority:
        started.append(Authority(tmp_path / f"authority-{len(started)}", *arguments, **options))
        return started[-1]

    yield start
    for one in started:
        one.close()


class Stamped:
    """A signer whose checkpoints an authority stamps, and the clock that says when one is due."""

    def __init__(self, ledger: LedgerDatabase, folder: Path, authority: Authority, trusted: Authority) -> None:
        self.app, self.now, self.authority = ledger.as_app(), time.time(), authority
        self.signer, self.ca = cp.LedgerSigner(folder / "ledger_signer"), trusted.ca
        known = ringi_verify.Authority(str(self.ca))
        self.stamping = Stamping(self.signer, authority.url, known, clock=lambda: self.now)

    def stamp(self, count: int = 3) -> list[str]:
        """Write events, sign them, have them stamped when that is due, and sign the stamp; return what failed."""
        fill(self.app, count)
        self.signer.sign(self.app)
        failed = list(self.stamping.carrying(self.app))
        self.signer.sign(self.app)
        return failed

    def later(self, seconds: float = INTERVAL + 1) -> None:
        """Let time pass for the signer."""
        self.now += seconds

    def export(self, file: Path) -> Path:
        """Write the export."""
        file.write_text("".join(export.lines(self.app, KeyRing(self.signer.keys))), "utf-8")
        return file

    def findings(self, behind: int = 0) -> list[Finding]:
        """Return what the verification in the database finds."""
        with self.app.cursor() as cursor:
            return list(time_stamps.findings(cursor, ringi_verify.Authority(str(self.ca)), behind))

    def of(self, outcome: str) -> list[dict[str, Any]]:
        """Return the events of this outcome."""
        found = [one for one in events(self.app) if one["operation"] == "audit:time_stamp"]
        return [one for one in found if one["outcome"] == outcome]


@pytest.fixture
def stamped(ledger: LedgerDatabase, tmp_path: Path, make: Callable[..., Authority]) -> Stamped:
    """A signer with an authority that it trusts."""
    authority = make()
    return Stamped(ledger, tmp_path, authority, authority)


def _verify(capsys: Any, *words: Any) -> tuple[int, str]:
    status = ringi_verify.main([str(word) for word in words])
    return status, capsys.readouterr().out


def test_a_stamp_is_kept_once_a_day_as_an_event_and_in_the_signers_folder(stamped: Stamped) -> None:
    assert stamped.stamp() == stamped.stamp() == []
    (event,) = stamped.of("done")
    assert (event["object"], event["after"]["size"], event["kind"]) == ("audit.Checkpoint:3", 3, "access")
    file = stamped.signer.folder / "time_stamps.jsonl"
    with file.open("ab") as out:
        out.write(b'{"note": "cut')  # by a crash
    stamped.later()
    assert stamped.stamp() == []
    first, second = map(json.loads, file.read_text("utf-8").splitlines())
    assert [event["after"]["token"] for event in stamped.of("done")] == [first["token"], second["token"]]
    assert [ringi_verify.parse_note(one["note"])[0] for one in (first, second)] == [3, 10]
    assert stamped.findings() == []
    # A new process asks the ledger when the last one came.
    again = Stamping(stamped.signer, stamped.authority.url, ringi_verify.Authority(str(stamped.ca)))
    assert list(again.carrying(stamped.app)) == [] and len(stamped.authority.asked) == 2


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("nonce", "its time stamp does not verify: nonce mismatch"),
        ("hash", "its time stamp does not verify: message imprint mismatch"),
        ("garbage", "its time stamp does not verify: "),
        ("503", "it answered 503"),
        ("large", "its answer is longer than 65536 bytes"),
        ("silent", "it did not answer within 1 s"),
    ],
)
def test_another_answer_is_thrown_away_and_recorded_once(
    stamped: Stamped, monkeypatch: Any, answer: str, said: str
) -> None:
    monkeypatch.setattr(stamping, "LONGEST_SECONDS", 1.0)
    stamped.authority.answer = answer
    (failed,) = stamped.stamp()
    assert failed.startswith(f"{stamped.authority.url}: {said}")
    assert stamped.stamp() == []  # not due
    stamped.later(RETRY_SECONDS + 1)
    assert len(stamped.stamp()) == 1
    failures = stamped.of("failed")
    assert failures[0]["after"]["said"].startswith(said)
    # A call that still hangs is another fault than the first.
    assert len(failures) == (2 if answer == "silent" else 1)
    assert (stamped.of("done"), (stamped.signer.folder / "time_stamps.jsonl").exists()) == ([], False)
    state = time_stamps.last_stamp(stamped.app)
    assert state.fault == failures[-1]["after"]["said"] and state.at is None and state.age is not None
    if answer != "silent":
        stamped.authority.answer = "good"
        stamped.later(RETRY_SECONDS + 1)
        assert stamped.stamp() == [] and time_stamps.last_stamp(stamped.app).fault == ""


def test_a_stamp_by_another_authority_is_not_kept(
    ledger: LedgerDatabase, tmp_path: Path, make: Callable[..., Authority]
) -> None:
    stamped = Stamped(ledger, tmp_path, make(), trusted=make())  # of the same names
    (failed,) = stamped.stamp()
    assert "does not verify: certificate verify error" in failed and stamped.of("done") == []


@pytest.mark.parametrize("days", [(-9, -1), (1, 9)], ids=["ended", "not yet"])
def test_a_stamp_by_a_certificate_that_does_not_hold_now_is_not_kept(stamped: Stamped, days: tuple[int, int]) -> None:
    stamped.authority.certify(days)
    (failed,) = stamped.stamp()
    assert "does not verify: certificate verify error" in failed and stamped.of("done") == []


def test_a_certificate_of_another_use_makes_no_stamp(stamped: Stamped, tmp_path: Path) -> None:
    """openssl refuses to sign with it, so the token is made as a CMS of the same form."""
    stamped.stamp()
    token = base64.b64decode(stamped.of("done")[0]["after"]["token"])
    stamped.authority.certify((-1, 365), x509.ExtendedKeyUsageOID.CODE_SIGNING)
    folder = stamped.authority.folder
    (tmp_path / "token").write_bytes(token)
    words = "cms -verify -noverify -inform DER -in token -out content"
    subprocess.run(["openssl", *words.split()], check=True, capture_output=True, cwd=tmp_path)
    words = "cms -sign -cades -binary -nodetach -econtent_type 1.2.840.113549.1.9.16.1.4 -in content -outform DER"
    words += f" -signer {folder}/tsa.pem -inkey {folder}/tsa.key -out other"
    subprocess.run(["openssl", *words.split()], check=True, capture_output=True, cwd=tmp_path)
    known, other = ringi_verify.Authority(str(stamped.ca)), (tmp_path / "other").read_bytes()
    digest = _digest(stamped, 3)
    assert known.time(other) == known.time(token)
    assert known.fault(token, digest, int(time.time())) == ""
    assert "unsuitable certificate purpose" in known.fault(other, digest, int(time.time()))


def _digest(stamped: Stamped, size: int) -> str:
    (note,) = stamped.app.execute("SELECT note FROM audit_checkpoint WHERE number = %s", [size]).fetchone()
    return ringi_verify.sha256(note.encode()).hexdigest()


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
        assert _verify(capsys, file, "--key", stamped.signer.public, *words)[0] == 2


def test_an_export_without_a_stamp_proves_no_time(stamped: Stamped, tmp_path: Path, capsys: Any) -> None:
    fill(stamped.app, 2)
    stamped.signer.sign(stamped.app)
    file = stamped.export(tmp_path / "ledger.jsonl")
    status, out = _verify(capsys, file, "--key", stamped.signer.public, "--time-stamp-ca", stamped.ca)
    assert status == 2 and "CAN'T TELL when the ledger existed" in out


def test_a_ledger_that_was_written_long_before_its_first_stamp_is_said_to_be(
    ledger: LedgerDatabase, stamped: Stamped, tmp_path: Path, capsys: Any
) -> None:
    _clock(ledger, -2 * 24 * 60)
    fill(stamped.app, 2)
    _clock(ledger, 0)
    stamped.stamp()
    file = stamped.export(tmp_path / "ledger.jsonl")
    status, out = _verify(capsys, file, "--key", stamped.signer.public, "--time-stamp-ca", stamped.ca)
    assert status == 0 and "each event within 2.0 days of its own time" in out


def _details(stamped: Stamped, authority: Authority, size: int) -> dict[str, Any]:
    """Return what an event would say of a stamp that an authority makes beside the signer."""
    query, answer, token = (authority.folder / name for name in ("its-query", "its-answer", "token"))
    run = ringi_verify.Authority.run
    run("ts", "-query", "-digest", _digest(stamped, size), "-sha256", "-cert", "-out", str(query))
    answer.write_bytes(authority.reply(query.read_bytes()))
    run("ts", "-reply", "-in", str(answer), "-token_out", "-out", str(token))
    stated = time.gmtime(ringi_verify.Authority(str(stamped.ca)).time(token.read_bytes()))
    encoded = base64.b64encode(token.read_bytes()).decode()
    return {"token": encoded, "time": time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", stated)}


def _forged(stamped: Stamped, ledger: LedgerDatabase, **changed: Any) -> None:
    """Put an event with another stamp into the ledger, as a thief of the signer's database password could."""
    after = stamped.of("done")[-1]["after"] | changed
    fill(stamped.app, 1)
    stamping.write_access(stamped.app, "audit:time_stamp", "audit.Checkpoint:3", after, "done")
    stamped.signer.sign(stamped.app)


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
        _forged(stamped, ledger, size=4)  # the same stamp, of a later checkpoint
    elif change == "authority":
        _forged(stamped, ledger, **_details(stamped, make(), 3))
    elif change == "bit":
        _forged(stamped, ledger, token=base64.b64encode(true[:-1] + bytes([true[-1] ^ 1])).decode())
    elif change == "time":
        _forged(stamped, ledger, time="2020-01-01T00:00:00.000000Z")
    else:
        _forged(stamped, ledger, size=2)
    last = len(events(stamped.app))
    assert [(one.number, said in one.what) for one in stamped.findings()] == [(last, True)]
    assert stamped.findings(behind=last) == []
    file = stamped.export(tmp_path / "ledger.jsonl")
    status, out = _verify(capsys, file, "--key", stamped.signer.public, "--time-stamp-ca", stamped.ca)
    assert status == 1 and f"TIME STAMP at number {last}: " in out and said in out and "TIME: events 1 to 3" in out


def test_a_malformed_stamp_is_found(ledger: LedgerDatabase, stamped: Stamped, tmp_path: Path, capsys: Any) -> None:
    stamped.stamp()
    _forged(stamped, ledger, token=7)
    last = len(events(stamped.app))
    assert [one.number for one in stamped.findings()] == [last]
    status, out = _verify(capsys, stamped.export(tmp_path / "l"), "--key", stamped.signer.public)
    assert status == 1 and f"BROKEN at number {last}" in out


def test_each_altered_byte_of_a_token_is_found(stamped: Stamped) -> None:
    """But for those that nothing signs, such as the copy of the trusted certificate: the stamp states the same."""
    stamped.stamp()
    token = base64.b64decode(stamped.of("done")[0]["after"]["token"])
    known, digest = ringi_verify.Authority(str(stamped.ca)), _digest(stamped, 3)
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
    assert _verify(capsys, old, *words)[0] == _verify(capsys, both, *words)[0] == 0
    monkeypatch.setattr(ringi_verify, "time", lambda: time.time() + 86400 * 99)
    status, out = _verify(capsys, old, *words)
    assert status == 2 and "the certificates of its time stamps have ended" in out
    status, out = _verify(capsys, both, *words)
    assert status == 0 and "(2 time stamps, " in out
    monkeypatch.setattr(ringi_verify, "time", lambda: time.time() + 86400 * 9998)
    assert _verify(capsys, both, *words)[0] == 2


def test_a_later_stamp_of_an_earlier_checkpoint_renews_nothing(
    ledger: LedgerDatabase, stamped: Stamped, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    stamped.authority.certify((-1, 10))
    stamped.stamp()
    stamped.authority.certify((-1, 9000))
    _forged(stamped, ledger, **_details(stamped, stamped.authority, 3))
    file = stamped.export(tmp_path / "ledger.jsonl")
    words = (file, "--key", stamped.signer.public, "--time-stamp-ca", stamped.ca)
    monkeypatch.setattr(ringi_verify, "time", lambda: time.time() + 86400 * 99)
    out = _verify(capsys, *words)[1]
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
    status, out = _verify(capsys, stamped.export(tmp_path / "true"), *words)
    assert status == 0 and "TIME: events 1 to 5 existed" in out
    other, signer = before.as_app(), cp.LedgerSigner(folder)
    fill(other, 7)
    signer.sign(other)
    file = tmp_path / "rewritten"
    file.write_text("".join(export.lines(other, KeyRing(signer.keys))), "utf-8")
    status, out = _verify(capsys, file, *words)
    assert status == 1 and "events 1 to 5 are not those that the checkpoint of 5 events was signed for" in out


def _clock(ledger: LedgerDatabase, minutes: int) -> None:
    """Set the clock that the ledger reads."""
    admin = ledger.as_superuser()
    (body,) = admin.execute("SELECT pg_get_functiondef('ringi_write'::regproc)").fetchone()
    plain = body.replace("moment timestamptz := clock_timestamp()", "moment timestamptz := AT")
    plain = ringi_verify.re.sub(r"moment timestamptz := [^;]*", "moment timestamptz := AT", plain)
    admin.execute(plain.replace(":= AT", f":= clock_timestamp() + interval '{minutes} minutes'"))


@pytest.mark.parametrize(("minutes", "found"), [(4, False), (-4, False), (6, True), (-6, True)])
def test_a_clock_of_the_ledger_that_differs_by_more_than_five_minutes_is_found(
    ledger: LedgerDatabase, stamped: Stamped, tmp_path: Path, capsys: Any, minutes: int, found: bool
) -> None:
    _clock(ledger, minutes)
    stamped.stamp()
    wanted = f"the clock of the ledger is {minutes:+d}"[:-1]
    assert any(one.what.startswith(wanted) for one in stamped.findings()) == found
    assert bool(stamped.findings()) == found
    file = stamped.export(tmp_path / "ledger.jsonl")
    status, out = _verify(capsys, file, "--key", stamped.signer.public, "--time-stamp-ca", stamped.ca)
    assert (status, "TIME STAMP at number 4: the clock of the ledger is" in out) == (int(found), found)
    assert "TIME: events 1 to 3 existed" in out


@pytest.mark.parametrize("minutes", [-6, 6], ids=["before", "after"])
def test_an_event_whose_time_contradicts_the_stamps_around_it_is_found(
    ledger: LedgerDatabase, stamped: Stamped, tmp_path: Path, capsys: Any, minutes: int
) -> None:
    """The clock was set only between two stamps, so that each stamp agrees with it."""
    stamped.stamp()
    _clock(ledger, minutes)
    fill(stamped.app, 2)
    stamped.signer.sign(stamped.app)
    _clock(ledger, 0)
    stamped.later()
    stamped.stamp()
    number = 5 if minutes < 0 else 6
    assert [one.what.startswith("it says a time") for one in stamped.findings()] == [True]
    assert stamped.findings()[0].number == 5
    assert [one.number for one in stamped.findings(behind=4)] == [5]
    file = stamped.export(tmp_path / "ledger.jsonl")
    status, out = _verify(capsys, file, "--key", stamped.signer.public, "--time-stamp-ca", stamped.ca)
    assert status == 1 and f"TIME at number {number}: it says a time" in out
