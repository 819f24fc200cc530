"""Database, cache and storage are reached for real; what fails says so without any value of the configuration."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from environments import connectivity
from environments.connectivity.addresses import networks
from environments.connectivity.base import NotReached, Service, hide
from environments.connectivity.storage import Storage

HERE = networks(["127.0.0.0/8", "::1"])


def address(database: str, **changed: str) -> str:
    """A clone of the tests as an address."""
    known = {"password": "", **conninfo_to_dict(database), **changed}
    return "postgresql://{user}:{password}@{host}:{port}/{dbname}".format(**known)


def test_a_real_database_answers_and_nothing_can_be_written_in_the_look(database: str) -> None:
    (found,) = connectivity.look({"DATABASE_URL": address(database)}, HERE)
    assert (found.kind, found.result) == ("database", "passed")
    assert found.says.startswith("PostgreSQL ")


@pytest.mark.parametrize("changed", [{"password": "wrong-word"}, {"dbname": "nowhere"}, {"port": "1"}])
def test_a_database_that_is_not_reached_says_why_without_the_password(database: str, changed: dict[str, str]) -> None:
    (found,) = connectivity.look({"DATABASE_URL": address(database, **changed)}, HERE)
    assert found.result == "failed" and found.says
    assert "wrong-word" not in found.says and str(conninfo_to_dict(database)["password"]) not in found.says


def test_what_is_no_address_is_not_quoted() -> None:
    (found,) = connectivity.look({"DATABASE_URL": "postgresql://app:hunter-two@host/db?hidden-option=hunter-two"}, HERE)
    assert found.result == "failed" and "hunter" not in found.says and "hidden-option" not in found.says


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("postgresql://app@127.0.0.1:5432/x", "a private address"),
        ("postgresql://app@169.254.169.254:80/x", "never asked"),
        ("postgresql:///x?host=/var/run/postgresql", "such settings|one host"),
        ("postgresql://app@%2Fvar%2Frun%2Fpostgresql/x", "one host"),
        ("postgresql://app@db.example/x?hostaddr=127.0.0.1", "does not support these address parameters"),
        ("postgresql://app@db.example/x?passfile=/etc/passwd", "does not support these address parameters"),
        ("postgresql://app@127.0.0.1,10.0.0.1/x", "one host|not a valid address"),
        ("redis://10.0.0.5:80", "a private address"),
        ("redis://169.254.169.254:80/0", "never asked"),
        ("redis:///0", "one host"),
    ],
)
def test_an_unlisted_network_is_not_asked(value: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_args: object, **_named: object) -> None:
        pytest.fail("a connection was tried")

    monkeypatch.setattr("psycopg.connect", asked)
    monkeypatch.setattr("redis.ConnectionPool.get_connection", asked)
    (found,) = connectivity.look({"ADDRESS": value})
    assert found.result != "passed" and re.search(why, found.says), found.says


def test_what_is_no_cache_is_not_quoted() -> None:
    """Another service's first line would disclose what listens there."""
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            with other.accept()[0] as connection:
                connection.recv(1000)
                connection.sendall(b"SSH-2.0-OpenSSH_10.0 telling\r\n")

        threading.Thread(target=answer, daemon=True).start()
        (found,) = connectivity.look({"CACHE": f"redis://127.0.0.1:{other.getsockname()[1]}/0"}, HERE)
    assert found.result == "failed" and "telling" not in found.says and "SSH" not in found.says


def test_a_real_cache_is_asked_for_a_ping() -> None:
    for scheme in ("redis", "valkey"):
        (found,) = connectivity.look({"CACHE": os.environ["REDIS_URL"].replace("redis", scheme, 1)}, HERE)
        assert (found.kind, found.result, found.says) == ("cache", "passed", "The cache answers PING")


