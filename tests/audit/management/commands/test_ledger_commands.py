"""The ledger signer and audit_verify as the processes that people and supervisors start."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from audit import capture
from audit.apps import table_of
from audit.offline import ringi_verify
from audit.roles import Roles
from config.development.ports import free_port
from tests.audit.conftest import AUDITED_TABLES, TABLE_OF, LedgerDatabase, Listed, events, fill
from tests.audit.ledger.test_delivery import _enter, dripping
from tests.audit.ledger.test_resumption import _approval
from tests.time_stamping import Authority

PROJECT = Path(__file__).parents[4]


def _command(
    ledger: LedgerDatabase, state: Path, *arguments: str, mail: str = "", stamps: tuple[str, str] = ("", "")
) -> subprocess.Popen[str]:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.audit.bare_settings",
        "LEDGER_TEST_URL": ledger.url(ledger.app),
        "LEDGER_TEST_STATE": str(state),
        "LEDGER_TEST_MAIL": mail,
        "LEDGER_TEST_TIME_STAMP_URL": stamps[0],
        "LEDGER_TEST_TIME_STAMP_CA": stamps[1],
        "PYTHONUNBUFFERED": "1",
    }
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _run(ledger: LedgerDatabase, state: Path, *arguments: str, **options: Any) -> tuple[int, str, str]:
    process = _command(ledger, state, *arguments, **options)
    out, err = process.communicate()
    return process.returncode, out, err


@pytest.fixture
def captured(ledger: LedgerDatabase) -> LedgerDatabase:
    """The ledger with the tables audited that the audit app has itself, as a migrated database has them."""
    own = ("audit.LedgerResumption", "audit.Verification", "audit.CheckpointDelivery", "audit.ClosedYear")
    listed = (*AUDITED_TABLES, *map(Listed, own))
    owner = ledger.as_owner()
    with owner.transaction():
        capture.install(
            owner, listed, lambda label: TABLE_OF.get(label) or table_of(label), Roles(application=ledger.app)
        )
    return ledger


def test_a_signed_ledger_is_verified_and_exported(captured: LedgerDatabase, tmp_path: Path) -> None:
    fill(captured.as_app(), 7)
    assert _run(captured, tmp_path, "ledger_signer", "--once") == (0, "signed 7 events\n", "")
    file = tmp_path / "export.jsonl"
    status, out, _ = _run(captured, tmp_path, "audit_verify", "--export", str(file))
    assert status == 0 and "1" in out and "7" in out
    assert len(file.read_text().splitlines()) == 1 + 7 + 1 + 1
    status, out, _ = _run(captured, tmp_path, "audit_verify", "--from", "3", "--to", "5", "--json")
    assert status == 2 and json.loads(out)["events"] == 3  # a range is compared with no checkpoint
    part = tmp_path / "part.jsonl"
    _run(captured, tmp_path, "audit_verify", "--from", "3", "--to", "5", "--export", str(part))
    key = (tmp_path / "ledger_signer" / "key.pub").read_text()
    assert ringi_verify.main([str(part), "--key", key]) == 0 and len(part.read_text().splitlines()) == 1 + 1 + 3 + 1
    _run(captured, tmp_path, "audit_verify", "--from", "3", "--to", "99", "--export", str(part))
    assert ringi_verify.main([str(part), "--key", key]) == 0 and part.read_text().count('"event"') == 5
    fill(captured.as_app(), 2)
    status, out, _ = _run(captured, tmp_path, "audit_verify")
    assert status == 0 and "7 of 9" in out or "9件中7件" in out


def test_an_unsigned_ledger_does_not_hold_on_the_command_line(captured: LedgerDatabase, tmp_path: Path) -> None:
    fill(captured.as_app(), 3)
    status, out, err = _run(captured, tmp_path, "audit_verify")
    assert (status, err) == (2, "") and "no checkpoint was compared with events 1 to 3" in out


def test_a_changed_row_is_named_and_the_ledger_signer_refuses(ledger: LedgerDatabase, tmp_path: Path) -> None:
    fill(ledger.as_app(), 7)
    assert _run(ledger, tmp_path, "ledger_signer", "--once")[0] == 0
    admin = ledger.as_superuser()
    admin.execute("ALTER TABLE audit_event DISABLE TRIGGER ALL")
    admin.execute("ALTER TABLE audit_ledgerentry DISABLE TRIGGER ALL")
    admin.execute(
        "UPDATE audit_event SET reason = 'x' FROM audit_ledgerentry WHERE event_id = audit_event.id AND number = 4"
    )
    status, out, _ = _run(ledger, tmp_path, "audit_verify", "--json")
    assert status == 1
    assert json.loads(out)["finding"] == {"number": 4, "what": "column reason is not what the bytes say"}
    admin.execute("DELETE FROM audit_ledgerentry WHERE number = 7")
    status, _, err = _run(ledger, tmp_path, "ledger_signer", "--once")
    assert status == 1 and "the ledger signer refuses" in err and "Traceback" not in err


def test_after_a_restore_nothing_in_the_database_lets_the_signer_sign(
    captured: LedgerDatabase, clone: Callable[..., LedgerDatabase], tmp_path: Path
) -> None:
    """Two persons agreed, or the owner wrote so: it takes somebody on the signer's host, and the code that is shown
    there.
    """
    fill(captured.as_app(), 4)
    assert _run(captured, tmp_path, "ledger_signer", "--once")[0] == 0
    assert _run(captured, tmp_path, "ledger_signer", "--resume")[:2] == (0, "The signer refuses nothing.\n")
    backup = clone(captured)
    fill(captured.as_app(), 3)
    assert _run(captured, tmp_path, "ledger_signer", "--once")[0] == 0
    assert _run(backup, tmp_path, "ledger_signer", "--once")[0] == 1
    status, out, _ = _run(backup, tmp_path, "ledger_signer", "--resume")
    assert status == 0 and "The first 4 are those" in out and "Nothing can be accepted yet." in out
    (digest,) = [e["after"]["digest"] for e in events(backup.as_app()) if e["operation"] == "audit:refuse_signing"]
    backup.as_superuser().execute("ALTER TABLE audit_ledgerresumption DISABLE TRIGGER ringi_capture")
    _approval(backup.as_superuser(), digest)
    assert _run(backup, tmp_path, "ledger_signer", "--once")[0] == 1
    status, out, _ = _run(backup, tmp_path, "ledger_signer", "--resume")
    assert status == 0 and "person:1:a" in out and "Ask both persons yourself" in out
    code = out.split()[-1]
    status, _, err = _run(backup, tmp_path, "ledger_signer", "--resume", code[:-1] + "x")
    assert status == 1 and "is not the code" in err
    assert "The signer signs again" in _run(backup, tmp_path, "ledger_signer", "--resume", code)[1]
    fill(backup.as_app(), 1)
    assert _run(backup, tmp_path, "ledger_signer", "--once")[0] == 0


def test_without_a_key_or_a_database_it_is_inconclusive(captured: LedgerDatabase, tmp_path: Path) -> None:
    fill(captured.as_app(), 2)
    _run(captured, tmp_path, "ledger_signer", "--once")
    assert _run(captured, tmp_path / "elsewhere", "audit_verify", "--json")[0] == 2
    captured.password = "wrong"
    gone = LedgerDatabase("nowhere", captured.server, captured.owner, captured.app, captured.password)
    status, _, err = _run(gone, tmp_path, "audit_verify")
    assert status == 2 and "Traceback" not in err


def test_the_ledger_signer_follows_the_ledger_and_ends_on_sigterm(ledger: LedgerDatabase, tmp_path: Path) -> None:
    app = ledger.as_app()
    fill(app, 1)
    process = _command(ledger, tmp_path, "ledger_signer", "--interval", "0.05")
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "signed 1 events\n"
        fill(app, 2, per_transaction=2)
        assert process.stdout.readline() == "signed 3 events\n"
        _terminate_backends(ledger)  # a lost connection is opened again
        with psycopg.connect(ledger.url(ledger.app), autocommit=True) as again:
            fill(again, 1)
        assert process.stdout.readline() == "signed 4 events\n"
        process.send_signal(signal.SIGTERM)
        process.communicate()
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


def test_a_change_is_signed_within_ten_seconds(ledger: LedgerDatabase, tmp_path: Path) -> None:
    """By the ledger signer as it is run, at its own pace; both times are the database's."""
    app = ledger.as_app()
    fill(app, 1)
    process = _command(ledger, tmp_path, "ledger_signer")
    try:
        assert process.stdout is not None and process.stdout.readline() == "signed 1 events\n"
        for size in (2, 3):
            fill(app, 1)
            assert process.stdout.readline() == f"signed {size} events\n"
        waited = app.execute(
            "SELECT c.number, extract(epoch FROM c.at - e.at) FROM audit_checkpoint c JOIN audit_ledgerentry "
            "l USING (number)"
            " JOIN audit_event e ON e.id = l.event_id WHERE c.number > 1 ORDER BY c.number"
        ).fetchall()
        assert [number for number, _seconds in waited] == [2, 3]
        assert all(0 < seconds < 10 for _number, seconds in waited), waited
    finally:
        process.kill()
        process.communicate()


