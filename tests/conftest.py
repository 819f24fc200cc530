"""Databases and people for tests: a clone of one migrated template each, reached as the application role."""

from __future__ import annotations

import base64
import fcntl
import gc
import io
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.utils import translation
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests import locks, operation_roles, template_names

RUN = os.environ.get("RINGI_TEST_TEMPLATE") or os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid.uuid4().hex
TEMPLATE = f"ringi_template_{RUN[:16]}"
EMPTY = f"{TEMPLATE}_empty"
CAST = {
    "administrator": ("administrator",),
    "second_administrator": ("administrator",),
    "manager": ("release_manager",),
    "author_on_committee": ("release_manager", "committee"),
    "project_manager": ("project_manager",),
    "developer": ("developer",),
    "tester": ("tester",),
    "committee_a": ("committee",),
    "committee_b": ("committee",),
    "operator": ("operator",),
    "second_operator": ("operator",),
    "auditor": ("auditor",),
    "outsider": (),
    "ci": ("ci",),
}
PASSWORD = "correct-horse-battery"


def _server() -> str:
    return os.environ["DATABASE_SERVER_URL"]


def _named(url: str, database: str) -> str:
    return make_conninfo(url, dbname=database)


def pytest_configure() -> None:
    """Hash passwords quickly, and list the static files of a client when one is asked: much time would go there."""
    from django.conf import settings

    settings.PASSWORD_HASHERS = ["tests.hashing.OneRound"]
    settings.WHITENOISE_AUTOREFRESH = True
    settings.HEARTBEAT_TIMEOUT = 0  # so that no page warns of the missing scheduler
    settings.GIT_NETWORKS = ["127.0.0.0/8", "::1"]  # servers of repositories lie on this machine
    operation_roles.in_one_process()
    locks.observe_connections()
    template_names.note_lookups()


def pytest_collection_finish() -> None:
    """Spare the garbage collector what stays to the end: all modules and all tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


def pytest_runtest_setup() -> None:
    """Forget what an earlier test left in the cache: it says for a minute which address has called without a token."""
    from django.core.cache import cache

    cache.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """Fail a test, whatever it is about, in which rows were locked out of the declared order (tests/locks.py), or a
    template read what its object does not have (tests/template_names.py).
    """
    yield
    assert not (faults := [*locks.taken(), *template_names.taken()]), faults


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take minutes, so that no worker sits idle beside them at the end."""
    items.sort(key=lambda item: not {"scenarios", "upgrade"}.intersection(item.path.parts))


@pytest.fixture(scope="session")
def template_database(django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Make the template once per test run, whichever worker comes first: migrated, default procedure, people."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if os.environ.get("PYTEST_XDIST_WORKER") else shared
    with (shared / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with psycopg.connect(_server(), autocommit=True) as connection:
            made = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [TEMPLATE]).fetchone()
            if made is None:
                owner = conninfo_to_dict(os.environ["DATABASE_OWNER_URL"])["user"]
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 LOCALE 'C.UTF-8'").format(
                        sql.Identifier(TEMPLATE), sql.Identifier(str(owner))
                    )
                )
                try:
                    with django_db_blocker.unblock():
                        _fill()
                except BaseException:
                    connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(TEMPLATE)))
                    raise
    yield TEMPLATE


def _fill() -> None:
    from django.core.management import call_command
    from django.db import connections

    with connected(os.environ["DATABASE_OWNER_URL"], TEMPLATE):
        call_command("migrate", verbosity=0, interactive=False)
        connections.close_all()
    copy_over(TEMPLATE, EMPTY)
    with connected(os.environ["DATABASE_URL"], TEMPLATE):
        call_command("procedure", "load", "releases/procedures/default", put_into_effect=True, stdout=io.StringIO())
        _cast()
        connections.close_all()


