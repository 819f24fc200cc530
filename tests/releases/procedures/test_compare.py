"""Two procedures compared: one entry a row, and the marks of origin last."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from django.utils import translation
from hypothesis import given, settings, strategies as st

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


def places_of(value: Any, above: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of every value of a document."""
    parts = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    return [(*above, name) for name, _inner in parts] + [
        path for name, inner in parts for path in places_of(inner, (*above, name))
    ]


PLACES = places_of(LEFT)
VALUES = [None, "", "x", " x", "a, b", "null", "1", 0, 1, 1.0, True, False, [], ["a, b"], ["a", "b"], {}, [{}], [[]]]


@settings(deadline=None)
@given(path=st.sampled_from(PLACES), way=st.sampled_from(["put", "drop", "swap", "repeat", "first"]), data=st.data())
def test_two_documents_that_differ_have_an_entry_whose_texts_differ(
    path: tuple[str | int, ...], way: str, data: st.DataObject
) -> None:
    right = copy.deepcopy(LEFT)
    above: Any = right
    for name in path[:-1]:
        above = above[name]
    if way == "put":
        above[path[-1]] = data.draw(st.sampled_from(VALUES))
    elif way == "drop":
        del above[path[-1]]
    elif isinstance(rows := above[path[-1]], list) and rows:
        other = data.draw(st.integers(0, len(rows) - 1))
        if way == "swap":
            rows[0], rows[other] = rows[other], rows[0]
        else:
            rows.insert(0 if way == "first" else other, copy.deepcopy(rows[other]))
    same = json.dumps(LEFT, sort_keys=True) == json.dumps(right, sort_keys=True)
    left_out = way == "drop" and at(LEFT, path) in (None, {}) or way == "put" and at(LEFT, path) is None
    for one, two in ((LEFT, right), (right, LEFT)):
        found = changed(one, two)
        assert left_out or bool(found) is not same, (path, way)
        assert all(before != after for before, after in found.values()), found


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    for name in path:
        value = value[name]
    return value


def test_steps_in_another_order_are_an_entry() -> None:
    right = copy.deepcopy(LEFT)
    steps = right["plans"]["deployment"]
    steps[0], steps[1] = steps[1], steps[0]
    names = [step["key"] for step in LEFT["plans"]["deployment"]]
    with translation.override("en"):
        found = changed(LEFT, right)
    assert found == {
        ("plans", "deployment", "order"): (" → ".join(names), " → ".join([names[1], names[0], *names[2:]]))
    }


def test_a_step_before_others_says_where_and_one_at_the_end_needs_not() -> None:
    new = LEFT["plans"]["deployment"][0] | {"key": "own"}
    for at_place, entries in ((0, 2), (len(LEFT["plans"]["deployment"]), 1)):
        right = copy.deepcopy(LEFT)
        right["plans"]["deployment"].insert(at_place, new)
        assert len(changed(LEFT, right)) == entries


def test_no_row_hides_behind_another_of_its_name() -> None:
    """Two approval rules of one role, for changes of low and of high risk."""
    left = copy.deepcopy(LEFT)
    rule = left["approval_rules"][2] | {"when": {"risk": ["low"]}, "number": 1}
    left["approval_rules"][2:3] = [rule, rule | {"when": {"risk": ["high"]}, "number": 2}]
    right = copy.deepcopy(left)
    right["approval_rules"][3]["number"] = right["approval_rules"][2]["number"] = 1
    name = "regular · production · 1 · committee"
    assert changed(left, right) == {("approval_rules", f"{name} (2)", "number"): ("2", "1")}
    right = copy.deepcopy(left)
    right["approval_rules"][2]["number"] = 5
    assert changed(left, right) == {("approval_rules", name, "number"): ("1", "5")}


@pytest.mark.parametrize(
    ("before", "after"),
    [(["a, b"], ["a", "b"]), ("", None), (True, 1), ([], None), ("x", "x\u200b"), ("a\n", "a"), ("a b", "a\nb")],
)
def test_what_would_read_the_same_is_json(before: Any, after: Any) -> None:
    (texts,) = changed({"x": before}, {"x": after}).values()
    assert texts[0] != texts[1] and all(text.isprintable() for text in texts)


def test_a_parameter_that_is_named_like_a_mark_is_none() -> None:
    left = {"plans": [{"key": "x", "parameters": {"origin": "a"}}]}
    assert list(changed(left, {"plans": []})) == [("plans", "x"), ("plans",)]
    assert "origin: a" in changed(left, {"plans": []})[("plans", "x")][0]
