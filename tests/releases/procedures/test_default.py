"""The default procedure holds the content of the written one and marks the origin of each part."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from environments.calendar import WindowRule, windows
from releases.check_types import by_name
from releases.procedures import parts
from releases.procedures.document import Procedure
from releases.procedures.load import default, digest
from tests.releases.procedures.walking import origins

TEXT = Path(__file__).parents[3] / "docs" / "reference" / "procedure.ja.md"


@pytest.fixture(scope="module")
def procedure() -> Procedure:
    return default()


def _blocks() -> dict[str, Any]:
    """Return class name → the dictionary it assigns, for each Python block of the text."""
    found = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT.read_text("utf-8"), re.DOTALL):
        cls = next(node for node in ast.parse(block).body if isinstance(node, ast.ClassDef))
        assignment = next(node for node in ast.walk(cls) if isinstance(node, ast.Assign))
        found[cls.name] = ast.literal_eval(assignment.value)
    return found


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner)


def _lists(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    if isinstance(value, list):
        yield place, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _lists(inner, (*place, key))


def _words(rows: Iterable[parts.Label]) -> list[str]:
    return [row.ja for row in rows]


def _expected(p: Procedure) -> dict[tuple[str, ...], list[str]]:
    gates = {gate.key: gate.ja for gate in p.gates}
    checks = {check.key: check.ja for check in p.checks}
    monitored = [metric.ja for metric in p.metrics if metric.origin == "written"]
    functional = [checks[key] for key in ("main_functions", "error_handling", "performance")]
    operational = [checks[key] for key in ("monitoring_logs", "monitoring_alerts", "monitoring_backups")]
    back = _words(p.plans.rollback)

    def side(name: str) -> list[str]:
        return [row.ja for row in p.recipient_groups if row.side == name]

    def group(name: str) -> list[str]:
        return [row.ja for row in p.triggers if row.group == name]

    def protection(name: str) -> list[str]:
        return next(_words(row.requires) for row in p.protected_branches if row.key == name)

    return {
        ("ReleasePlanning", "schedule", "emergency", "criteria"): _words(p.schedule.emergency.criteria),
        ("ReleasePlanning", "preparation", "checklist", "requirements"): [
            row.ja for row in p.checklist if row.group == "requirements"
        ],
        ("ReleasePlanning", "preparation", "checklist", "technical"): [
            row.ja for row in p.checklist if row.group == "technical"
        ],
        ("ReleasePlanning", "communication", "stakeholders", "internal"): side("internal"),
        ("ReleasePlanning", "communication", "stakeholders", "external"): side("external"),
        ("ReleasePlanning", "communication", "channels", "notification"): _words(p.channels),
        ("ReleasePlanning", "communication", "channels", "documentation"): _words(p.documents),
        ("ReleaseProcess", "pre_release", "testing", "environments"): _words(p.testing.environments),
        ("ReleaseProcess", "pre_release", "testing", "types"): _words(p.testing.types),
        ("ReleaseProcess", "release", "deployment", "steps"): _words(p.plans.deployment),
        ("ReleaseProcess", "release", "deployment", "verification"): [
            checks[key] for key in ("logs", "metrics", "functions")
        ],
        ("ReleaseProcess", "release", "rollback", "triggers"): _words(p.rollback.reasons),
        ("ReleaseProcess", "release", "rollback", "procedure"): back,
        ("ReleaseProcess", "post_release", "monitoring", "metrics"): monitored,
        ("ReleaseProcess", "post_release", "verification", "functional"): functional,
        ("ReleaseProcess", "post_release", "verification", "operational"): operational,
        ("VersionManagement", "branches", "main", "protection"): protection("main"),
        ("VersionManagement", "branches", "staging", "protection"): protection("staging"),
        ("VersionManagement", "branches", "development", "protection"): protection("development"),
        ("VersionManagement", "tags", "requirements"): _words(p.versions.tag_requirements),
        ("ReleaseVerification", "pre_deployment", "code", "review"): [
            gates[key] for key in ("review", "security_scan", "tests")
        ],
        ("ReleaseVerification", "pre_deployment", "code", "quality"): [
            gates[key] for key in ("coverage", "static_analysis", "performance")
        ],
        ("ReleaseVerification", "pre_deployment", "documentation", "required"): _words(p.documents),
        ("ReleaseVerification", "pre_deployment", "documentation", "review"): _words(p.document_states),
        ("ReleaseVerification", "post_deployment", "functional", "checks"): functional,
        ("ReleaseVerification", "post_deployment", "functional", "metrics"): monitored,
        ("ReleaseVerification", "post_deployment", "operational", "monitoring"): operational,
        ("ReleaseVerification", "post_deployment", "operational", "verification"): [
            checks[key] for key in ("service_state", "data_integrity", "security_settings")
        ],
        ("RollbackProcedure", "triggers", "critical", "system"): group("system"),
        ("RollbackProcedure", "triggers", "critical", "performance"): group("performance"),
        ("RollbackProcedure", "triggers", "non_critical", "functional"): group("functional"),
        ("RollbackProcedure", "triggers", "non_critical", "operational"): group("operational"),
        ("RollbackProcedure", "steps", "preparation", "assessment"): _words(p.rollback.assessment),
        ("RollbackProcedure", "steps", "preparation", "communication"): _words(p.rollback.communication),
        ("RollbackProcedure", "steps", "execution", "order"): back,
        ("RollbackProcedure", "steps", "execution", "verification"): [
            checks[key] for key in ("rollback_logs", "rollback_metrics", "rollback_functions")
        ],
        ("RollbackProcedure", "steps", "post_rollback", "monitoring", "metrics"): monitored,
        ("RollbackProcedure", "steps", "post_rollback", "documentation", "required"): _words(p.rollback.documents),
    }


def test_every_list_of_the_text_is_in_the_default_in_its_order(procedure: Procedure) -> None:
    assert dict(_lists(_blocks())) == _expected(procedure)


def test_every_word_and_value_of_the_text_is_in_the_default(procedure: Procedure) -> None:
    stated = set(_leaves(procedure.model_dump(mode="json")))
    assert sorted(set(_leaves(_blocks())) - stated) == []


def test_every_word_marked_as_the_procedures_is_in_the_text(procedure: Procedure) -> None:
    text = TEXT.read_text("utf-8")
    invented = []

    def walk(value: Any) -> None:
        if isinstance(value, parts.Label) and value.origin == "written" and "ja" not in value.default_fields:
            invented.extend(word for word in (value.ja,) if word not in text)
        if isinstance(value, BaseModel):
            for name in type(value).model_fields:
                walk(getattr(value, name))
        elif isinstance(value, tuple):
            for inner in value:
                walk(inner)

    walk(procedure)
    assert invented == []


def test_milestones_access_and_configuration_equal_the_text(procedure: Procedure) -> None:
    blocks = _blocks()
    timeline = blocks["ReleasePlanning"]["preparation"]["timeline"]
    assert {f"t-{row.days_before}": row.ja for row in procedure.milestones} == timeline
    roles = {"developers": "developer", "testers": "tester", "operators": "operator", "ci": "ci"}
    for key, environment in blocks["EnvironmentManagement"].items():
        row = next(row for row in procedure.environments if row.key == key)
        assert row.ja == environment["purpose"]
        words = {name: getattr(row.configuration, name).ja for name in ("database", "cache", "storage")}
        assert words == environment["configuration"]
        theirs = {(c.role, c.ja) for c in procedure.access if c.environment == key and c.origin == "written"}
        assert theirs == {(roles[who], level) for who, level in environment["access"].items()}
    for cell in procedure.access:
        level = procedure.level_of(cell.role, cell.environment)
        assert level is not None
        assert (level.ja, level.en) == (cell.ja, cell.en)


def test_purpose_readers_and_history_equal_the_text(procedure: Procedure) -> None:
    text = TEXT.read_text("utf-8")
    chapters = dict(re.findall(r"### (1\.\d) [^\n]+\n\n((?:- [^\n]+\n)+)", text))
    assert [line[2:] for line in chapters["1.1"].splitlines()] == _words(procedure.purpose)
    assert [line[2:] for line in chapters["1.2"].splitlines()] == _words(procedure.readers)
    rows = re.findall(r"^\| (\d{4}-\d\d-\d\d) \| (\S+) \| (.+?) \| *$", text, re.MULTILINE)
    assert [(str(row.date), row.version, row.ja) for row in procedure.history] == rows


def test_every_named_check_has_a_type_and_monitoring_lasts_24_hours(procedure: Procedure) -> None:
    by_hand = {check.key for check in procedure.checks if check.type == "manual"}
    assert by_hand == {"data_integrity", "security_settings"}
    for check in procedure.checks:
        by_name(check.type).parameters.model_validate(check.parameters)
    assert (procedure.monitoring.duration_seconds, procedure.rollback.monitoring_seconds) == (86400, 86400)
    assert procedure.threshold_values()["coverage_min"] == "0.90"


def test_measured_triggers_have_the_limits_of_the_text(procedure: Procedure) -> None:
    measured = {row.key: (row.comparison, row.limit, row.k, row.n) for row in procedure.triggers if row.measured}
    assert measured == {
        "service_down": ("absolute", "1", 3, 5),
        "response_time": ("ratio", "3", 3, 5),
        "error_rate": ("absolute", "0.10", 3, 5),
        "resource_use": ("absolute", "0.90", 3, 5),
        "log_anomalies": ("absolute", "1", 1, 1),
        "frequent_alerts": ("absolute", "10", 1, 1),
        "failed_backups": ("absolute", "1", 1, 1),
    }
    operational = {row.key for row in procedure.triggers if row.measured and not row.critical}
    assert operational == {"log_anomalies", "frequent_alerts", "failed_backups"}


def test_the_regular_window_is_the_third_wednesday_from_one_to_five(procedure: Procedure) -> None:
    regular = procedure.schedule.regular
    start, length = time.fromisoformat(regular.start), timedelta(minutes=regular.length_minutes)
    rule = WindowRule(
        name="", rrule=regular.rrule, zone=regular.zone, start=start, length=length, day_offset=regular.day_offset
    )
    window = windows(rule, datetime(2026, 12, 1, tzinfo=UTC), 1)[0]
    assert window.start == datetime(2026, 12, 15, 16, tzinfo=UTC)
    assert window.end == datetime(2026, 12, 15, 20, tzinfo=UTC)


def test_production_asks_two_of_the_committee_and_unprotected_tiers_none(procedure: Procedure) -> None:
    for subject in ("regular", "emergency"):
        asked = {
            place.tier: [(rule.role, rule.number) for rule in procedure.approvals_for(subject, place)]
            for place in procedure.environments
        }
        assert asked == {"development": [("none", 0)], "staging": [("none", 0)], "production": [("committee", 2)]}


def test_only_an_emergency_reaches_production_from_a_hotfix(procedure: Procedure) -> None:
    assert procedure.accepted_patterns("production") == ("main",)
    assert procedure.accepted_patterns("production", emergency=True) == ("main", "hotfix/*")
    assert procedure.accepted_patterns("elsewhere") == ()


def test_the_json_form_round_trips_with_the_same_digest(procedure: Procedure) -> None:
    again = Procedure.checked(procedure.model_dump(mode="json"))
    assert again == procedure
    assert digest(again) == digest(procedure)
    changed = procedure.model_dump(mode="json")
    changed["monitoring"]["interval_seconds"] = 61
    assert digest(Procedure.checked(changed)) != digest(procedure)


def test_every_part_states_its_origin(procedure: Procedure) -> None:
    found = origins(procedure)
    assert len(found) > 200
    assert {origin for _place, origin in found} == {"written", "default"}
    assert ("plans.deployment[0]", "written") in found
