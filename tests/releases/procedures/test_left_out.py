"""What a document may leave out, and in which languages it may be written."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest

from releases.procedures.document import Procedure, ProcedureFaults
from releases.procedures.load import DEFAULT, default, digest, read
from releases.procedures.save import as_files, as_text

EXAMPLES = Path(DEFAULT).parent / "examples"
SMALL = tomllib.loads((EXAMPLES / "small_team" / "procedure.toml").read_text("utf-8"))


def refused(raw: dict[str, Any]) -> dict[str, str]:
    """Return place → fault."""
    with pytest.raises(ProcedureFaults) as caught:
        Procedure.checked(raw)
    return {fault.place: fault.message for fault in caught.value.faults}


def test_sections_that_code_decides_are_those_of_the_shipped_procedure() -> None:
    small, shipped = Procedure.checked(SMALL), default()
    assert [row.key for row in small.follow_ups] == [row.key for row in shipped.follow_ups]
    assert small.threshold_values() == shipped.threshold_values()
    assert small.rollback.reasons[0].en == shipped.rollback.reasons[0].en
    assert small.rollback.reasons[0].origin == "", "nothing here is of a written procedure"
    assert small.rollback.monitoring_duration is None


def test_one_value_of_such_a_section_may_be_written() -> None:
    small = Procedure.checked(SMALL | {"retention": {"backups_days": 5}})
    assert (small.retention.backups_days, small.retention.records_years) == (5, default().retention.records_years)


def test_a_document_without_emergencies_has_none() -> None:
    small = Procedure.checked(SMALL)
    assert (small.criteria("emergency"), small.validity_hours(), small.emergency_hours()) == ((), 0, {})


@pytest.mark.parametrize("name", sorted(folder.name for folder in EXAMPLES.iterdir()))
def test_an_example_is_the_same_when_it_is_saved_and_read_again(name: str) -> None:
    content = read(EXAMPLES / name)
    assert digest(Procedure.from_toml(as_files(content))) == digest(content)
    assert digest(Procedure.from_toml(as_text(content))) == digest(content)


def test_words_in_a_further_language_are_kept_and_shown_where_nothing_else_is() -> None:
    raw = copy.deepcopy(SMALL)
    raw["languages"] = ["de"]
    raw["name"] = {"de": "Wie wir freigeben"}
    faults = refused(raw)
    assert faults["roles[0]"] == "has no words in 'de', a language of this procedure"
    german = Procedure.checked(_translated(raw))
    name = german.name
    assert {language: name.label(language) for language in ("de", "de-CH", "en", "ja")} == dict.fromkeys(
        ("de", "de-CH", "en", "ja"), "Wie wir freigeben"
    )


def _translated(value: Any) -> Any:
    """Say everything in German only, by the English words."""
    if isinstance(value, list):
        return [_translated(row) for row in value]
    if isinstance(value, dict):
        return {("de" if key == "en" else key): _translated(inner) for key, inner in value.items()}
    return value


def test_a_language_that_the_procedure_does_not_name_is_a_mistake() -> None:
    raw = copy.deepcopy(SMALL)
    raw["roles"][0]["jp"] = "責任者"
    assert refused(raw)["roles[0].jp"] == "is no language of this procedure; add it to languages"


def test_an_unknown_key_of_a_row_with_words_is_named() -> None:
    raw = copy.deepcopy(SMALL)
    raw["roles"][0]["acount"] = "person"
    assert refused(raw) == {"roles[0].acount": "is not known here"}


def test_tests_that_nothing_requires_are_no_gate() -> None:
    raw = copy.deepcopy(SMALL)
    raw["testing"]["matrix"][0]["required"] = False
    assert refused(raw) == {"gates[0]": "asks for test reports, but testing.matrix requires none before 'live'"}


@pytest.mark.parametrize("when", ["deployment", "rollback"])
def test_a_document_without_an_automatic_check_is_refused(when: str) -> None:
    raw = copy.deepcopy(SMALL)
    raw["checks"] = [row for row in raw["checks"] if row["when"] != when]
    assert refused(raw) == {"checks": f"has no automatic check of a {when}, so that nothing would tell that it works"}


def test_a_second_environment_of_production_comes_after_the_first() -> None:
    raw = copy.deepcopy(SMALL)
    raw["environments"].append(raw["environments"][1] | {"key": "second", "order": 3})
    raw["accepted_branches"].append({"environment": "second", "patterns": ["main"]})
    raw["access"].append({"role": "engineer", "environment": "second", "level": "operate", "en": "Operates"})
    assert Procedure.checked(raw).environments[2].key == "second"
    raw["gates"] = [row for row in raw["gates"] if row["type"] != "promotion"]
    assert refused(raw) == {
        "environments[2]": "needs a gate of the type 'promotion': it comes after another environment of production"
    }


@pytest.mark.parametrize(
    ("patterns", "place"), [([], "schedule.emergency"), (["hotfix/*"], "environments[1]"), (["main"], "")]
)
def test_an_emergency_that_no_branch_could_bring_is_refused(patterns: list[str], place: str) -> None:
    """Without patterns of emergencies none could be planned; where production does not accept one, none gets there."""
    raw = copy.deepcopy(SMALL)
    rule = {"subject": "emergency", "tier": "production", "stage": 1, "role": "engineer", "number": 1}
    raw["approval_rules"].append(rule)
    raw["schedule"]["emergency"] = {"criteria": [{"key": "down", "en": "Down"}], "approval": {"en": "One"}}
    raw["schedule"]["emergency"]["validity_hours"] = 8
    raw["gates"].append({"key": "branch", "en": "Branch", "type": "branch", "tiers": ["production"]})
    raw["accepted_branches"] = [
        {"environment": "preview", "patterns": ["release/*"], "emergency_patterns": patterns},
        {"environment": "live", "patterns": ["main"]},
    ]
    if not place:
        assert Procedure.checked(raw).criteria("emergency")
        return
    assert list(refused(raw)) == [place]
