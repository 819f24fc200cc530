"""The doctor: each check finds what is wrong, and what cannot be looked at is no good result."""

from __future__ import annotations

import io
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.urls import reverse

from audit.ledger import time_stamps
from audit.ledger.checkpoint import LedgerSigner
from audit.ledger.stamping import Stamping
from config.development.ports import free_port
from environments import key_ring
from environments.models import ExternalIdentity
from releases.doctor import database as of_database, machine, other_processes, variables
from releases.doctor.examination import BEFORE_START, GROUPS, examine
from releases.doctor.finding import Finding, Result, ok
from releases.management.commands import doctor as command
from releases.models import NotificationChannel
from tests.audit.tampered import as_owner
from tests.conftest import ledger_signer_connection, sign_ledger
from tests.environments.single_sign_on.conftest import begun
from tests.environments.single_sign_on.saml import SamlProvider, make_key
from tests.releases.gates.asking import alter, make
from tests.time_stamping import Authority

OK, WARNING, FAILED, UNKNOWN = Result.OK, Result.WARNING, Result.FAILED, Result.UNKNOWN


def results(check: Callable[[], Iterator[Finding]]) -> list[Result]:
    """Return the results of one check; each that is not ok says what to do."""
    found = list(check())
    assert all(one.advice for one in found if one.result != OK), found
    return [one.result for one in found]


def test_everything_is_looked_at(world: Any) -> None:
    seen = examine()
    assert len(seen.findings) >= sum(len(checks) for checks in GROUPS.values())
    assert not [one for one in seen.findings if one.result == UNKNOWN]


def test_the_identity_provider_and_the_accounts_that_do_without_it(
    world: Any, people: dict[str, Any], settings: Any
) -> None:
    check = other_processes.single_sign_on
    assert results(check) == [OK], "no provider is set"
    with begun(free_port(), "http://testserver") as running:
        settings.OIDC_ISSUER, settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET = running.issuer, "ringi", "secret"
        assert results(check) == [OK, WARNING]
        for name in ("administrator", "manager"):
            alter(people[name], break_glass=True)
        assert results(check) == [OK, WARNING], "one administrator alone"
        alter(people["second_administrator"], break_glass=True)
        assert results(check) == [OK, OK]
    assert results(check) == [FAILED, OK], "what an earlier answer said is no answer"


@pytest.mark.parametrize(("days", "result"), [(-1, FAILED), (20, WARNING), (40, OK)])
def test_the_certificate_of_a_saml_provider_ends(
    world: Any, settings: Any, tmp_path: Path, days: int, result: Any
) -> None:
    make_key(tmp_path, "own", days=days)
    settings.SAML_METADATA = SamlProvider(1, tmp_path).metadata()
    assert results(other_processes.single_sign_on) == [result, WARNING]


def test_the_time_stamps_and_what_is_needed_to_verify_them(
    world: Any, settings: Any, tmp_path: Path, client: Any
) -> None:
    check = other_processes.time_stamps
    assert results(check) == [OK], "no authority is set"
    authority = Authority(tmp_path / "authority")
    settings.TIME_STAMP_URL, settings.TIME_STAMP_CA, settings.METRICS_TOKEN = authority.url, str(authority.ca), "t"
    assert results(check) == [WARNING], "none has come yet"
    signer = LedgerSigner(tmp_path / "signer")
    sign_ledger(signer)
    known = time_stamps.authority()
    assert known is not None

    def stamped() -> tuple[list[Result], str]:
        with ledger_signer_connection() as own:
            list(Stamping(signer, authority.url, known).carrying(own))
        page = client.get("/metrics", headers={"authorization": "Bearer t"}).content.decode()
        return results(check), "".join(line for line in page.splitlines() if line.startswith("ringi_time_stamp"))

    authority.answer = "nonce"
    found, metrics = stamped()
    assert found == [FAILED] and "ringi_time_stamp_failed 1.0" in metrics
    authority.answer = "good"
    found, metrics = stamped()
    assert found == [OK] and "ringi_time_stamp_failed 0.0" in metrics and "ringi_time_stamp_age_seconds 0." in metrics
    settings.TIME_STAMP_CA = str(tmp_path / "none.pem")
    assert results(check) == [FAILED]
    authority.close()


