"""A procedure with faults is not taken, and every fault is named with its place."""

from __future__ import annotations

import copy
import inspect
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from releases import check_types, step_types
from releases.evidence_readers import coverage, junit, performance, sarif, security_scan
from releases.models import Document
from releases.procedures.document import Procedure, ProcedureFaults
from releases.procedures.load import DEFAULT, read
from releases.procedures.values import DOCUMENTS, JUDGED_BY

TEXT = DEFAULT.read_text("utf-8")
RAW = tomllib.loads(TEXT)


def _faults(text: str) -> dict[str, str]:
    with pytest.raises(ProcedureFaults) as caught:
        Procedure.from_toml(text)
    return {fault.place: fault.message for fault in caught.value.faults}


def _line(fragment: str) -> int:
    return next(number for number, line in enumerate(TEXT.splitlines(), 1) if fragment in line)


def test_all_faults_are_listed_at_once_with_their_lines() -> None:
    text = (
        TEXT.replace(
            'type = "code_deploy", parameters = { direction = "deployment" }', 'type = "telepathy", parameters = {}'
        )
        .replace('"review", tiers = ["staging", "production"]', '"review", tiers = ["staging", "moon"]')
        .replace("duration_seconds = 86400", 'duration_seconds = "long"')
        .replace('zone = "Asia/Tokyo"\nstart = "01:00"', 'zone = "Asia/Atlantis"\nstart = "25:00"')
        .replace('k = 3, n = 5, ja = "エラーレート10%以上"', 'k = 6, n = 5, ja = "エラーレート10%以上"')
        .replace("records_years = 7", "records_years = 7\nforever = true")
    )
    faults = _faults(text)
    assert sorted(faults) == sorted(
        [
            f"plans.deployment[2].type (line {_line('コードデプロイ')})",
            f"gates[0].tiers[1] (line {_line('コードレビュー完了')})",
            f"monitoring.duration_seconds (line {_line('duration_seconds')})",
            f"schedule.regular.zone (line {_line('start = ') - 1})",
            f"schedule.regular.start (line {_line('start = ')})",
            f"triggers[4].k (line {_line('エラーレート10%以上')})",
            f"retention.forever (line {len(TEXT.splitlines()) + 1})",
        ]
    )
    assert "telepathy" in faults[f"plans.deployment[2].type (line {_line('コードデプロイ')})"]


def _drop(section: str, **match: str) -> Callable[[dict[str, Any]], None]:
    def change(raw: dict[str, Any]) -> None:
        raw[section] = [row for row in raw[section] if not all(row[k] == v for k, v in match.items())]

    return change


def _set(*path: Any) -> Callable[[dict[str, Any]], None]:
    *place, name, value = path

    def change(raw: dict[str, Any]) -> None:
        here: Any = raw
        for part in place:
            here = here[part]
        here[name] = value

    return change


