"""Changing the key: everything is re-encrypted, a killed change goes on where it ended, and no old key opens
anything.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from allauth.mfa.models import Authenticator
from django.core.management import CommandError, call_command
from psycopg.conninfo import conninfo_to_dict

from audit.actor import Actor, acting
from audit.models import Event
from audit.operation import operation
from environments import key_ring
from environments.models import ConfigurationVersion, Environment
from environments.operations.configuration import reencrypt
from environments.operations.configuration.create import create
from environments.secrets import decrypt, encrypt, key_of
from environments.sign_in import FACTOR_AAD
from releases.operations.application.create import create_application

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(autouse=True)
def own_state(settings: Any, tmp_path: Path) -> None:
    """A ring of the test's own."""
    settings.STATE_DIR = tmp_path


@pytest.fixture
def versions(people: dict[str, Any], acting_as: Callable[..., Any]) -> list[ConfigurationVersion]:
    """Four versions with two secrets each; the cast's second factors are keys, of which nothing is encrypted."""
    with acting(Actor(account_id=None, name="tests", kind="command", channel="command")), operation("test:keys"):
        for row in Authenticator.objects.all():
            row.type, row.data = Authenticator.Type.WEBAUTHN, {}
            row.save()
    with acting_as("manager"):
        application = create_application(slug="datasets", name="Datasets", repository="/srv/datasets.git")
    place = {"application_id": application.pk, "environment_id": Environment.objects.get(slug="production").pk}
    with acting_as("operator"):
        return [create(**place, values={}, secrets={"A": f"a{n}", "B": f"b{n}"}, reason="r") for n in range(4)]


def run(verb: str) -> str:
    out = io.StringIO()
    call_command("configuration_keys", verb, stdout=out)
    return out.getvalue()


def retire(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("environments.management.commands.configuration_keys.REST_SECONDS", 0.0)
    return run("retire")


def test_everything_is_reencrypted_and_says_the_same(
    versions: list[ConfigurationVersion], people: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = key_ring.read().current
    with acting(Actor(account_id=None, name="tests", kind="command", channel="command")), operation("tests:make"):
        data = {"seed": encrypt("SEED", FACTOR_AAD), "used_mask": 5, "migrated_codes": [encrypt("C", FACTOR_AAD)]}
        codes = Authenticator.objects.create(user=people["operator"], type="recovery_codes", data=data)
    run("rotate")
    new = key_ring.read().current
    assert new != old and dict(reencrypt.in_use()) == {new: 10}
    retire(monkeypatch)
    assert set(key_ring.read().keys) == {new}
    for n, version in enumerate(versions):
        fresh = ConfigurationVersion.objects.get(pk=version.pk)
        assert fresh.opened() == {"A": f"a{n}", "B": f"b{n}"}
        assert fresh.digest == version.digest == fresh.present_digest()
    kept = Authenticator.objects.get(pk=codes.pk).data
    assert decrypt(kept["seed"], FACTOR_AAD) == "SEED" and kept["used_mask"] == 5
    assert decrypt(kept["migrated_codes"][0], FACTOR_AAD) == "C"


def test_the_ledger_proves_it_row_by_row(versions: list[ConfigurationVersion]) -> None:
    old = key_ring.read().current
    run("rotate")
    events = [e.contents for e in Event.objects.filter(kind="operation", operation="configuration:reencrypt")]
    assert sorted(e["object"] for e in events) == sorted(f"environments.ConfigurationVersion:{v.pk}" for v in versions)
    assert all(e["after"]["from"] == [old] and e["after"]["to"] == [key_ring.read().current] for e in events)


def test_a_killed_change_goes_on_where_it_ended(
    versions: list[ConfigurationVersion], database: str, tmp_path: Path
) -> None:
    """A process of its own is killed while it waits for the third row, which another connection holds."""
    old = key_ring.read().current
    known = conninfo_to_dict(database)
    url = "postgres://{user}:{password}@{host}:{port}/{dbname}".format(**{"password": "", **known})
    environment = {**os.environ, "DATABASE_URL": url, "RINGI_STATE_DIR": str(tmp_path)}
    # The view of activity stands still inside a transaction, so that another connection looks.
    with psycopg.connect(database) as holding, psycopg.connect(database, autocommit=True) as looking:
        holding.execute("SELECT FROM environments_configurationversion WHERE id = %s FOR UPDATE", [versions[2].pk])
        command = [sys.executable, "manage.py", "configuration_keys", "rotate"]
        process = subprocess.Popen(command, cwd=ROOT, env=environment)
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        until = time.monotonic() + 60
        while looking.execute(waiting).fetchone() == (0,):
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        process.kill()
        process.wait()
    new = key_ring.read().current
    assert new != old and dict(reencrypt.in_use()) == {new: 4, old: 4}
    with pytest.raises(CommandError, match=f"still in use: {old}"):
        run("retire")
    assert "2 rows re-encrypted" in run("rotate")
    assert key_ring.read().current == new, "it goes on with the key that it had begun to use"
    assert dict(reencrypt.in_use()) == {new: 8}
    assert [v.opened()["A"] for v in ConfigurationVersion.objects.order_by("pk")] == ["a0", "a1", "a2", "a3"]


def test_an_old_key_is_not_dropped_while_a_request_may_still_hold_it(versions: list[ConfigurationVersion]) -> None:
    run("rotate")
    with pytest.raises(CommandError, match="less than"):
        run("retire")
    assert len(key_ring.read().keys) == 2


def test_a_key_is_carried_to_other_machines_before_it_is_used(versions: list[ConfigurationVersion]) -> None:
    run("add")
    added = key_ring.read()
    assert added.newest != added.current
    shown = run("show")
    assert f"{added.current}  {key_ring.fingerprint(added.keys[added.current])}  encrypts  8 values" in shown
    assert all(key.hex() not in shown for key in added.keys.values())
    run("rotate")
    assert key_ring.read().current == added.newest and len(key_ring.read().keys) == 2


def test_a_lost_key_is_named(versions: list[ConfigurationVersion], tmp_path: Path) -> None:
    lost = key_of(next(iter(versions[0].encrypted.values())))
    key_ring.path().unlink()
    with pytest.raises(CommandError, match=lost):
        run("show")
