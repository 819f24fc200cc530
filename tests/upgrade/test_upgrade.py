"""A database of each released version, in use when it was dumped, goes on under this version (make dump makes the
dump).
"""

from __future__ import annotations

import gzip
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import translation
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from audit import verification
from audit.actor import acting
from audit.clock import now
from audit.ledger.note import KeyRing, PublicKey
from audit.models import LedgerHead, Outbox
from audit.reconciliation.nightly import reconcile
from audit.schema import WrongSchema, require_own_schema
from environments.models import Account, DeploymentTarget
from environments.models.role import role_names
from releases.models import ApprovalRequest, Deployment, Measurement, MonitoringPeriod, Notification, Procedure, Release
from releases.operations.notification.create import process_outbox
from releases.worker.executor import run_from
from releases.worker.measurement import record_measurement
from tests.conftest import cloned, connected, dropped
from tests.releases.gates.asking import alter
from tests.releases.worker.conftest import WORKER, first, states

from .place import DUMPS, EFFECT, emptied, program

pytestmark = [
    pytest.mark.skipif(program("psql") is None, reason="no psql, neither beside the servers nor on the machine"),
    pytest.mark.xdist_group("upgrade"),
]
VERSIONS = sorted(file.name.removesuffix(".sql.gz") for file in DUMPS.glob("*.sql.gz"))


def test_each_released_version_has_its_dump() -> None:
    assert "0.2.0" in VERSIONS
    assert all((DUMPS / f"{version}.{end}").is_file() for version in VERSIONS for end in ("pub", "events"))


@pytest.fixture
def empty(django_db_blocker: Any) -> Iterator[str]:
    """Yield the name of a database of the owner's with nothing in it."""
    with django_db_blocker.unblock():
        name = made()
        yield name
        connection.close()
    dropped(name)


def made() -> str:
    """Make a database of the owner's with nothing in it; return its name."""
    name = f"ringi_upgrade_{uuid.uuid4().hex[:16]}"
    owner = str(conninfo_to_dict(os.environ["DATABASE_OWNER_URL"])["user"])
    with psycopg.connect(os.environ["DATABASE_SERVER_URL"], autocommit=True) as server:
        server.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 LOCALE 'C.UTF-8'").format(
                sql.Identifier(name), sql.Identifier(owner)
            )
        )
    return name