def test_addresses_that_hang_do_not_delay_a_signature(ledger: LedgerDatabase, tmp_path: Path) -> None:
    """One refuses, three witnesses and a mail server take the call and come to no end; each may take its ten
    seconds.
    """
    app = ledger.as_app()
    fill(app, 1)
    refusing = f"http://127.0.0.1:{free_port()}"
    with dripping(b"H") as (url, calls), dripping(b"2", listens=False) as (mail, _mails):
        for address in (refusing, *(f"{url}/{n}" for n in range(3))):
            _enter(ledger, "post", address)
        _enter(ledger, "mail", "auditor@datasets.example")
        process = _command(ledger, tmp_path, "ledger_signer", "--interval", "0.2", mail=mail.removeprefix("http://"))
        try:
            assert process.stdout is not None and process.stdout.readline() == "signed 1 events\n"
            assert process.stdout.readline() == "signed 2 events\n"  # that an address refuses is an event
            assert [event["outcome"] for event in events(app) if event["operation"] == "audit:deliver"] == ["failed"]
            while not calls:
                time.sleep(0.01)
            for size in (3, 4, 5):
                fill(app, 1)
                assert process.stdout.readline() == f"signed {size} events\n"
            waited = app.execute(
                "SELECT c.number, extract(epoch FROM c.at - e.at) FROM audit_checkpoint c JOIN "
                "audit_ledgerentry l USING (number)"
                " JOIN audit_event e ON e.id = l.event_id WHERE c.number > 2 ORDER BY c.number"
            ).fetchall()
            assert len(waited) == 3 and all(seconds < 5 for _number, seconds in waited), waited
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate()
            assert process.returncode == 0 and "a checkpoint was not taken by " + refusing in err
        finally:
            process.kill()
            process.communicate()


