"""A procedure with faults is refused, and every fault is named with its place."""

from __future__ import annotations

import copy
import inspect
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from releases import check_types, step_types
from releases.evidence_readers import coverage, junit, performance, sarif, security_scan
from releases.models import Document
from releases.procedures.document import Procedure, ProcedureFaults
from releases.procedures.load import DEFAULT, default_text, read
from releases.procedures.values import JUDGED_BY, ROLLBACK_DOCUMENTS

TEXT = default_text()
RAW = tomllib.loads(TEXT)


def _faults(text: str) -> dict[str, str]:
    with pytest.raises(ProcedureFaults) as caught:
        Procedure.from_toml(text)
    return {fault.place: fault.message for fault in caught.value.faults}


def _line(text: str, fragment: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if fragment in line)


def test_all_faults_are_listed_at_once_with_their_lines() -> None:
    text = TEXT
    for wanted, put in (
        ('type = "code_deploy"\nparameters.direction = "deployment"', 'type = "telepathy"\nparameters = {}'),
        ('evidence = "review"\ntiers = ["staging", "production"]', 'evidence = "review"\ntiers = ["staging", "moon"]'),
        ("\nduration_seconds = 86400", '\nduration_seconds = "long"'),
        ('zone = "Asia/Tokyo"\nstart = "01:00"', 'zone = "Asia/Atlantis"\nstart = "25:00"'),
        ('limit = "0.10"\nk = 3', 'limit = "0.10"\nk = 6'),
        ('configuration.cache.en = "Local Redis"', "configuration.cache.en = 3"),
        ("records_years = 7", "records_years = 7\nforever = true"),
    ):
        assert text.count(wanted) == 1, wanted
        text = text.replace(wanted, put)
    # The second branch of three, so that the rows of a row are counted again for each.
    before, after = text.split('ja = "検証環境用"')
    text = before + 'ja = "検証環境用"' + after.replace('key = "tests"', 'key = "luck"', 1)
    faults = _faults(text)
    assert sorted(faults) == sorted(
        [
            f"plans.deployment[2].type (line {_line(text, 'telepathy')})",
            f"gates[0].tiers[1] (line {_line(text, 'moon')})",
            f"monitoring.duration_seconds (line {_line(text, '"long"')})",
            f"schedule.regular.zone (line {_line(text, 'Atlantis')})",
            f"schedule.regular.start (line {_line(text, '25:00')})",
            f"triggers[4].k (line {_line(text, 'k = 6')})",
            f"environments[0].configuration.cache.en (line {_line(text, 'cache.en = 3')})",
            f"protected_branches[1].requires[1].key (line {_line(text, 'luck')})",
            f"retention.forever (line {_line(text, 'forever')})",
        ]
    )
    assert "telepathy" in faults[f"plans.deployment[2].type (line {_line(text, 'telepathy')})"]