@pytest.mark.parametrize(
    ("check", "name", "value", "result"),
    [
        (variables.secret_key, "SECRET_KEY", "x" * 49, FAILED),
        (variables.secret_key, "SECRET_KEY", "django-insecure-" + "x" * 50, FAILED),
        (variables.secret_key, "SECRET_KEY", "x" * 50, OK),
        (variables.mode, "DEBUG", True, FAILED),
        (variables.mode, "TRIAL", True, FAILED),
        (variables.address, "BASE_URL", "http://ringi.example", FAILED),
        (variables.address, "ALLOWED_HOSTS", ["*"], FAILED),
        (variables.address, "ALLOWED_HOSTS", ["other.example"], FAILED),
        (variables.address, "ALLOWED_HOSTS", [".example"], OK),
        (variables.proxies, "PROXY_COUNT", 0, WARNING),
        (variables.proxies, "PROXY_COUNT", 1, OK),
        (variables.encryption, "REDIS_URL", "redis://redis.example:6379/0", FAILED),
        (variables.encryption, "REDIS_URL", "rediss://redis.example:6379/0", OK),
        (variables.public_key, "LEDGER_PUBLIC_KEY", "", WARNING),
        (variables.public_key, "LEDGER_PUBLIC_KEY", "/no/such/file", FAILED),
        (machine.state_folder, "STATE_DIR", "/no/such/folder", FAILED),
        (machine.disk, "STATE_DIR", "/no/such/folder", FAILED),
        (machine.packages, "BASE_DIR", Path("/no/such/folder"), WARNING),
    ],
)
def test_a_variable_that_is_wrong_is_found(
    check: Callable[[], Iterator[Finding]], name: str, value: Any, result: Result, settings: Any
) -> None:
    settings.BASE_URL, settings.ALLOWED_HOSTS = "https://ringi.example", ["ringi.example"]
    settings.DEBUG, settings.TRIAL, settings.PROXY_COUNT = False, False, 1
    setattr(settings, name, value)
    assert max(results(check), key=[OK, WARNING, FAILED].index) == result


@pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")
def test_a_connection_that_leaves_the_server_unencrypted_is_found(settings: Any) -> None:
    own = settings.DATABASES["default"]
    for mode, result in (("", FAILED), ("prefer", FAILED), ("verify-full", OK)):
        options = {**own["OPTIONS"], "sslmode": mode}
        settings.DATABASES = {"default": {**own, "HOST": "db.example", "OPTIONS": options}}
        assert results(variables.encryption)[0] == result


def test_files_that_others_read_are_found(tmp_path: Path, settings: Any) -> None:
    settings.STATE_DIR = tmp_path / "state"
    settings.STATE_DIR.mkdir(mode=0o700)
    assert results(machine.state_folder) == [OK] and results(machine.key_ring_file) == [WARNING]
    key_ring.read()
    assert results(machine.key_ring_file) == [OK]
    key_ring.path().chmod(0o640)
    settings.STATE_DIR.chmod(0o750)
    assert results(machine.state_folder) == [FAILED] and results(machine.key_ring_file) == [FAILED]
    if os.geteuid() == 0:
        settings.STATE_DIR.chmod(0o700)
        os.chown(settings.STATE_DIR, 65534, 65534)
        assert results(machine.state_folder) == [FAILED]


def test_another_schema_and_a_changed_trigger_are_found(world: Any) -> None:
    assert results(of_database.schema) == [OK] and results(of_database.triggers) == [OK]
    with as_owner() as raw:
        raw.execute("ALTER TABLE environments_holiday DROP COLUMN name_en")
        raw.execute("ALTER TABLE releases_release DISABLE TRIGGER ringi_capture")
    assert results(of_database.schema) == [FAILED] and results(of_database.triggers) == [FAILED]
    said = " ".join(one.words for one in (*of_database.schema(), *of_database.triggers()))
    assert "environments_holiday.name_en" in said and "releases_release" in said


