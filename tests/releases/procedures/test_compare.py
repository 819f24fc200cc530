"""Two procedures compared: one entry a row, and the marks of origin last."""

from __future__ import annotations

import copy

from releases.procedures.compare import changed
from releases.procedures.load import default

LEFT = default().model_dump(mode="json")


def test_a_row_that_is_gone_is_one_entry_with_its_values() -> None:
    right = copy.deepcopy(LEFT)
    gone = right["gates"].pop(0)
    (entry,) = changed(LEFT, right).items()
    assert entry == (
        ("gates", "review"),
        (
            "ja: コードレビュー完了; en: Code review completed; key: review; type: evidence; "
            "tiers: staging, production; evidence: review",
            "",
        ),
    )
    assert gone["origin"] == "written", "its mark is no entry of its own"


def test_one_value_is_named_by_its_field_and_several_are_one_entry() -> None:
    right = copy.deepcopy(LEFT)
    right["approval_rules"][2]["number"] = 3
    right["triggers"][0] |= {"critical": not LEFT["triggers"][0]["critical"], "group": "functional"}
    found = changed(LEFT, right)
    assert found[("approval_rules", "regular · production · 1 · committee", "number")] == ("2", "3")
    row = ("triggers", LEFT["triggers"][0]["key"])
    assert LEFT["triggers"][0]["critical"] is True
    before = f"critical: true; group: {LEFT['triggers'][0]['group']}"
    assert found[row] == (before, "critical: false; group: functional")
    assert len(found) == 2


def test_marks_of_origin_come_last() -> None:
    right = copy.deepcopy(LEFT)
    right["gates"][0]["origin"] = "default"
    right["monitoring"] |= {"origin": "default", "interval_seconds": 5}
    right["gates"][1]["ja"] = "別の名前"
    places = list(changed(LEFT, right))
    assert set(places[:2]) == {("gates", "security_scan", "ja"), ("monitoring", "interval_seconds")}
    assert set(places[2:]) == {("gates", "review", "origin"), ("monitoring", "origin")}