def test_a_fault_in_an_inline_table_names_its_line() -> None:
    text = 'purpose = [\n  { key = "a", ja = "い", en = "A", origin = "written" },\n  { key = "b" },\n]\n'
    places = [place for place in _faults(text) if place.startswith("purpose")]
    assert places == [f"purpose[1].{name} (line 3)" for name in ("ja", "en")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of the default procedure."""
    return shutil.copytree(DEFAULT, tmp_path / "own")


def test_a_folder_is_one_document(folder: Path) -> None:
    """The page takes its files one after another as one text."""
    assert read(folder) == Procedure.from_toml(TEXT)
    (folder / "4-03-levels.toml").unlink()
    assert read(folder).levels[0].en == "Full access", "code decides what a level stands for"
    (folder / "3-05-plans.toml").unlink()
    with pytest.raises(ProcedureFaults, match=r"^plans: is missing"):
        read(folder)


def test_a_fault_names_the_file_and_the_line(folder: Path) -> None:
    places = set()
    for name, place, wanted, put in (
        ("6-02-thresholds.toml", "thresholds[0].value", 'value = "0.90"', "value = 0.9"),
        ("7-02-rollback.toml", "rollback.assessment[2].en", 'en = "Timing"', 'en = ""'),
    ):
        text = (folder / name).read_text("utf-8")
        (folder / name).write_text(text.replace(wanted, put), "utf-8")
        places.add(f"{place} ({name}, line {_line(text, wanted)})")
    with pytest.raises(ProcedureFaults) as caught:
        read(folder)
    assert {fault.place for fault in caught.value.faults} == places


def test_a_key_defined_in_two_files_names_both(folder: Path) -> None:
    (folder / "9-more.toml").write_text('# More.\n\n[[gates]]\nkey = "more"\n\n[schedule.extra]\n', "utf-8")
    with pytest.raises(ProcedureFaults) as caught:
        read(folder)
    first = {
        name: _line((DEFAULT / name).read_text("utf-8"), "[") for name in ("6-01-gates.toml", "2-01-schedule.toml")
    }
    assert {str(fault) for fault in caught.value.faults} == {
        f"gates (9-more.toml, line 3): is already defined in 6-01-gates.toml, line {first['6-01-gates.toml']}",
        f"schedule (9-more.toml, line 6): is already defined in 2-01-schedule.toml, line {first['2-01-schedule.toml']}",
    }


def test_every_unreadable_file_of_a_folder_is_named(folder: Path, tmp_path: Path) -> None:
    for name in ("2-04-checklist.toml", "6-01-gates.toml"):
        (folder / name).write_text("[[checklist\n", "utf-8")
    with pytest.raises(ProcedureFaults) as caught:
        read(folder)
    assert [fault.place for fault in caught.value.faults] == ["2-04-checklist.toml", "6-01-gates.toml"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ProcedureFaults, match=r"empty: contains no TOML file"):
        read(tmp_path / "empty")


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


# Changes that make the default procedure invalid, each with the place of its fault.
CHANGES: list[tuple[Callable[[dict[str, Any]], None], str]] = [
    (_drop("approval_rules", subject="regular", tier="production"), "approval_rules"),
    (_drop("approval_rules", subject="procedure"), "approval_rules"),
    (_set("approval_rules", 2, "number", 0), "approval_rules[2]"),
    (_set("approval_rules", 2, "stage", 2), "approval_rules[2]"),
    (_set("approval_rules", 2, "role", "nobody"), "approval_rules[2].role"),
    (_set("approval_rules", 2, "role", "ci"), "approval_rules[2].role"),
    (_set("approval_rules", 0, "number", 1), "approval_rules[0]"),
    (
        _set(
            "approval_rules",
            2,
            {"subject": "regular", "tier": "production", "stage": 0, "role": "none", "number": 0, "origin": "default"},
        ),
        "approval_rules[2].role",
    ),
    (_set("approval_rules", 8, "role", "auditor"), "approval_rules[8].role"),
    (_set("approval_rules", 11, "role", "verifier"), "approval_rules[11].role"),
    (
        _set(
            "approval_rules",
            1,
            {
                "subject": "regular",
                "tier": "staging",
                "stage": 1,
                "role": "committee",
                "number": 1,
                "origin": "default",
            },
        ),
        "approval_rules[1].tier",
    ),
    (_set("final_check", "signers", ["release_manager", "auditor"]), "final_check.signers[1]"),
    (_set("roles", 0, "key", "administrator"), "roles[0].key"),
    (_set("roles", 3, "key", "none"), "roles[3].key"),
    (_set("roles", 0, "based_on", "king"), "roles[0].based_on"),
    (_set("roles", 0, "based_on", "administrator"), "roles[0].based_on"),
    (_set("roles", 0, "based_on", "committee"), "roles[0].based_on"),
    (_set("roles", 0, "account", "service"), "roles[0].account"),
    (_set("environments", 1, "order", 4), "environments[1].order"),
    (_set("environments", 0, "tier", "production"), "environments[1].order"),
    (_set("environments", 2, "protected", False), "environments[2].protected"),
    (_set("environments", 2, "after_hours", 24), "environments[2].after_hours"),
    (_set("environments", 0, "key", "checks"), "environments[0].key"),
    (_set("gates", 0, "environments", ["moon"]), "gates[0].environments[0]"),
    (_set("gates", 0, "tiers", []), "gates[0]"),
    (_set("testing", "matrix", 0, "required", False), "gates[2]"),
    (_set("gates", 14, "environments", ["staging"]), "gates[14].environments[0]"),
    (_set("gates", 16, "when", {"risk": ["high"]}), "environments[2].protected"),
    (_set("gates", 0, "when", {"risk": ["extreme"]}), "gates[0].when.risk[0]"),
    (_set("milestones", 4, "when", {"kind": ["regular"]}), "milestones[4].when"),
    (_set("approval_rules", 2, "environment", "production"), "approval_rules[2]"),
    (_set("approval_rules", 2, "when", {"risk": ["high"]}), "approval_rules[2]"),
    (_set("schedule", "emergency", "milestones", []), "schedule.emergency.milestones"),
    (
        lambda raw: raw["approval_rules"].append(
            {"subject": "regular", "environment": "staging", "stage": 1, "role": "committee", "number": 1}
        ),
        f"approval_rules[{len(RAW['approval_rules'])}].environment",
    ),
    (_set("approval_rules", 2, "decisions", ["reject"]), "approval_rules[2].decisions"),
    (_set("approval_rules", 2, "number", 0), "approval_rules[2]"),
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
    (_set("schedule", "emergency", "milestones", 0, "key", "nap"), "schedule.emergency.milestones[0].key"),
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
]


@pytest.mark.parametrize(("change", "place"), CHANGES)
def test_an_invalid_value_is_refused_with_its_place(change: Callable[[dict[str, Any]], None], place: str) -> None:
    raw = copy.deepcopy(RAW)
    change(raw)
    with pytest.raises(ProcedureFaults) as caught:
        Procedure.checked(raw)
    assert place in [fault.place for fault in caught.value.faults]


def test_an_empty_text_names_every_missing_part() -> None:
    faults = _faults("")
    assert set(faults) == REQUIRED
    assert set(faults.values()) == {"is missing"}


REQUIRED = {"format", "version", "name", "roles", "access", "environments", "schedule", "accepted_branches"}
REQUIRED |= {"approval_rules", "gates", "plans", "checks", "metrics", "monitoring"}
# Tables of which each value may be left out; lists that may be empty are those that may be left out.
OPEN_TABLES = {"final_check", "reminders", "retention", "rollback", "testing", "versions"}
FULL_LISTS = {"follow_ups", "levels", "team_roles", "thresholds"}
FULL_LISTS |= {"channels", "documents", "milestones", "recipient_groups"}  # other parts of this document name rows


@pytest.mark.parametrize("section", sorted(RAW))
def test_a_part_of_another_shape_is_refused(section: str) -> None:
    for shape in ({}, [], [[]], [3], "text", -1, None, {"a": {"b": []}}):
        raw = {**RAW, section: shape}
        if shape == [] and section not in REQUIRED | OPEN_TABLES | FULL_LISTS:
            assert getattr(Procedure.checked(raw), section) == ()
            continue
        if shape == {} and section in OPEN_TABLES:
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


def test_a_caller_may_name_more_types() -> None:
    raw = copy.deepcopy(RAW)
    plain = next(place for place, gate in enumerate(raw["gates"]) if gate["type"] == "promotion")
    raw["checks"][10]["type"] = raw["gates"][plain]["type"] = "smoke"
    checks, gates = ({row["type"] for row in raw[name]} for name in ("checks", "gates"))
    assert Procedure.checked(raw, check_types=checks, gate_types=gates).checks[10].type == "smoke"
    with pytest.raises(ProcedureFaults, match="smoke") as caught:
        Procedure.checked(raw)
    assert {f"gates[{plain}].type", "checks[10].type"} <= {fault.place for fault in caught.value.faults}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (_set("plans", "deployment", 0, "parameters", {"proof": "full"}), "plans.deployment[0].parameters.proof"),
        (_set("plans", "rollback", 0, "parameters", {"on": "perhaps"}), "plans.rollback[0].parameters.on"),
        (_set("checks", 0, "parameters", {"pattern": "("}), "checks[0].parameters.pattern"),
        (_set("checks", 0, "parameters", {"patern": "x"}), "checks[0].parameters.patern"),
    ],
)
def test_unknown_parameters_of_a_type_are_found_on_reading(
    change: Callable[[dict[str, Any]], None], place: str
) -> None:
    raw = copy.deepcopy(RAW)
    assert Procedure.checked(raw, step_types=step_types.shapes(), check_types=check_types.shapes())
    change(raw)
    with pytest.raises(ProcedureFaults) as caught:
        Procedure.checked(raw, step_types=step_types.shapes(), check_types=check_types.shapes())
    assert place in [fault.place for fault in caught.value.faults]


def test_documents_and_thresholds_must_be_known_to_the_product() -> None:
    assert set(Document.Kind.values) > ROLLBACK_DOCUMENTS
    evaluates = {
        "junit": junit,
        "coverage": coverage,
        "sarif": sarif,
        "security_scan": security_scan,
        "performance": performance,
    }
    for kind, threshold in JUDGED_BY.items():
        assert f'limits["{threshold}"]' in inspect.getsource(evaluates[kind].evaluate)
    assert set(JUDGED_BY) == {gate["evidence"] for gate in RAW["gates"] if gate.get("threshold")}


def test_invalid_toml_is_reported_with_its_line() -> None:
    assert "line 1" in _faults("format = = 1")["(the text)"]


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProcedureFaults, match="absent.toml"):
        read(tmp_path / "absent.toml")
    (tmp_path / "sjis.toml").write_bytes('name = "リリース"'.encode("shift_jis"))
    with pytest.raises(ProcedureFaults, match="UTF-8"):
        read(tmp_path / "sjis.toml")


def test_a_procedure_cannot_be_changed() -> None:
    procedure = Procedure.from_toml(TEXT)
    with pytest.raises(ValueError, match="frozen"):
        procedure.monitoring.duration_seconds = 1