def test_a_clock_that_is_wrong_is_found(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    own = of_database.time.time
    for apart, result in ((0, OK), (5, WARNING), (-3600, FAILED)):
        monkeypatch.setattr(of_database.time, "time", lambda apart=apart: own() + apart)
        assert results(of_database.clock) == [result]


def test_a_role_that_could_alter_the_ledger_is_found(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert results(of_database.role) == [OK]
    monkeypatch.setattr(of_database.roles, "dangers", lambda connection: ["owns a table of the ledger"])
    assert results(of_database.role) == [FAILED]


def test_a_queue_that_does_not_answer_is_found(settings: Any, world: Any) -> None:
    assert results(other_processes.queue)[0] in (OK, WARNING)
    port = free_port()
    own = dict(settings.RQ_QUEUES["notifications"])
    settings.RQ_QUEUES = type(settings.RQ_QUEUES).fromkeys(
        settings.RQ_QUEUES, own | {"URL": f"redis://127.0.0.1:{port}/0"}
    )
    assert results(other_processes.queue) == [FAILED]


def test_processes_that_are_not_there_are_found(world: Any, settings: Any) -> None:
    """No scheduler has run in this database."""
    settings.HEARTBEAT_TIMEOUT = 0.0
    assert results(other_processes.processes) == [WARNING], "nobody looks"
    settings.HEARTBEAT_TIMEOUT = 90.0
    assert FAILED in results(other_processes.processes)
    assert results(other_processes.ledger) == [WARNING] and results(other_processes.witnesses) == [WARNING]


def test_a_mail_server_that_does_not_answer_is_found(world: Any, settings: Any) -> None:
    settings.MAIL_HOST = "127.0.0.1"
    options: dict[str, Any] = {"host": "127.0.0.1", "port": free_port(), "use_ssl": False}
    settings.MAILERS = {"default": {**settings.MAILERS["default"], "OPTIONS": options}}
    assert results(other_processes.mail) == [FAILED]
    with socket.create_server(("127.0.0.1", options["port"])) as listening:

        def answer() -> None:
            there, _peer = listening.accept()
            with there, there.makefile("rwb", buffering=0) as wire:
                wire.write(b"220 mail.example\r\n")
                for line in wire:
                    ends = line.startswith(b"QUIT")
                    wire.write(b"221 bye\r\n" if ends else b"250 ok\r\n")
                    if ends:
                        return

        thread = threading.Thread(target=answer)
        thread.start()
        assert results(other_processes.mail) == [OK]
        thread.join(10)


@pytest.mark.parametrize(
    ("process", "result"),
    [
        *((name, FAILED) for name in ("web", "ledger_signer", "worker-notifications", "a name of its own")),
        *((name, OK) for name in ("live", "scheduler", "worker-production", "worker-checks", "ledger_stream")),
    ],
)
def test_only_a_process_that_mails_needs_the_mail_server(
    world: Any, settings: Any, process: str, result: Result
) -> None:
    """The procedure's channel mails; the others have no address of a mail server, as the documentation says."""
    settings.MAIL_HOST, settings.PROCESS = "", process
    NotificationChannel.objects.filter(channel_type="mail").update(disabled_at=None)
    assert NotificationChannel.objects.filter(channel_type="mail").exists()
    assert results(other_processes.mail) == [result]


@pytest.mark.parametrize(
    ("process", "result"), [("ledger_signer", WARNING), ("ledger_stream", WARNING), ("web", UNKNOWN)]
)
def test_what_a_narrow_role_cannot_read_is_no_fault_of_it(
    database: str, settings: Any, process: str, result: Result
) -> None:
    settings.PROCESS = process

    def denied() -> Iterator[Finding]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT rolpassword FROM pg_authid")
        yield ok("passwords", "read")

    assert [one.result for one in examine((denied,)).findings] == [result]


def test_a_check_that_breaks_is_no_good_result() -> None:
    def broken() -> Iterator[Finding]:
        yield ok("first", "fine")
        raise ValueError("what was that?")

    def empty() -> Iterator[Finding]:
        yield from ()

    for checks in ((broken,), (empty,), ()):
        assert examine(checks).result == Result.FAILED
    (found,) = examine((broken,)).findings
    assert found.result == UNKNOWN and "what was that?" in found.words


def test_the_command_ends_with_1_and_a_start_waits_for_the_database(
    world: Any, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.HEARTBEAT_TIMEOUT = 90.0
    out = io.StringIO()
    with pytest.raises(SystemExit) as ended:  # no scheduler
        call_command("doctor", stdout=out)
    assert ended.value.code == 1 and "scheduler: unresponsive" in out.getvalue()
    out = io.StringIO()
    with pytest.raises(SystemExit):
        call_command("doctor", "--json", stdout=out)
    assert json.loads(out.getvalue())["result"] == "failed"
    settings.SECRET_KEY = "x" * 50
    call_command("doctor", "--before-start", stdout=io.StringIO())

    def unreachable() -> Iterator[Finding]:
        yield from ()
        raise ConnectionError

    monkeypatch.setattr(command, "BEFORE_START", (*BEFORE_START, unreachable))
    call_command("doctor", "--before-start", stdout=io.StringIO())
    settings.SECRET_KEY = "short"
    with pytest.raises(SystemExit):
        call_command("doctor", "--before-start", stdout=io.StringIO())


def test_administrators_and_auditors_read_the_page(world: Any, browsers: Callable[[str], Any], settings: Any) -> None:
    settings.HEARTBEAT_TIMEOUT = 90.0
    address = reverse("doctor")
    answers = {name: browsers(name).get(address).status_code for name in ("administrator", "auditor", "developer")}
    assert answers == {"administrator": 200, "auditor": 200, "developer": 403}
    page = browsers("administrator").get(address).content.decode()
    assert "unresponsive" in page and 'data-finding="ok"' in page
    assert address in browsers("administrator").get("/admin/").content.decode()
    assert address not in browsers("developer").get("/admin/").content.decode()


def test_the_probe_of_readiness(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.test import Client

    answer = Client().get("/health/ready/")
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "role": True, "schema": True, "queue": True})
    monkeypatch.setattr(of_database.roles, "dangers", lambda connection: ["owns a table of the ledger"])
    answer = Client().get("/health/ready/")
    assert (answer.status_code, answer.json()["role"], answer.json()["ok"]) == (503, False, False)


def test_a_process_that_does_not_know_the_provider_does_not_count_its_people(
    world: Any, settings: Any, people: dict[str, Any]
) -> None:
    """A worker would refuse at night what the web process let people approve."""
    assert results(variables.second_factor) == [OK]
    make(ExternalIdentity, account=people["committee_a"], issuer="https://id.example", subject="a", second_factor=True)
    assert results(variables.second_factor) == [WARNING]
    settings.OIDC_ISSUER, settings.OIDC_SECOND_FACTOR = "https://id.example", ["mfa"]
    assert results(variables.second_factor) == [OK]
    settings.OIDC_ISSUER = "https://other.example"
    assert results(variables.second_factor) == [WARNING]
