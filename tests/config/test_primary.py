"""PostgreSQL on several hosts: each process finds the primary, and uses no server that was the primary before."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection

from audit.primary import MEMORY, hosts, without
from config.development.processes import PROJECT
from config.postgresql.address import of_primary
from releases.backup.programs import postgres_environment
from releases.doctor.finding import Result
from releases.doctor.replication import replication
from tests.chaos.pair import Pair, paired
from tests.chaos.running import until


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """A primary and its synchronous standby."""
    with paired(tmp_path / "servers") as made:
        yield made


@pytest.fixture
def use(django_db_blocker: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Return a block in which this process has the address of both servers, or of some."""
    options = {**connection.settings_dict["OPTIONS"], "target_session_attrs": "read-write"}
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    kept = {key: connection.settings_dict[key] for key in ("HOST", "PORT", "NAME", "USER", "PASSWORD")}

    @contextmanager
    def using(pair: Pair, *names: str) -> Iterator[None]:
        wanted = names or ("one", "two")
        place = {
            "HOST": ",".join("127.0.0.1" for _name in wanted),
            "PORT": ",".join(str(pair.ports[name]) for name in wanted),
        }
        account = {"NAME": "ringi", "USER": "ringi", "PASSWORD": pair.keys["ringi"]}
        connection.close()
        connection.settings_dict.update(place | account)
        try:
            yield
        finally:
            connection.close()
            connection.settings_dict.update(kept)

    with django_db_blocker.unblock():
        yield using


def port() -> int:
    """Connect; return the port of the server."""
    connection.close()
    connection.ensure_connection()
    return int(connection.connection.info.port)


def found() -> list[tuple[Result, str]]:
    """Return what the doctor finds; each finding that is not ok says what to do."""
    findings = list(replication())
    assert all(one.advice for one in findings if one.result != Result.OK)
    return [(one.result, one.words) for one in findings]


@pytest.mark.parametrize(
    ("address", "host", "ports"),
    [
        ("db1:5433,db2:5434", "db1,db2", "5433,5434"),
        ("db1,db2", "db1,db2", ","),
        ("db1,db2:5433", "db1,db2", ",5433"),
        ("[fd00::1]:5433,[fd00::2]:5433", "fd00::1,fd00::2", "5433,5433"),
    ],
)
def test_an_address_may_name_several_hosts(
    address: str, host: str, ports: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgres://ringi:p%40,w@{address}/ringi?sslmode=verify-full")
    database = runpy.run_path(str(PROJECT / "config" / "settings.py"))["DATABASES"]["default"]
    assert (database["HOST"], database["PORT"], database["PASSWORD"]) == (host, ports, "p@,w")
    assert database["OPTIONS"]["target_session_attrs"] == "read-write"
    assert database["OPTIONS"]["sslmode"] == "verify-full"


def test_one_host_is_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://ringi:a,b@db1:5433/ringi")
    database = runpy.run_path(str(PROJECT / "config" / "settings.py"))["DATABASES"]["default"]
    assert (database["HOST"], database["PORT"], database["PASSWORD"]) == ("db1", 5433, "a,b")
    assert "target_session_attrs" not in database["OPTIONS"]
    assert "target_session_attrs" not in of_primary("postgres://ringi@db1/ringi")
    assert "target_session_attrs=read-write" in of_primary("postgres://ringi@db1,db2/ringi")


def test_the_hosts_of_a_connection() -> None:
    several = {"host": "a,b,c", "port": "1,,3", "user": "x"}
    assert [(one["host"], one["port"]) for one in hosts(several)] == [("a", "1"), ("b", ""), ("c", "3")]
    assert [one["port"] for one in hosts({"host": "a,b", "port": 7})] == ["7", "7"]
    assert without(several, "b", 5432) == {"host": "a,c", "port": "1,3", "user": "x"}
    assert without({"host": "a", "port": "1"}, "a", 1)["host"] == ""


@pytest.mark.timeout(300)
def test_a_former_primary_is_not_used(pair: Pair, use: Any, state_folder: Path) -> None:
    one, two = pair.ports["one"], pair.ports["two"]
    with use(pair):
        assert port() == one
        pair.kill("one")
        with pytest.raises(OperationalError):
            port()  # none takes writes
        pair.promote("two")
        assert port() == two
        assert json.loads((state_folder / MEMORY).read_text())["timeline"] == 2
        pair.start("one")
        assert pair.asked("one", "SELECT pg_is_in_recovery()") is False
        assert port() == two, "the first host takes writes as well, on the older timeline"
        assert postgres_environment()["PGPORT"] == str(two)
        pair.kill("two")
        with pytest.raises(OperationalError):
            port()
    with use(pair, "one", "one"):
        with pytest.raises(OperationalError, match=f"127.0.0.1:{one} was the primary before: it is on timeline 1"):
            port()
    with use(pair, "one"):
        assert port() == one, "an address with one host leaves the choice to the operator"


@pytest.mark.timeout(300)
def test_the_doctor_says_what_a_failover_would_lose(pair: Pair, use: Any) -> None:
    with use(pair, "one"):
        assert found() == [(Result.OK, "DATABASE_URL names one host.")]
    with use(pair):
        (standby, primary, synchronous) = found()
        assert standby[0] == Result.OK and standby[1].startswith("standby, ")
        assert primary == (Result.OK, "primary, timeline 1")
        assert synchronous == (Result.OK, "two · synchronous_commit=on")
        pair.configure("one", "synchronous_standby_names", "")
        asynchronous = (Result.WARNING, "off: a failover loses what was acknowledged last")
        until("the reload", lambda: found()[2][0] == Result.WARNING)
        assert found()[2][1].startswith(asynchronous[1])
        pair.kill("two")
        assert [result for result, _words in found()] == [Result.WARNING, Result.OK, Result.WARNING]
        (pair.data("two") / "standby.signal").unlink()
        pair.start("two")
        assert found() == [(Result.FAILED, "one of 2 servers that take writes, timeline 1")] * 2
