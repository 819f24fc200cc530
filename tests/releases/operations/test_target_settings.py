"""Options of a target are one schema: read by the code, listed in the documentation, accepted everywhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from audit.models import Event
from audit.refusals import InvalidInput
from releases.operations.application.create import create_application
from releases.operations.target.set_settings import create_target, set_settings
from releases.queries.target_schema import faults_by_key, keys

ROOT = Path(__file__).resolve().parents[3]
# How the code reads an option, and under which part.
READ = (
    (re.compile(r"""(?:target|spec)\.settings(?:\.get\(|\[)"(\w+)\""""), ""),
    (re.compile(r"""\bsettings(?:\.get\(|\[)"(\w+)\""""), ""),
    (re.compile(r"""\bservice(?:\.get\(|\[)"(\w+)\""""), "service."),
    (re.compile(r"""\bready(?:\.get\(|\[)"(\w+)\""""), "service.ready."),
    (re.compile(r"""_settings\([\w.]+\)(?:\.get\(|\[)"(\w+)\""""), "ansible."),
)
UNKNOWN: list[tuple[dict[str, Any], str, str]] = [
    ({"metric_url": "http://127.0.0.1/metrics"}, "metric_url", "metrics_url"),
    ({"service": {"begin": ["run"]}}, "service.begin", "start"),
    ({"service": {"redy": {}}}, "service.redy", "service.ready"),
    ({"service": {"ready": {"uri": "http://x/"}}}, "service.ready.uri", "service.ready.url"),
    ({"stop_seconds": 3}, "stop_seconds", "service.stop_seconds"),
]


@pytest.mark.parametrize(("settings", "key", "near"), UNKNOWN)
def test_an_unknown_option_is_refused_with_its_name_and_the_nearest_one(
    world: Any, settings: dict[str, Any], key: str, near: str
) -> None:
    with world.acting_as("manager"):
        other = create_application(slug="other", name="Other", repository=world.application.repository)
        where = {"application_id": other.pk, "environment_id": world.environments["staging"].pk, "root": "/srv/other"}
        with pytest.raises(InvalidInput) as refused:
            create_target(**where, settings=settings)
        assert f"“{key}” is not an option of a deployment target" in str(refused.value)
        assert near in str(refused.value)
        target = world.targets["staging"]
        with pytest.raises(InvalidInput, match="is not an option of a deployment target"):
            set_settings(target.pk, root=target.root, settings=settings, reason="another command")
    assert world.fresh(target).options == {}


def test_an_option_of_another_type_is_refused_by_name() -> None:
    for settings, key, said in (
        ({"service": {"start": "run --port 8000"}}, "service.start", "list of texts"),
        ({"migrate": []}, "migrate", "must not be empty"),
        ({"service": {"ready": {"url": "8000/health"}}}, "service.ready.url", "begins with http:// or https://"),
        ({"service": {"stop_seconds": "soon"}}, "service.stop_seconds", "must be a number"),
        ({"log": "/var/log/app.log"}, "log", "below the folder"),
        ({"configuration": {"format": "xml"}}, "configuration.format", "must be one of"),
        ({"service": None}, "", "leave out keys without a value: service"),
        ({"ssh": {"host": "app1", "user": "x"}}, "ssh.known_hosts", "is missing"),
    ):
        found = faults_by_key(settings)
        assert list(found) == [key] and said in found[key][0], found


TELLING: list[tuple[dict[str, Any], str]] = [
    ({"metrics_url": "http://probe:geheim@127.0.0.1/metrics"}, "metrics_url"),
    ({"migrate": ["migrate", "--database", "postgresql://app:geheim@db/app"]}, "migrate"),
    ({"migrate": ["migrate", "--password", "geheim"]}, "migrate"),
    ({"migrate": ["/bin/sh", "-c", "PGPASSWORD=geheim psql"]}, "migrate"),
    ({"service": {"start": ["run", "--api-key=geheim"]}}, "service.start"),
    ({"alerts_url": "http://127.0.0.1/alerts?token=geheim"}, "alerts_url"),
    ({"ansible": {"inventory": "web1 ansible_password=geheim"}}, "ansible.inventory"),
    (
        {"ansible": {"inventory": {"all": {"vars": {"ansible_become_pass": "geheim"}}}}},
        "ansible.inventory.all.vars.ansible_become_pass",
    ),
    ({"ansible": {"inventory": "-----BEGIN OPENSSH PRIVATE KEY-----"}}, "ansible.inventory"),
]


@pytest.mark.parametrize(("settings", "key"), TELLING)
def test_a_secret_in_an_option_is_refused_and_not_repeated(settings: dict[str, Any], key: str) -> None:
    found = faults_by_key(settings)
    assert list(found) == [key] and "configuration" in found[key][0] and "geheim" not in found[key][0]


def test_a_placeholder_for_a_secret_is_accepted() -> None:
    for settings in (
        {"migrate": ["migrate", "--password-file", "/run/secrets/db", "--config", "{config}"]},
        {"ansible": {"inventory": "web1 ansible_password={{ lookup('env', 'WEB_PASSWORD') }}"}},
        {"log_error_pattern": "(?:password|token): (wrong|expired)", "database_key": "PASSWORD_URL"},
        {"metrics_url": "http://127.0.0.1:9090/metrics", "service": {"start": ["run", "--token", "{config}"]}},
    ):
        assert faults_by_key(settings) == {}


def test_a_target_with_a_password_is_neither_made_nor_recorded(world: Any) -> None:
    target = world.targets["staging"]
    with world.acting_as("operator"), pytest.raises(InvalidInput, match="“metrics_url” contains a password"):
        set_settings(target.pk, root=target.root, settings=TELLING[0][0], reason="a page with a password")
    assert not [row for row in Event.objects.all() if b"geheim" in bytes(row.bytes)]


def test_every_option_read_by_the_code_is_in_the_schema() -> None:
    known = {*keys()} | {key.rpartition(".")[0] for key in keys()} | {"service"}
    files = [
        path
        for name in ("step_types", "check_types", "metric_sources", "operations", "queries", "worker")
        for path in (ROOT / "releases" / name).rglob("*.py")
    ]
    read = {
        part + name
        for path in [
            *files,
            *(ROOT / "environments/targets").rglob("*.py"),
            ROOT / "environments/connectivity/addresses.py",
        ]
        for pattern, part in READ
        for name in pattern.findall(path.read_text(encoding="utf-8"))
    }
    assert len(read) > 20
    assert read - known == set()


def test_the_documentation_lists_exactly_the_options_of_the_schema() -> None:
    text = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8").partition("## Target options")[2]
    listed = re.findall(r"^\| ((?:`[\w.]+`(?:, )?)+) \|", text, re.MULTILINE)
    assert sorted(name for row in listed for name in re.findall(r"`([\w.]+)`", row)) == sorted(keys())
