"""Configurations: numbered, never changed, secrets encrypted at rest and masked in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from cryptography.exceptions import InvalidTag

from audit.models import Event
from audit.refusals import InvalidInput, NotPermitted
from environments.models import ConfigurationVersion, Environment
from environments.operations.configuration.create import create
from releases.operations.application.create import create_application
from releases.operations.target.set_settings import create_target


@pytest.fixture
def place(people: dict[str, Any], acting_as: Callable[..., Any]) -> dict[str, int]:
    """An application and an environment, as arguments."""
    with acting_as("manager"):
        application = create_application(slug="datasets", name="Datasets", repository="/srv/datasets.git")
    environment = Environment.objects.get(slug="production")
    return {"application_id": application.pk, "environment_id": environment.pk}


def test_secrets_are_encrypted_in_the_column_and_masked_in_the_ledger(
    place: dict[str, int], acting_as: Callable[..., Any], database: str
) -> None:
    """Case 19: looked at in the raw column."""
    with acting_as("operator"):
        made = create(**place, values={"PORT": "8080"}, secrets={"TOKEN": "十分に長い合言葉-xyzzy"}, reason="first")
    with psycopg.connect(database) as raw:
        row = str(raw.execute("SELECT to_jsonb(c) FROM environments_configurationversion c").fetchone())
    assert "xyzzy" not in row and "合言葉" not in row
    for event in Event.objects.all():
        assert "xyzzy" not in bytes(event.bytes).decode()
    after = Event.objects.get(kind="row", object=f"environments.ConfigurationVersion:{made.pk}").contents["after"]
    assert after["encrypted"].startswith("hmac-sha256:")
    assert after["values"] == {"PORT": "8080"}
    assert made.opened() == {"PORT": "8080", "TOKEN": "十分に長い合言葉-xyzzy"}
    assert made.secret_values() == ("十分に長い合言葉-xyzzy",)


def test_versions_are_numbered_and_digests_tell_them_apart(
    place: dict[str, int], acting_as: Callable[..., Any]
) -> None:
    with acting_as("operator"):
        one = create(**place, values={"A": "1"}, secrets={"S": "x"}, reason="first")
        same = create(**place, values={"A": "1"}, secrets={"S": ""}, reason="kept")
        plain = create(**place, values={"A": "2"}, secrets={"S": ""}, reason="changed")
        secret = create(**place, values={"A": "1"}, secrets={"S": "y"}, reason="rotated")
    assert [row.number for row in (one, same, plain, secret)] == [1, 2, 3, 4]
    assert same.opened()["S"] == "x", "an empty secret keeps the one before"
    assert one.digest == same.digest
    assert len({one.digest, plain.digest, secret.digest}) == 3


def test_what_is_half_given_is_refused(place: dict[str, int], acting_as: Callable[..., Any]) -> None:
    with acting_as("operator"):
        with pytest.raises(InvalidInput, match="no value"):
            create(**place, values={}, secrets={"S": ""}, reason="first")
        with pytest.raises(InvalidInput, match="both a value and a secret"):
            create(**place, values={"S": "1"}, secrets={"S": "2"}, reason="first")
    assert not ConfigurationVersion.objects.exists()


@pytest.mark.parametrize("name", ["tester", "auditor", "committee_a", "developer", "outsider"])
def test_who_may_not_configure_production_does_not(
    place: dict[str, int], acting_as: Callable[..., Any], name: str
) -> None:
    with acting_as(name), pytest.raises(NotPermitted):
        create(**place, values={}, secrets={}, reason="x")


def test_a_target_lies_at_an_absolute_path(place: dict[str, int], acting_as: Callable[..., Any]) -> None:
    with acting_as("manager"):
        for root in ("relative", "/srv/../etc", ""):
            with pytest.raises(InvalidInput, match="absolute"):
                create_target(**place, root=root, settings={})
        create_target(**place, root="/srv/datasets", settings={})
    with acting_as("developer"), pytest.raises(NotPermitted):
        create_target(**place, root="/srv/other", settings={})


def test_a_encrypted_value_opens_in_its_own_version_only(place: dict[str, int], acting_as: Callable[..., Any]) -> None:
    with acting_as("operator"):
        one = create(**place, values={}, secrets={"S": "first"}, reason="first")
        two = create(**place, values={}, secrets={"S": "second"}, reason="second")
    two.encrypted = one.encrypted
    with pytest.raises(InvalidTag):
        two.opened()


def test_an_address_with_a_password_is_no_plain_value(place: dict[str, int], acting_as: Callable[..., Any]) -> None:
    telling = {"DATABASE_URL": "postgresql://app:hidden@db.example/app", "BROKEN": "http://[hidden"}
    with acting_as("operator"):
        with pytest.raises(InvalidInput, match="BROKEN, DATABASE_URL") as refused:
            create(**place, values=telling, secrets={}, reason="first")
        assert "hidden" not in str(refused.value)
        create(**place, values={"URL": "https://example.com/a"}, secrets=telling, reason="first")


@pytest.mark.parametrize("key", ["", "A B", "A=1", "A\n", "1A", "Ä", "A.B"])
def test_a_setting_has_a_plain_name(place: dict[str, int], acting_as: Callable[..., Any], key: str) -> None:
    with acting_as("operator"):
        for values, secrets in (({key: "1"}, {}), ({}, {key: "1"})):
            with pytest.raises(InvalidInput, match="setting names are not valid"):
                create(**place, values=values, secrets=secrets, reason="first")