def _append(section: str, index: int) -> Callable[[dict[str, Any]], None]:
    return lambda raw: raw[section].append(raw[section][index])


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (_drop("approval_rules", subject="regular", tier="production"), "approval_rules"),
        (_drop("approval_rules", subject="procedure"), "approval_rules"),
        (_set("approval_rules", 2, "number", 0), "approval_rules[2]"),
        (_set("approval_rules", 2, "stage", 2), "approval_rules[2]"),
        (_set("approval_rules", 2, "role", "nobody"), "approval_rules[2].role"),
        (_set("approval_rules", 2, "role", "ci"), "approval_rules[2].role"),
        (_set("approval_rules", 0, "number", 1), "approval_rules[0]"),
        (_set("approval_rules", 2, {"subject": "regular", "tier": "production", "stage": 0, "role": "none",
                              "number": 0, "origin": "default"}), "approval_rules[2].role"),
        (_set("approval_rules", 2, "role", "project_manager"), "approval_rules[2].role"),
        (_set("approval_rules", 5, "role", "operator"), "approval_rules[5].role"),
        (_set("approval_rules", 8, "role", "auditor"), "approval_rules[8].role"),
        (_set("approval_rules", 11, "role", "verifier"), "approval_rules[11].role"),
        (_set("approval_rules", 12, "role", "developer"), "approval_rules[12].role"),
        (_set("approval_rules", 13, "role", "project_manager"), "approval_rules[13].role"),
        (_set("approval_rules", 14, "role", "operator"), "approval_rules[14].role"),
        (_set("approval_rules", 1, {"subject": "regular", "tier": "staging", "stage": 1, "role": "committee",
                               "number": 1, "origin": "default"}), "approval_rules[1].tier"),
        (_set("final_check", "signers", ["release_manager", "committee"]), "final_check.signers[1]"),
        (_set("environments", 1, "tier", "production"), "environments[2].tier"),
        (_set("environments", 1, "order", 4), "environments[2].order"),
        (_set("environments", 1, "protected", True), "environments[1].protected"),
        (_set("gates", 14, "tiers", ["staging", "production"]), "gates[14].tiers[0]"),
        (_set("gates", 11, "tiers", ["staging", "production"]), "gates[11].tiers[0]"),
        (_append("gates", 0), "gates[18].key"),
        (_drop("gates", key="approval"), "environments[2].protected"),
        (_drop("gates", key="change_window"), "environments[2].protected"),
        (_set("gates", 16, "tiers", ["staging"]), "environments[2].protected"),
        (_append("access", 0), "access[12].role"),
        (_drop("accepted_branches", environment="staging"), "environments[1]"),
        (_set("gates", 3, "threshold", "unheard_of"), "gates[3].threshold"),
        (_set("gates", 3, "threshold", "static_errors_max"), "gates[3].threshold"),
        (_set("gates", 3, "evidence", ""), "gates[3].evidence"),
        (_set("levels", 0, "key", "godlike"), "levels[0].key"),
        (_set("roles", 0, "key", "stranger"), "roles[0].key"),
        (_set("documents", 0, "key", "poem"), "documents[0].key"),
        (_set("rollback", "documents", 0, "key", "poem"), "rollback.documents[0].key"),
        (_set("access", 0, "level", "godlike"), "access[0].level"),
        (_set("access", 0, "role", "stranger"), "access[0].role"),
        (_set("triggers", 4, "metric", "mood"), "triggers[4].metric"),
        (_set("triggers", 4, "k", 0), "triggers[4]"),
        (_set("monitoring", "metrics", ["mood"]), "monitoring.metrics[0]"),
        (_set("team_roles", 0, "key", "cook"), "team_roles[0].key"),
        (_set("team_roles", 0, "key", "cook"), "team_roles"),
        (_set("document_states", 2, "key", "signed"), "document_states[2].key"),
        (_set("versions", "tag_requirements", 0, "key", "codename"), "versions.tag_requirements[0].key"),
        (_set("rollback", "assessment", 2, "key", "weather"), "rollback.assessment"),
        (_set("thresholds", 0, "key", "bugs_max"), "thresholds[0].key"),
        (_set("follow_ups", 0, "key", "cake"), "follow_ups[0].key"),
        (_set("plans", "deployment", 0, "parameters", {"seconds": 1.5}), "plans.deployment[0].parameters"),
        (_set("plans", "deployment", []), "plans.deployment"),
        (_set("checks", 0, "type", "hunch"), "checks[0].type"),
        (_set("checks", 9, "type", "manual"), "checks[9].type"),
        (_set("milestones", 1, "days_before", 14), "milestones[1].days_before"),
        (_set("milestones", 4, "days_before", 1), "milestones[4].days_before"),
        (_set("schedule", "emergency", "milestones", 0, "key", "nap"),
         "schedule.emergency.milestones[0].key"),
        (_set("schedule", "regular", "rrule", "FREQ=HOURLY"), "schedule.regular.rrule"),
        (_set("version", "2.0.0"), "version"),
        (_set("version", "two"), "version"),
        (_set("history", 1, "date", "2023-01-01"), "history[1].date"),
        (_set("history", 1, "date", 5), "history[1].date"),
        (_set("testing", "matrix", 0, "type", "smoke"), "testing.matrix"),
        (_set("versions", "meanings", 1, "change_types", ["breaking"]), "versions.meanings[1].change_types[0]"),
        (_set("versions", "tag_format", "v"), "versions.tag_format"),
        (_set("thresholds", 0, "value", 0.9), "thresholds[0].value"),
        (_set("thresholds", 0, "value", "NaN"), "thresholds[0].value"),
        (_set("final_check", "signers", ["king"]), "final_check.signers[0]"),
        (_set("purpose", 0, "ja", " "), "purpose[0].ja"),
        (_set("purpose", 0, "origin", "hearsay"), "purpose[0].origin"),
        (_set("gates", 0, "default_fields", ["colour"]), "gates[0]"),
        (_set("environments", 0, "protected", "yes"), "environments[0].protected"),
        (_set("format", 2), "format"),
    ],
)  # fmt: skip
def test_it_refuses_what_does_not_fit_and_names_the_place(change: Callable[[dict[str, Any]], None], place: str) -> None:
    raw = copy.deepcopy(RAW)
    change(raw)
    with pytest.raises(ProcedureFaults) as caught:
        Procedure.checked(raw)
    assert place in [fault.place for fault in caught.value.faults]


