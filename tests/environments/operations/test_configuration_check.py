"""Looking at the services of a version: kept with who and when, never with a value, and only for who may configure."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit.models import Event
from audit.operation import operation
from audit.refusals import InvalidInput, NotPermitted
from environments.models import ConfigurationCheck, ConfigurationVersion, DeploymentTarget, Environment
from environments.operations.configuration.check_connectivity import check_connectivity
from environments.operations.configuration.create import create
from releases.operations.application.create import create_application
from releases.operations.target.set_settings import create_target
from tests.conftest import seconded
from tests.environments.connectivity.test_connectivity import address


@pytest.fixture
def version(acting_as: Callable[..., Any], database: str, tmp_path: Path) -> ConfigurationVersion:
    """Production with database, cache, storage and a free key."""
    with acting_as("manager"):
        application = create_application(slug="datasets", name="Datasets", repository="/srv/datasets.git")
    production = Environment.objects.get(slug="production").pk
    with acting_as("operator"):
        listed = {"private_networks": ["127.0.0.0/8", "::1"]}
        made = create_target(
            application_id=application.pk, environment_id=production, root=str(tmp_path), settings=listed
        )
        seconded(made, acting_as)
        return create(
            application_id=application.pk,
            environment_id=production,
            values={"STORAGE_URL": f"file://{tmp_path}", "PAGE_SIZE": "50"},
            secrets={"DATABASE_URL": address(database), "CACHE_URL": os.environ["REDIS_URL"]},
            reason="first",
        )


def test_all_three_are_reached_and_the_look_is_kept(
    version: ConfigurationVersion, acting_as: Callable[..., Any]
) -> None:
    with acting_as("operator"):
        check = check_connectivity(version.pk)
    assert check.reachable and check.checked_by.username == "operator"
    assert [(r["key"], r["kind"], r["result"]) for r in check.results] == [
        ("DATABASE_URL", "database", "passed"),
        ("CACHE_URL", "cache", "passed"),
        ("STORAGE_URL", "storage", "passed"),
    ]
    event = Event.objects.get(kind="operation", operation="configuration:check_connectivity").contents
    assert event["after"]["reached"] is True
    secrets = version.secret_values()
    assert all(s not in bytes(e.bytes).decode() for e in Event.objects.all() for s in secrets)


def test_one_that_fails_makes_the_whole_not_reached(
    version: ConfigurationVersion, acting_as: Callable[..., Any], tmp_path: Path
) -> None:
    with acting_as("operator"):
        where = {"application_id": version.application_id, "environment_id": version.environment_id}
        secrets = {"DATABASE_URL": "", "CACHE_URL": "redis://:hidden-word@127.0.0.1:1/0"}
        second = create(**where, values={"STORAGE_URL": f"file://{tmp_path}"}, secrets=secrets, reason="moved")
        check = check_connectivity(second.pk)
    assert not check.reachable
    assert [r["result"] for r in check.results] == ["passed", "failed", "passed"]
    assert "hidden-word" not in str(check.results)


def test_a_private_network_that_the_target_does_not_list_is_not_asked(
    version: ConfigurationVersion, acting_as: Callable[..., Any]
) -> None:
    with acting_as("operator"):
        with operation("test:unlist", (DeploymentTarget, DeploymentTarget.objects.get().pk)) as op:
            op.get(DeploymentTarget).options = {}
        check = check_connectivity(version.pk)
    assert [r["result"] for r in check.results] == ["unknown", "unknown", "passed"]
    assert all("private address" in r["says"] for r in check.results[:2])


@pytest.mark.parametrize("name", ["developer", "tester", "auditor", "committee_a", "outsider"])
def test_who_may_not_configure_looks_at_nothing(
    version: ConfigurationVersion, acting_as: Callable[..., Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("environments.connectivity.look", lambda *_: pytest.fail("a service was asked"))
    with acting_as(name), pytest.raises(NotPermitted):
        check_connectivity(version.pk)
    assert not ConfigurationCheck.objects.exists()


def test_a_version_without_addresses_says_so(version: ConfigurationVersion, acting_as: Callable[..., Any]) -> None:
    where = {"application_id": version.application_id, "environment_id": version.environment_id}
    with acting_as("operator"):
        bare = create(**where, values={"A": "1"}, secrets={}, reason="bare")
        with pytest.raises(InvalidInput, match="contains no address of a database"):
            check_connectivity(bare.pk)