def _cast() -> None:
    from audit.actor import Actor, acting
    from environments.operations.access.grant import request_role
    from environments.operations.account.create import create

    with acting(Actor(account_id=None, name="tests", kind="command", channel="command")):
        for name, roles in CAST.items():
            service = name == "ci"
            account = create(
                username=name,
                display_name=name.replace("_", " ").title(),
                kind="service" if service else "person",
                git_addresses=(f"{name}@datasets.example",),
            )
            if not service:
                enrolled(account, factor=name != "outsider")
            for role in roles:
                request_role(account.pk, role=role, reason="cast of the tests")


def factor_secret(username: str) -> str:
    """Return the secret of a test person's authenticator app, base32."""
    return base64.b32encode(username.encode().ljust(20, b".")[:20]).decode()


def enrolled(account: Any, password: str = PASSWORD, *, factor: bool = True) -> Any:
    """Let a person enrol by an invitation from the server, with a second factor or without; return the account."""
    from environments.operations.account.invite import enrol, invite

    made = enrol(account.pk, secret=invite(account.pk).secret.split("/")[-2], password=password)
    if factor:
        give_factor(made)
    return made


def give_factor(account: Any) -> None:
    """Let a person have set up an authenticator app."""
    from allauth.mfa.models import Authenticator

    from audit.actor import Actor, acting
    from audit.operation import operation
    from environments.models import Account
    from environments.secrets import encrypt
    from environments.sign_in import FACTOR_AAD

    data = {"secret": encrypt(factor_secret(account.username), FACTOR_AAD)}
    command = Actor(account_id=None, name="tests", kind="command", channel="command")
    with acting(command), operation("test:factor", (Account, account.pk)):
        Authenticator.objects.create(user=account, type=Authenticator.Type.TOTP, data=data)