def test_an_empty_text_names_every_missing_part() -> None:
    faults = _faults("")
    assert set(faults) == set(Procedure.model_fields)
    assert set(faults.values()) == {"is missing"}


@pytest.mark.parametrize("section", sorted(RAW))
def test_no_part_may_be_of_another_shape(section: str) -> None:
    for shape in ({}, [], [[]], [3], "text", -1, None, {"a": {"b": []}}):
        raw = {**RAW, section: shape}
        if shape == [] and section in ("notification_rules", "workflows", "follow_ups"):
            continue
        with pytest.raises(ProcedureFaults):
            Procedure.checked(raw)


def test_a_broken_row_hides_no_fault_elsewhere() -> None:
    raw = copy.deepcopy(RAW)
    raw["roles"][0] = "release_manager"
    raw["gates"][3]["threshold"] = "unheard_of"
    with pytest.raises(ProcedureFaults) as caught:
        Procedure.checked(raw)
    places = [fault.place for fault in caught.value.faults]
    assert "roles[0]" in places
    assert "gates[3].threshold" in places


def test_more_kinds_may_be_named_by_the_caller() -> None:
    raw = copy.deepcopy(RAW)
    raw["checks"][10]["type"] = "smoke"
    kinds = {check["type"] for check in raw["checks"]}
    assert Procedure.checked(raw, check_types=kinds).checks[10].type == "smoke"
    with pytest.raises(ProcedureFaults, match="smoke"):
        Procedure.checked(raw)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (_set("plans", "deployment", 0, "parameters", {"proof": "full"}), "plans.deployment[0].parameters.proof"),
        (_set("plans", "rollback", 0, "parameters", {"on": "perhaps"}), "plans.rollback[0].parameters.on"),
        (_set("checks", 0, "parameters", {"pattern": "("}), "checks[0].parameters.pattern"),
        (_set("checks", 0, "parameters", {"patern": "x"}), "checks[0].parameters.patern"),
    ],
)
def test_parameters_that_a_kind_does_not_take_are_found_when_it_is_read(
    change: Callable[[dict[str, Any]], None], place: str
) -> None:
    raw = copy.deepcopy(RAW)
    assert Procedure.checked(raw, step_types=step_types.shapes(), check_types=check_types.shapes())
    change(raw)
    with pytest.raises(ProcedureFaults) as caught:
        Procedure.checked(raw, step_types=step_types.shapes(), check_types=check_types.shapes())
    assert place in [fault.place for fault in caught.value.faults]


def test_documents_and_thresholds_are_those_that_the_product_knows() -> None:
    assert set().union(*DOCUMENTS.values()) == set(Document.Kind.values)
    evaluates = {"junit": junit, "coverage": coverage, "sarif": sarif, "security_scan": security_scan,
              "performance": performance}  # fmt: skip
    for kind, threshold in JUDGED_BY.items():
        assert f'limits["{threshold}"]' in inspect.getsource(evaluates[kind].evaluate)
    assert set(JUDGED_BY) == {gate["evidence"] for gate in RAW["gates"] if gate.get("threshold")}


def test_what_is_not_toml_is_said_with_its_line() -> None:
    assert "line 1" in _faults("format = = 1")["(the text)"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProcedureFaults, match="absent.toml"):
        read(tmp_path / "absent.toml")
    (tmp_path / "sjis.toml").write_bytes('name = "リリース"'.encode("shift_jis"))
    with pytest.raises(ProcedureFaults, match="UTF-8"):
        read(tmp_path / "sjis.toml")


def test_a_procedure_cannot_be_changed() -> None:
    procedure = Procedure.from_toml(TEXT)
    with pytest.raises(ValueError, match="frozen"):
        procedure.monitoring.duration_seconds = 1  # type: ignore[misc]
