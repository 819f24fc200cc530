"""Mistakes of form, as a stranger makes them: each is named where it stands, and none hides behind an error."""

from __future__ import annotations

import pytest

from releases.procedures.document import Procedure, ProcedureFaults
from releases.procedures.load import DEFAULT
from releases.procedures.process import Process

SMALL = (DEFAULT.parent / "examples" / "small_team" / "procedure.toml").read_text("utf-8")
COVERAGE = '[[thresholds]]\nkey = "coverage_min"\nen = "Coverage"\nvalue = 80\n'


def faults(text: str) -> dict[str, str]:
    """Return place → message of a procedure that is refused."""
    with pytest.raises(ProcedureFaults) as caught:
        Procedure.from_toml(text)
    return {fault.place.partition(" (")[0]: fault.message for fault in caught.value.faults}


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        ('role = "lead"', 'role = ["lead"]', "access[0].role"),
        ('environment = "live"\npatterns', 'environment = ["live"]\npatterns', "accepted_branches[1].environment"),
        ('role = "engineer"\nnumber', 'role = ["engineer"]\nnumber', "approval_rules[0].role"),
        ('key = "preview"', "key = { a = 1 }", "environments[0].key"),
        ('type = "code_deploy"', 'type = ["code_deploy"]', "plans.deployment[0].type"),
        ('metric = "error_rate"', 'metric = ["error_rate"]', "triggers[0].metric"),
        ('type = "all"', 'type = ["all"]', "testing.matrix[0].type"),
        ('subject = "regular"', 'subject = ["regular"]', "approval_rules[0].subject"),
        ('tier = "production"', 'tier = ["production"]', "environments[1].tier"),
        ('type = "http"', 'type = ["http"]', "checks[0].type"),
    ],
)
def test_a_list_in_the_place_of_a_text_is_named(before: str, after: str, place: str) -> None:
    assert before in SMALL
    assert place in faults(SMALL.replace(before, after, 1))


def test_a_character_that_no_column_keeps_is_named() -> None:
    said = "has the character U+0000, which cannot be stored"
    assert faults(SMALL.replace('"How we release"', '"How\\u0000we release"')) == {"name.en": said}
    found = faults(SMALL.replace("parameters = {}", 'parameters = { x = "\\u0000" }', 1))
    assert found["plans.deployment[0].parameters.x"] == said


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        ('measurements_min = "0.90"', 'measurements_min = "90"', "monitoring.measurements_min"),
        ("[[triggers]]", COVERAGE + "[[triggers]]", "thresholds[0].value"),
    ],
)
def test_a_percentage_in_the_place_of_a_share_is_named(before: str, after: str, place: str) -> None:
    assert faults(SMALL.replace(before, after, 1))[place] == 'is a share, from "0" to "1": write "0.80" for 80%'


def test_a_malformed_row_does_not_make_its_list_empty() -> None:
    found = faults(SMALL.replace('unit = "ratio"', 'unit = "share"', 1))
    assert list(found) == ["metrics[0].unit"]


def test_where_a_step_or_check_runs_is_no_language() -> None:
    steps = SMALL.replace('type = "code_deploy"', 'type = "code_deploy"\non = "first"', 1)
    content = Procedure.from_toml(steps.replace('type = "http"', 'type = "http"\non = "web"', 1))
    assert (content.plans.deployment[0].on, content.checks[0].on) == ("first", "web")
    process = Process.checked({"format": 1, "plans": content.plans.model_dump(mode="json")}, content)
    assert process.plans is not None and process.plans.deployment[0].on == "first"


def test_where_it_runs_is_no_label() -> None:
    text = SMALL.replace('en = "Lay down the new code"', 'on = "first"', 1)
    assert {"plans.deployment[0].ja", "plans.deployment[0].en"} <= faults(text).keys()
    assert faults(SMALL.replace('en = "Lead"', 'en = "Lead"\non = "first"', 1)) == {
        "roles[0].on": "is no language of this procedure; add it to languages"
    }