def _terminate_backends(ledger: LedgerDatabase) -> None:
    ledger.as_superuser().execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s AND usename = %s",
        [ledger.name, ledger.app],
    )


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Authority]:
    """A time-stamping authority."""
    made = Authority(tmp_path / "authority")
    yield made
    made.close()


def test_from_signer_to_an_auditors_computer_a_stamp_proves_the_time(
    captured: LedgerDatabase, tmp_path: Path, authority: Authority
) -> None:
    stamps = (authority.url, str(authority.ca))
    fill(captured.as_app(), 7)
    process = _command(captured, tmp_path, "ledger_signer", "--interval", "0.05", stamps=stamps)
    try:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["signed 7 events\n", "signed 8 events\n"]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    file, away = tmp_path / "ledger.jsonl", tmp_path / "away"
    status, out, _ = _run(captured, tmp_path, "audit_verify", "--export", str(file), stamps=stamps)
    assert (status, "RINGI_TIME_STAMP_CA" in out) == (0, False)
    status, out, _ = _run(captured, tmp_path, "audit_verify")
    assert (status, "RINGI_TIME_STAMP_CA" in out) == (0, True)
    away.mkdir()
    for name in (ringi_verify.__file__, file, tmp_path / "ledger_signer" / "key.pub", authority.ca):
        shutil.copy(name, away)
    argv = [sys.executable, "-I", "-S", "ringi_verify.py", "ledger.jsonl", "--key", "key.pub"]
    argv += ["--time-stamp-ca", "ca.pem"]
    done = subprocess.run(argv, cwd=away, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and "TIME: events 1 to 7 existed at" in done.stdout
    copy = away / "ledger.jsonl"
    raw = bytearray(copy.read_bytes())
    place = raw.rindex(b'"event":"') + 900  # in the token
    raw[place] = ord("B" if raw[place] == ord("A") else "A")
    copy.write_bytes(raw)
    done = subprocess.run(argv, cwd=away, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout.startswith("BROKEN at number 8")


def test_an_authority_that_does_not_answer_holds_no_signature_up(
    captured: LedgerDatabase, tmp_path: Path, authority: Authority
) -> None:
    authority.answer, app = "silent", captured.as_app()
    fill(app, 1)
    process = _command(
        captured, tmp_path, "ledger_signer", "--interval", "0.05", stamps=(authority.url, str(authority.ca))
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "signed 1 events\n"
        while not authority.asked:
            time.sleep(0.01)
        begun = time.monotonic()
        fill(app, 1)
        assert process.stdout.readline() == "signed 2 events\n" and time.monotonic() - begun < 2
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(15)


def test_the_signer_does_not_start_without_the_certificates_of_the_authority(
    captured: LedgerDatabase, tmp_path: Path
) -> None:
    fill(captured.as_app(), 1)
    assert _run(captured, tmp_path, "ledger_signer", "--once")[0] == 0
    for file in (tmp_path / "none.pem", Path(__file__)):
        status, _, err = _run(captured, tmp_path, "ledger_signer", "--once", stamps=("http://127.0.0.1:1", str(file)))
        assert status == 1 and "RINGI_TIME_STAMP_CA" in err and "Traceback" not in err
        status, out, _ = _run(captured, tmp_path, "audit_verify", stamps=("http://127.0.0.1:1", str(file)))
        assert status == 2 and file.name in out
