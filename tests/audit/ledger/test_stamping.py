"""Time stamps of checkpoints by a real authority: which are kept, and which are thrown away."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from audit.ledger import stamping, time_stamps
from audit.ledger.stamping import RETRY_SECONDS, Stamping
from audit.offline import ringi_verify
from tests.audit.conftest import LedgerDatabase
from tests.audit.stamped import Stamped, digest_of
from tests.time_stamping import Authority


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
    digest = digest_of(stamped, 3)
    assert known.time(other) == known.time(token)
    assert known.fault(token, digest, int(time.time())) == ""
    assert "unsuitable certificate purpose" in known.fault(other, digest, int(time.time()))