def test_a_cache_with_a_wrong_password_or_none_there_is_not_reached() -> None:
    given = os.environ["REDIS_URL"].rpartition("@")[2].removeprefix("redis://")
    for wrong in (f"redis://:not-the-word@{given}", "redis://127.0.0.1:1/0", "redis://127.0.0.1:port/0"):
        (found,) = connectivity.look({"CACHE": wrong}, HERE)
        assert found.result == "failed", wrong
        assert "not-the-word" not in found.says


def test_a_service_that_takes_the_connection_and_says_nothing_ends_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        began = time.monotonic()
        for query in ("", "?socket_timeout=9999"):
            (found,) = connectivity.look({"CACHE": f"redis://127.0.0.1:{mute.getsockname()[1]}/0{query}"}, HERE)
            assert found.result == "failed"
        assert time.monotonic() - began < 25


def test_a_storage_is_put_got_and_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "stored objects"
    folder.mkdir()
    (folder / "kept").write_text("kept")
    (found,) = connectivity.look({"STORAGE": f"file://{quote(str(folder))}"}, HERE)
    assert (found.kind, found.result) == ("storage", "passed")
    assert [entry.name for entry in folder.iterdir()] == ["kept"], "nothing is left behind"


def test_a_storage_that_loses_what_is_put_is_not_reached() -> None:
    """A device that takes everything and gives nothing back, and folders that are none."""
    for place in ("/proc", "/nowhere/at/all", "/etc/hostname"):
        (found,) = connectivity.look({"STORAGE": f"file://{place}"}, HERE)
        assert found.result == "failed" and found.says, place
    for strange in ("file://other-host/srv", "file:///srv/a%00b"):
        (found,) = connectivity.look({"STORAGE": strange}, HERE)
        assert found.result == "failed"


def test_a_storage_that_changes_its_objects_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("environments.connectivity.storage.secrets.token_bytes", lambda n: Changing(b"x" * n))
    assert Storage().look("STORAGE", f"file://{tmp_path}").result == "failed"
    assert not list(tmp_path.iterdir())


class Changing(bytes):
    """Bytes that are equal to nothing, as if the disk had given back others."""

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = bytes.__hash__


def test_what_cannot_be_looked_at_is_unknown_and_never_passes() -> None:
    (found,) = connectivity.look({"STORAGE": "s3://bucket/prefix"}, HERE)
    assert found.result == "unknown"


def test_free_keys_are_left_alone_and_the_order_is_that_of_the_procedure(database: str, tmp_path: Path) -> None:
    values = {
        "Z_STORAGE": f"file://{tmp_path}",
        "PORT": "8080",
        "A_CACHE": os.environ["REDIS_URL"],
        "NOTE": "a://b",
        "M_DATABASE": address(database),
        "WRONG": "http://[",
    }
    assert [(one.key, one.kind) for one in connectivity.look(values)] == [
        ("M_DATABASE", "database"),
        ("A_CACHE", "cache"),
        ("Z_STORAGE", "storage"),
    ]


def test_no_value_is_in_what_is_said() -> None:
    assert hide("user app of postgresql://a:p%40ss@h/d with p@ss", ["postgresql://a:p%40ss@h/d"]) == (
        "user app of **** with ****"
    )


def test_a_service_that_repeats_what_it_was_given_is_hidden() -> None:
    class Talking(Service):
        kind, schemes = "cache", frozenset({"x"})

        def reach(self, address: str, listed: object = ()) -> str:
            raise NotReached(f"cannot reach {address} with other-word")

    found = Talking().look("KEY", "x://user:hidden-word@h/0", ("other-word",))
    assert (found.result, found.says) == ("failed", "cannot reach **** with ****")


def test_the_look_at_a_database_reads_only(database: str) -> None:
    from environments.connectivity.database import Database

    seen: list[str] = []
    connect = psycopg.connect

    def observed_connect(*given: object, **options: object) -> object:
        connection = connect(*given, **options)
        row = connection.execute("SHOW transaction_read_only").fetchone()
        seen.append(row[0] if row else "")
        return connection

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("environments.connectivity.database.psycopg.connect", observed_connect)
        assert Database().look("D", address(database), (), HERE).result == "passed"
    assert seen == ["on"]
