"""Checkpoints carried to a real mail server's socket and to the one-file witness, which refuses another past."""

from __future__ import annotations

import base64
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from audit.ledger import checkpoint as cp, delivery
from audit.ledger.delivery import RETRY_SECONDS, Delivery
from audit.ledger.note import Checkpoint, notes_of, read, sign
from audit.offline import ringi_witness
from tests.audit.conftest import LedgerDatabase, events, fill

PROGRAM = Path(ringi_witness.__file__)


class Running:
    """A witness as a process of its own."""

    def __init__(self, folder: Path, key: Any) -> None:
        self.folder = folder
        argv = [sys.executable, "-I", "-S", str(PROGRAM), str(folder), "--name", "auditor.example/w", "--key", str(key)]
        self.public = subprocess.check_output([*argv, "--show"], text=True).strip()
        self.process = subprocess.Popen(
            [*argv, "--bind", "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self.process.stdout is not None
        self.url = "http://" + self.process.stdout.readline().decode().split(" ")[-1].strip()

    def post(self, body: str) -> httpx.Response:
        """Speak to it as a log does."""
        return httpx.post(f"{self.url}/add-checkpoint", content=body.encode())

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Callable[[Any], Running]]:
    """Return a function that starts a witness that believes a key."""
    started: list[Running] = []

    def start(key: Any) -> Running:
        started.append(Running(tmp_path / f"witness-{len(started)}", key))
        return started[-1]

    yield start
    for running in started:
        running.end()


def _enter(ledger: LedgerDatabase, kind: str, address: str) -> None:
    ledger.as_superuser().execute(
        "INSERT INTO audit_checkpointdelivery (kind, address, given_by, reason, entered_by, entered_at)"
        " VALUES (%s, %s, '監査人', 'x', 'person:1:a', now())",
        [kind, address],
    )


def test_a_witness_holds_every_checkpoint_and_signs_that_it_saw_it(
    ledger: LedgerDatabase, tmp_path: Path, witness: Callable[[Any], Running]
) -> None:
    app, signer = ledger.as_app(), cp.LedgerSigner(tmp_path / "ledger_signer")
    running = witness(signer.public)
    _enter(ledger, "post", running.url)
    for count in (3, 5, 1, 7):
        fill(app, count)
        signer.sign(app)
        assert Delivery(signer).carry(app) == []
        assert Delivery(signer).carry(app) == []  # nothing new, nothing sent
    seen = [read(note, signer.public).size for note in notes_of(running.folder / "checkpoints.txt")]
    assert seen == [3, 8, 9, 16]
    *_, last = (tmp_path / "ledger_signer" / "cosignatures.txt").read_text().split("— auditor.example/w ")
    raw = base64.b64decode(last)
    name, identity, word = running.public.split("+", 2)
    key = base64.b64decode(word)
    assert key[:1] == b"\x04" and raw[:4].hex() == identity == sha256(f"{name}\n".encode() + key).digest()[:4].hex()
    text = signer.note.rpartition("\n\n")[0] + "\n"
    moment = int.from_bytes(raw[4:12], "big")
    Ed25519PublicKey.from_public_bytes(key[1:]).verify(raw[12:], f"cosignature/v1\ntime {moment}\n{text}".encode())
    assert httpx.get(running.url).text == signer.note


def test_a_witness_refuses_what_is_not_signed_not_proved_or_older(
    ledger: LedgerDatabase, tmp_path: Path, witness: Callable[[Any], Running]
) -> None:
    app, signer = ledger.as_app(), cp.LedgerSigner(tmp_path / "ledger_signer")
    running = witness(signer.public)
    fill(app, 3)
    signer.sign(app)
    first = signer.note
    fill(app, 4)
    signer.sign(app)
    private = Ed25519PrivateKey.generate()
    forged = sign(Checkpoint(signer.origin, 3, bytes(32)), private)
    foreign = sign(Checkpoint("other.example", 3, bytes(32)), private)
    assert running.post(f"old 0\n\n{forged}").status_code == 403
    assert (
        running.post(f"old 0\n\n{first.replace(chr(10) + '3' + chr(10), chr(10) + '4' + chr(10))}").status_code == 403
    )
    assert running.post(f"old 0\n\n{foreign}").status_code == 404
    long = sign(Checkpoint(signer.origin, 10**19, bytes(32)), signer.private)
    for broken in (
        "",
        "old x\n\n" + first,
        f"old 0\n\n{first[:40]}",
        f"old 9\n\n{first}",
        f"old 0\n???\n\n{first}",
        f"old 0\n\n{long}",
        f"old {9 * '1000'}\n\n{first}",
        f"old 0\n\n{first.rstrip()}",
        f"old 0\n\n{first}more\n",
    ):
        assert running.post(broken).status_code == 400, broken
    assert running.post(f"old 0\n\n{first}").status_code == 200
    again = running.post(f"old 0\n\n{signer.note}")
    assert (again.status_code, again.text, again.headers["content-type"]) == (409, "3\n", "text/x.tlog.size")
    assert running.post(f"old 3\n\n{signer.note}").status_code == 422
    node = base64.b64encode(bytes(32)).decode()
    assert running.post(f"old 3\n{node}\n{node}\n\n{signer.note}").status_code == 422
    assert running.post(f"old 3\n\n{first}").status_code == 200  # the same again says nothing new
    other = sign(Checkpoint(signer.origin, 3, bytes(32)), signer.private)
    assert running.post(f"old 3\n\n{other}").status_code == 409  # two statements about one size
    assert [read(note).size for note in notes_of(running.folder / "checkpoints.txt")] == [3]


def test_a_restored_ledger_is_refused_by_the_witness_for_ever(
    ledger: LedgerDatabase, clone: Callable[..., LedgerDatabase], tmp_path: Path, witness: Callable[[Any], Running]
) -> None:
    fill(ledger.as_app(), 5)
    backup = clone(ledger)
    app, signer = ledger.as_app(), cp.LedgerSigner(tmp_path / "ledger_signer")
    running = witness(signer.public)
    _enter(ledger, "post", running.url)
    _enter(backup, "post", running.url)
    fill(app, 5)
    signer.sign(app)
    assert Delivery(signer).carry(app) == []
    # The ledger signer's folder is restored as well, so that nothing on this machine remembers.
    forger = cp.LedgerSigner(tmp_path / "forger")
    (tmp_path / "forger" / "key").write_bytes((tmp_path / "ledger_signer" / "key").read_bytes())
    forger = cp.LedgerSigner(tmp_path / "forger")
    restored = backup.as_app()
    for grow, said in ((2, "knows a checkpoint of 10 events"), (9, "422 this does not extend")):
        fill(restored, grow)
        forger.sign(restored)
        clock = iter(range(0, 10**9, int(RETRY_SECONDS) + 1))
        (failed,) = Delivery(forger, lambda clock=clock, grow=grow: next(clock) + 10**9 * grow).carry(restored)
        assert said in failed
    outcomes = [event["outcome"] for event in events(restored) if event["operation"] == "audit:deliver"]
    assert outcomes == ["failed"]  # one event as it begins, not one for each try


def test_an_address_that_comes_back_is_an_event_and_gets_the_last_note(
    ledger: LedgerDatabase, tmp_path: Path, witness: Callable[[Any], Running]
) -> None:
    app, signer = ledger.as_app(), cp.LedgerSigner(tmp_path / "ledger_signer")
    running = witness(signer.public)
    running.end()
    _enter(ledger, "post", running.url)
    fill(app, 2)
    signer.sign(app)
    moment = 1000.0
    assert len(Delivery(signer, lambda: moment).carry(app)) == 1
    assert Delivery(signer, lambda: moment + 1).carry(app) == []  # not tried again at once
    back = witness(signer.public)
    ledger.as_superuser().execute("UPDATE audit_checkpointdelivery SET address = %s", [back.url])
    assert Delivery(signer, lambda: moment + RETRY_SECONDS).carry(app) == []
    delivered = [event for event in events(app) if event["operation"] == "audit:deliver"]
    assert [event["outcome"] for event in delivered] == ["failed", "done"]
    assert httpx.get(back.url).text == signer.note


@contextmanager
def dripping(first: bytes, listens: bool = True) -> Iterator[tuple[str, list[int]]]:
    """An address that answers with these bytes and one more every 0.1 s; yields it, and a list that grows per call.

    listens: wait for a request before, as HTTP does and SMTP does not.
    """
    calls: list[int] = []
    over = threading.Event()

    def answer(call: socket.socket) -> None:
        with call, suppress(OSError):
            if listens:
                call.recv(65536)
            call.sendall(first)
            while not over.wait(0.1):
                call.sendall(b"a")

    def accept() -> None:
        with suppress(OSError):
            while True:
                call, _peer = server.accept()
                calls.append(1)
                threading.Thread(target=answer, args=(call,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", calls
        over.set()


@pytest.mark.parametrize("drip", [b"H", b"HTTP/1.1 200 OK\r\nA: "], ids=["status", "headers"])
def test_an_address_that_answers_in_drips_holds_up_no_other(
    ledger: LedgerDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drip: bytes
) -> None:
    """Each byte comes in time, and there is no end to them."""
    monkeypatch.setattr(delivery, "LONGEST_SECONDS", 0.5)
    app, signer = ledger.as_app(), cp.LedgerSigner(tmp_path / "ledger_signer")
    fill(app, 2)
    signer.sign(app)
    clock = [1000.0]
    carried = Delivery(signer, lambda: clock[0])
    with dripping(drip) as (url, calls):
        _enter(ledger, "post", url)
        for said in ("did not answer within 0.5 s", "has not ended its answer"):
            began = time.monotonic()
            (failed,) = carried.carry(app)
            assert said in failed and time.monotonic() - began < 5
            clock[0] += RETRY_SECONDS
        assert calls == [1]


def test_a_mail_server_that_answers_in_drips_holds_up_no_other(
    ledger: LedgerDatabase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    witness: Callable[[Any], Running],
) -> None:
    monkeypatch.setattr(delivery, "LONGEST_MAIL_SECONDS", 0.5)
    app, signer = ledger.as_app(), cp.LedgerSigner(tmp_path / "ledger_signer")
    fill(app, 2)
    signer.sign(app)
    with dripping(b"2", listens=False) as (url, calls):
        host, _, port = url.removeprefix("http://").rpartition(":")
        settings.MAIL_HOST, settings.MAIL_DOMAINS = host, []
        settings.MAILERS = {
            "default": {
                "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
                "OPTIONS": {"host": host, "port": int(port)},
            }
        }
        running = witness(signer.public)
        _enter(ledger, "mail", "auditor@datasets.example")
        _enter(ledger, "post", running.url)  # entered later, carried before the mails
        (failed,) = Delivery(signer).carry(app)
        assert "did not answer within 0.5 s" in failed and calls == [1]
        assert httpx.get(running.url).text == signer.note


def test_a_size_of_too_many_digits_is_no_answer(ledger: LedgerDatabase, tmp_path: Path) -> None:
    app, signer = ledger.as_app(), cp.LedgerSigner(tmp_path / "ledger_signer")
    fill(app, 2)
    signer.sign(app)
    with dripping(b"HTTP/1.1 409 Conflict\r\nContent-Length: 5000\r\n\r\n" + b"9" * 5000) as (url, _calls):
        _enter(ledger, "post", url)
        (failed,) = Delivery(signer).carry(app)
    assert ": 409 999" in failed


def test_a_statement_is_carried_whole_while_the_ledger_signer_goes_on(
    ledger: LedgerDatabase, tmp_path: Path, witness: Callable[[Any], Running]
) -> None:
    """The ledger signer signs the next one between a witness's call and the answer; the next delivery carries that."""
    app, signer = ledger.as_app(), cp.LedgerSigner(tmp_path / "ledger_signer")
    running = witness(signer.public)
    _enter(ledger, "post", running.url)
    fill(app, 2)
    signer.sign(app)
    first, carried = signer.note, Delivery(signer)
    add = carried._add

    def signed_meanwhile(*given: Any) -> tuple[int, str]:
        fill(app, 3)
        signer.sign(app)
        return add(*given)

    carried._add = signed_meanwhile
    assert carried.carry(app) == [] and httpx.get(running.url).text == first
    carried._add = add
    assert carried.carry(app) == [] and httpx.get(running.url).text == signer.note != first


def test_an_answer_without_end_is_none(ledger: LedgerDatabase, tmp_path: Path) -> None:
    app, signer = ledger.as_app(), cp.LedgerSigner(tmp_path / "ledger_signer")
    fill(app, 2)
    signer.sign(app)
    with dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 200_000) as (url, _calls):
        _enter(ledger, "post", url)
        (failed,) = Delivery(signer).carry(app)
    assert "longer than 65536 bytes" in failed


def test_a_day_has_one_mail_and_a_removed_address_none(ledger: LedgerDatabase, tmp_path: Path, settings: Any) -> None:
    settings.MAILERS = {
        "default": {
            "BACKEND": "django.core.mail.backends.filebased.EmailBackend",
            "OPTIONS": {"file_path": str(tmp_path / "mail")},
        }
    }
    settings.MAIL_HOST = "mail.datasets.example"
    app, signer = ledger.as_app(), cp.LedgerSigner(tmp_path / "ledger_signer")
    _enter(ledger, "mail", "auditor@datasets.example")
    moment = 0.0
    for _hour in range(30):
        fill(app, 1)
        signer.sign(app)
        assert Delivery(signer, lambda moment=moment: moment).carry(app) == []
        moment += 3600
    mails = sorted((tmp_path / "mail").iterdir(), key=lambda file: file.stat().st_mtime_ns)
    assert len(mails) == 2
    text = mails[-1].read_bytes().decode()
    assert "auditor@datasets.example" in text and "checkpoint of 25 events" in text
    ledger.as_superuser().execute("UPDATE audit_checkpointdelivery SET removed_at = now()")
    fill(app, 1)
    signer.sign(app)
    assert Delivery(signer, lambda: moment + 10**6).carry(app) == []
    assert len(list((tmp_path / "mail").iterdir())) == 2


def test_without_a_mail_server_and_to_other_domains_nothing_is_mailed(
    ledger: LedgerDatabase, tmp_path: Path, settings: Any
) -> None:
    app, signer = ledger.as_app(), cp.LedgerSigner(tmp_path / "ledger_signer")
    _enter(ledger, "mail", "auditor@elsewhere.example")
    fill(app, 1)
    signer.sign(app)
    (failed,) = Delivery(signer, lambda: 0.0).carry(app)
    assert "no mail server" in failed
    settings.MAIL_HOST, settings.MAIL_DOMAINS = "mail.datasets.example", ["datasets.example"]
    (failed,) = Delivery(signer, lambda: 10.0**6).carry(app)
    assert "mail may not go to elsewhere.example" in failed


def test_the_witness_signs_as_the_library_does() -> None:
    for seed in (bytes(32), bytes(range(32)), sha256(b"x").digest()):
        theirs, ours = Ed25519PrivateKey.from_private_bytes(seed), ringi_witness.Signer(seed)
        assert ours.public == theirs.public_key().public_bytes_raw()
        for message in (b"", b"x" * 200):
            assert ours.sign(message) == theirs.sign(message)
            assert ringi_witness.ed25519_verifies(ours.public, message, ours.sign(message))
            assert not ringi_witness.ed25519_verifies(ours.public, message + b"y", ours.sign(message))


def test_the_ledger_signer_reads_what_it_needs_as_its_own_role(shared: str, tmp_path: Path) -> None:
    import os

    from tests.audit.test_roles import url

    assert os.environ["DATABASE_LEDGER_SIGNER_URL"]
    with psycopg.connect(url(shared, "_LEDGER_SIGNER"), autocommit=True) as raw:
        signer = cp.LedgerSigner(tmp_path)
        assert signer.sign(raw) is not None
        assert Delivery(signer).carry(raw) == []
        signer.renew_key(raw, "試験")