@pytest.fixture(scope="module", params=VERSIONS)
def migrated(request: pytest.FixtureRequest, django_db_blocker: Any) -> Iterator[tuple[str, str]]:
    """Restore the dump of a version and migrate it as the owner, once; yield the version and the database's name."""
    with django_db_blocker.unblock():
        name = made()
        address = make_conninfo(os.environ["DATABASE_OWNER_URL"], dbname=name)
        subprocess.run(
            [str(program("psql")), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--single-transaction", address],
            input=gzip.decompress((DUMPS / f"{request.param}.sql.gz").read_bytes()),
            check=True,
            capture_output=True,
            timeout=120,
        )
        with connected(os.environ["DATABASE_OWNER_URL"], name):
            call_command("migrate", verbosity=0, interactive=False)
        yield str(request.param), name
    dropped(name)


@pytest.fixture
def upgraded(migrated: tuple[str, str], django_db_blocker: Any) -> Iterator[str]:
    """Go on as the application in a copy of a migrated database; the version is yielded."""
    emptied()
    version, template = migrated
    with cloned(template, django_db_blocker):
        require_own_schema()
        yield version


def test_the_ledger_is_intact_and_agrees_with_the_history(upgraded: str) -> None:
    keys = KeyRing(PublicKey.all_of((DUMPS / f"{upgraded}.pub").read_text(encoding="utf-8")))
    last = int((DUMPS / f"{upgraded}.events").read_text(encoding="utf-8"))
    before = verification.verified(connection.connection or _opened(), last=last, keys=keys, processes=1)
    assert (before.status, before.report.finding, before.not_captured) == (0, None, [])
    with acting(WORKER):
        again = reconcile()
    assert again is not None and again.found["unexplained"] == 0
    assert LedgerHead.objects.get().number >= last


def test_each_page_opens(upgraded: str, browsers_of: Callable[[str], Client]) -> None:
    deployment, monitoring = Deployment.objects.latest("pk"), MonitoringPeriod.objects.get()
    pages = [
        reverse("admin:index"),
        *(reverse("release", args=[release.pk]) for release in Release.objects.all()),
        reverse("deployment", args=[deployment.pk]),
        reverse("monitoring", args=[monitoring.pk]),
        reverse("approval-request", args=[ApprovalRequest.objects.filter(release__isnull=False).latest("pk").pk]),
        reverse("timeline"),
        reverse("calendar"),
        reverse("procedure-document", args=[Procedure.objects.get(state="in_effect").pk]),
    ]
    for person in ("manager", "auditor"):
        answers = {page: browsers_of(person).get(page).status_code for page in pages}
        assert set(answers.values()) == {200}, answers


def test_the_roles_have_the_names_of_the_procedure_in_effect(upgraded: str) -> None:
    content = Procedure.objects.get(state="in_effect").document
    with translation.override("en"):
        names = role_names()
        assert {role.key: role.en for role in content.roles} == {role.key: names[role.key] for role in content.roles}
    assert names["administrator"] == "Administrator"


def test_a_running_deployment_is_taken_over_and_ends(upgraded: str) -> None:
    deployment = Deployment.objects.get(state="running")
    # The page of the upgrade asks for it: these programs could write into the folder of production.
    target = first(deployment).target or DeploymentTarget.objects.get(environment=deployment.environment)
    EFFECT.touch()
    alter(target, options={"programs": {"write": [str(EFFECT)]}})
    with acting(WORKER):
        run_from(first(deployment).pk)
    assert list(first(deployment).attempts.values_list("fencing_token", "outcome")) == [
        (1, "worker_lost"),
        (2, "succeeded"),
    ]
    assert states(deployment) == ["succeeded"] * 3
    assert EFFECT.read_text(encoding="utf-8").split() == ["once"]
    assert Deployment.objects.get(pk=deployment.pk).state == "succeeded"


def test_live_monitoring_is_measured_on(upgraded: str) -> None:
    monitoring = MonitoringPeriod.objects.get(ended_at=None)
    with acting(WORKER):
        taken = record_measurement(monitoring.pk, due=now())
    assert taken is not None and taken.values["error_rate"]["result"] in ("no_data", "error")
    assert Measurement.objects.filter(period=monitoring).count() == 1


def test_pending_events_are_dealt_with(upgraded: str) -> None:
    waiting = list(Outbox.objects.filter(sent_at=None).values_list("pk", flat=True))
    assert waiting
    with acting(WORKER):
        process_outbox(1000)
    assert not Outbox.objects.filter(sent_at=None, pk__in=waiting).exists()
    assert Notification.objects.exists()


@pytest.fixture
def browsers_of(upgraded: str) -> Callable[[str], Client]:
    """Return a function: a signed-in browser of a person of the dump."""

    def enter(name: str) -> Client:
        client = Client(headers={"accept-language": "en"})
        client.force_login(Account.objects.get(username=name), backend="environments.backend.GrantBackend")
        return client

    return enter


def _opened() -> Any:
    connection.ensure_connection()
    return connection.connection


def test_a_database_of_0_1_is_refused_with_one_sentence(empty: str) -> None:
    with connected(os.environ["DATABASE_OWNER_URL"], empty):
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE releases_consentround (id bigint)")
        with pytest.raises(CommandError) as refused:
            call_command("migrate", verbosity=0, interactive=False)
        assert str(refused.value).count(".") == str(refused.value).count("0.1") + 1 and "0.1" in str(refused.value)
        with pytest.raises(WrongSchema, match="0.1"):
            require_own_schema()
        assert connection.introspection.table_names() == ["releases_consentround"]