class connected(AbstractContextManager[None]):
    """Point Django's connection at a database for a block."""

    def __init__(self, url: str, database: str) -> None:
        self.wanted = conninfo_to_dict(_named(url, database))

    def __enter__(self) -> None:
        from django.db import connection

        connection.close()
        settings = connection.settings_dict
        self.kept = {key: settings[key] for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT")}
        names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
        settings.update({key: str(self.wanted[name]) for key, name in names.items()})

    def __exit__(self, *_error: object) -> None:
        from django.db import connection

        connection.close()
        connection.settings_dict.update(self.kept)
        # The next test would get the closed connection.
        assert not connection.in_atomic_block, "a transaction is still open, for example of a stream that is not closed"


def copy_over(template: str, name: str) -> None:
    """Make a database a copy of another one, in the place of what had its name."""
    named = (sql.Identifier(name), sql.Identifier(template))
    with psycopg.connect(_server(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(named[0]))
        # Copying the files costs an eighth of writing each block through the log.
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(*named))


def dropped(name: str) -> None:
    """Drop a database, also with open connections."""
    # The class's own: a test may refuse itself to open any connection.
    with psycopg.Connection.connect(_server(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def copied(template: str) -> Iterator[str]:
    """Clone the template for a block; the name of the clone is yielded."""
    clone = f"ringi_test_{uuid.uuid4().hex[:16]}"
    copy_over(template, clone)
    try:
        yield clone
    finally:
        dropped(clone)


@contextmanager
def used(name: str, blocker: Any) -> Iterator[str]:
    """Point Django at a database for a block; everything commits for real. Its address is yielded."""
    with blocker.unblock(), connected(os.environ["DATABASE_URL"], name):
        yield _named(os.environ["DATABASE_URL"], name)


@contextmanager
def cloned(template: str, blocker: Any) -> Iterator[str]:
    """Clone the template and point Django at the clone for a block; its address is yielded."""
    with copied(template) as name, used(name, blocker) as address:
        yield address


def sign_ledger(signer: Any) -> Any:
    """Sign what there is, as the ledger signer's role, in the database that Django is connected to; return the
    checkpoint.
    """
    with ledger_signer_connection() as own:
        return signer.sign(own)


def ledger_signer_connection() -> Any:
    """Connect as the ledger signer's role to the database that Django is connected to."""
    from django.db import connection

    address = _named(os.environ["DATABASE_LEDGER_SIGNER_URL"], str(connection.settings_dict["NAME"]))
    return psycopg.connect(address, autocommit=True)


@pytest.fixture
def database(request: pytest.FixtureRequest, template_database: str, django_db_blocker: Any) -> Iterator[str]:
    """A database of the test's own, reached as the application role; with a world in it, where a test wants one."""
    wanted = [name for name in ("world_template", "pages_template") if name in request.fixturenames]
    template = request.getfixturevalue(wanted[0]).name if wanted else template_database
    with cloned(template, django_db_blocker) as address:
        yield address


@pytest.fixture
def empty_database(template_database: str, django_db_blocker: Any) -> Iterator[str]:
    """A database of the test's own, migrated, without a procedure and without people."""
    del template_database
    with cloned(EMPTY, django_db_blocker) as address:
        yield address


@pytest.fixture
def people(database: str) -> dict[str, Any]:
    """The cast by name."""
    from environments.models import Account

    return {account.username: account for account in Account.objects.all()}


@pytest.fixture
def acting_as(people: dict[str, Any]) -> Callable[..., AbstractContextManager[Any]]:
    """Return a function: act as a member of the cast who has just proved the identity (or not: proved=False)."""
    return enters(people)


def enters(people: dict[str, Any]) -> Callable[..., AbstractContextManager[Any]]:
    """Return that function."""
    from dataclasses import replace

    from audit.actor import acting
    from environments.actors import person

    def enter(name: str, *, proved: bool = True) -> AbstractContextManager[Any]:
        actor = person(people[name], channel="api" if name == "ci" else "admin", address="127.0.0.1")
        if proved and actor.kind == "person":
            actor = replace(actor, authenticated_at=datetime.now(UTC), method="password")
        return acting(actor)

    return enter


def seconded(made: Any, acting_as: Callable[..., AbstractContextManager[Any]], by: str = "second_operator") -> Any:
    """Confirm a requested change as the second person and return the row; return any other row as it is."""
    from environments.models import RequestedChange
    from environments.operations.requested_change.decide import confirm_change

    if not isinstance(made, RequestedChange):
        return made
    with acting_as(by):
        return confirm_change(made.pk)


@pytest.fixture
def browsers(people: dict[str, Any]) -> Callable[[str], Any]:
    """Return a function: Django's test client, signed in as a member of the cast with a fresh proof of identity."""
    import time

    from django.test import Client

    from environments.actors import SIGNED_AT

    class Proving(Client):
        """Proves the identity again before each request that follows a signature."""

        def request(self, **request: Any) -> Any:
            if request["REQUEST_METHOD"] != "GET" and SIGNED_AT in (session := self.session):
                del session[SIGNED_AT]
                session.save()
            return super().request(**request)

    def enter(name: str) -> Client:
        client = Proving(headers={"accept-language": "en"})
        people[name].refresh_from_db()
        client.force_login(people[name], backend="environments.backend.GrantBackend")
        session = client.session
        session["account_authentication_methods"] = [{"method": "password", "at": time.time(), "reauthenticated": True}]
        session.save()
        return client

    return enter


@pytest.fixture(autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own, for keys and files; its processes find it in their environment.

    What was encrypted in the databases that tests copy opens there too.
    """
    from django.conf import settings

    from environments import key_ring

    folder, ring = tmp_path_factory.mktemp("state"), key_ring.path()
    if ring.exists():
        shutil.copytree(ring.parent, folder / ring.parent.name)
    monkeypatch.setattr(settings, "STATE_DIR", folder)
    monkeypatch.setenv("RINGI_STATE_DIR", str(folder))
    return folder


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Sentences are compared in English; pages choose their language themselves, and commands that of the terminal."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if os.environ.get(name, "").startswith("ja"):
            monkeypatch.setenv(name, "C.UTF-8")
    with translation.override("en"):
        yield
