"""Registries are complete: a test for each type, a demand for each row, an event for each table."""

from __future__ import annotations

import re
from typing import Any

import psycopg
import pytest

from audit.audited_tables import AUDITED_TABLES, NOT_AUDITED, is_history
from releases import channel_types, check_types, metric_sources, step_types
from releases.admin.components.change_history import operation_name
from releases.admin.operations import VERBS
from releases.gates.evaluation import GATES

from .files import ROOT, python, tracked

# Rows of the requirements that no test proves yet; later work takes them out.
PENDING: set[str] = set()


def test_every_table_is_audited_or_says_why_not(database: str) -> None:
    with psycopg.connect(database) as raw:
        rows = raw.execute(
            "SELECT c.relname::text, EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid"
            " AND t.tgname = 'ringi_capture' AND t.tgenabled = 'A')"
            " FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace"
        ).fetchall()
    captured = {table for table, caught in rows if caught}
    uncaught = {table for table, caught in rows if not caught and not is_history(table)}
    assert uncaught - set(NOT_AUDITED) == set(), "a new table: audit it, or say in audit/audited_tables.py why not"
    assert not captured & set(NOT_AUDITED)
    assert len(captured) == len(AUDITED_TABLES), "each entry of the list has its trigger"


def test_every_operation_has_a_name_in_words() -> None:
    """The pages name operations by it, those of processes too."""
    written = set()
    for file in python("releases/operations/", "environments/"):
        written |= set(
            re.findall(r"""(?:operation|record_event)\(\s*"([a-z_]+:[a-z_]+)\"""", (ROOT / file).read_text())
        )
    assert len(written) > 80
    assert {kind for kind in written if operation_name(kind) == kind} == set()


def test_every_audited_column_that_is_left_out_is_no_fact() -> None:
    left_out = {(row.model.split(".")[1], column) for row in AUDITED_TABLES for column in row.unaudited}
    assert left_out == {
        ("Account", "last_login"),
        ("Deployment", "not_before"),
        ("Step", "lease_until"),
        ("MonitoringPeriod", "next_at"),
        ("MonitoringPeriod", "next_checks_at"),
        ("InboxItem", "read_at"),
        ("NotificationDelivery", "tries"),
        ("NotificationDelivery", "next_at"),
        ("NotificationDelivery", "due_at"),
        ("NotificationDelivery", "last_error"),
        ("NotificationChannel", "next_send_at"),
        ("NotificationChannel", "failures"),
        ("NotificationChannel", "last_failure"),
        ("Authenticator", "last_used_at"),
    }
    secret = {(row.model.split(".")[1], column) for row in AUDITED_TABLES for column in row.secret}
    assert {("Account", "password"), ("ConfigurationVersion", "encrypted"), ("Authenticator", "data")} <= secret


@pytest.mark.parametrize(
    ("folder", "names"),
    [
        ("step_types", [each.name for each in step_types.STEP_TYPES]),
        ("check_types", [each.name for each in check_types.CHECK_TYPES]),
        ("metric_sources", [each.name for each in metric_sources.SOURCES]),
        ("channel_types", [each.name for each in channel_types.CHANNEL_TYPES]),
    ],
)
def test_every_type_has_its_test(folder: str, names: list[str]) -> None:
    """A file of its own, or its case in the suite that every type of its contract passes."""
    contract = ROOT / "tests" / "releases" / folder / "test_contract.py"
    suite = contract.read_text(encoding="utf-8") if contract.exists() else ""
    for name in names:
        own = ROOT / "tests" / "releases" / folder / f"test_{name}.py"
        assert own.exists() or f'"{name}"' in suite, f"{folder}: {name}"


def test_every_gate_has_its_test() -> None:
    for gate in GATES:
        module = gate.ask.__module__.rsplit(".", 1)[1]
        own = ROOT / "tests" / "releases" / "gates" / f"test_{module}.py"
        assert own.exists(), f"gate {gate.name}"


def test_types_are_named_once() -> None:
    for names in (
        [each.name for each in step_types.STEP_TYPES],
        [each.name for each in check_types.CHECK_TYPES],
        [each.name for each in metric_sources.SOURCES],
        [each.name for each in channel_types.CHANNEL_TYPES],
        [gate.name for gate in GATES],
    ):
        assert len(names) == len(set(names))


def rows() -> list[list[str]]:
    """The rows of the table of requirements, cell by cell."""
    lines = (ROOT / "docs" / "reference" / "requirements.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [row for row in cells if row[0] != "id" and not set(row[0]) <= {"-", " "}]


def test_every_requirement_has_an_id_and_a_test() -> None:
    found: dict[str, list[str]] = {}
    for row in rows():
        assert len(row) == 5, row[0]
        assert re.fullmatch(r"[A-Z]\d+", row[0]), row[0]
        assert row[0] not in found, f"{row[0]} twice"
        found[row[0]] = re.findall(r"`(tests/[^`]+)`", row[3])
    assert {key for key, tests in found.items() if not tests} == PENDING
    held = set(tracked())
    for key, tests in found.items():
        for test in tests:
            path = test.split("::")[0]
            assert path in held or any(name.startswith(path.rstrip("/") + "/") for name in held), f"{key}: {test}"


def test_no_account_is_a_superuser_and_no_framework_page_is_a_way_round(settings: Any) -> None:
    assert settings.SIMPLE_HISTORY_REVERT_DISABLED and not settings.RQ_SHOW_ADMIN_LINK
    assert not settings.DATABASES["default"]["ATOMIC_REQUESTS"]
    assert all("JSONSerializer" in queue["SERIALIZER"] for queue in settings.RQ_QUEUES.values())
    for name in tracked():
        if name.endswith("urls.py"):
            assert "django_rq" not in (ROOT / name).read_text(encoding="utf-8"), name


def test_each_address_of_an_operation_is_that_of_one_there_is() -> None:
    """In templates, code, and the tables of the tests in a browser: an unknown noun or verb would be a page not
    found.
    """
    ways = (
        r"\{% url ['\"]operation(?:-new)?['\"] ['\"](\w+)['\"] ['\"](\w+)['\"]",
        r"reverse\(\s*\"operation(?:-new)?\",\s*args=\[\s*\"(\w+)\",\s*\"(\w+)\"",
        r"\(\"\w+\", \"(\w+)\", \"(\w+)\", rows\[",
        r"(?<![\w/])/?(?:admin/)?operation/(\w+)/(\w+)(?![\w{])",
        r"\.(?:do|act|refused|choose|press|links|shown_digest)\(\s*(?:\w+, )?\"(\w+):(\w+)\"",
        r"data-verb=\\?['\"](\w+):(\w+)",
    )
    unknown_on_purpose = {("x", "x"), ("release", "no_such_verb")}
    known = {(verb.noun, verb.name) for verb in VERBS} | unknown_on_purpose
    named = {
        (pair, path.name)
        for top in ("releases", "environments", "audit", "tests")
        for path in (ROOT / top).rglob("*")
        if path.suffix in (".html", ".py") and path.name != "test_not_permitted.py"
        for way in ways
        for pair in re.findall(way, path.read_text(encoding="utf-8"))
    }
    assert len(named) > 150 and {(pair, name) for pair, name in named if pair not in known} == set()
