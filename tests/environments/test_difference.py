"""Differences of settings: each value that differs is shown, and no two values read the same."""

from __future__ import annotations

from typing import Any

import pytest

from environments.difference import changes


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 2}}, [("a.b", "1", "2")]),
        ({}, {"a.b": "x", "a": {"b": "y"}}, [('"a.b"', "—", "x"), ("a.b", "—", "y")]),
        ({}, {"a": ""}, [("a", "—", '""')]),
        ({"a": []}, {}, [("a", "[]", "—")]),
        ({"a": {}}, {"a": {"b": 1}}, [("a.b", "—", "1")]),
        ({"a": {"b": 1}}, {"a": "x"}, [("a.b", "1", "—"), ("a", "—", "x")]),
        ({"a": {"b": 1}}, {"a": {}}, [("a.b", "1", "—")]),
        ({"a": ["sh", "-c x"]}, {"a": ["sh", "-c", "x"]}, [("a", "sh '-c x'", "sh -c x")]),
        ({"a": "sh -c"}, {"a": ["sh", "-c"]}, [("a", '"sh -c"', '["sh", "-c"]')]),
        ({"a": "true"}, {"a": True}, [("a", '"true"', "true")]),
        ({"a": 1}, {"a": True}, [("a", "1", "true")]),
        ({"a": "—"}, {}, [("a", '"—"', "—")]),
        ({"a": None}, {}, [("a", "null", "—")]),
        ({"a": {"b": 1}}, {"a": {"b": 1}}, []),
        ({"a": "x  y"}, {"a": "x y"}, [("a", '"x \\u0020y"', "x y")]),
        ({"a": "x"}, {"a": "x\u200b"}, [("a", "x", '"x\\u200b"')]),
        ({"a": ["x", "\u202ey"]}, {}, [("a", '["x", "\\u202ey"]', "—")]),
        ({"a": "\u3000"}, {"a": "—\n"}, [("a", '"\\u3000"', '"—\\n"')]),
        ({}, {"a": "x → y"}, [("a", "—", '"x → y"')]),
        ({}, {"a\u202e": "x"}, [('"a\\u202e"', "—", "x")]),
        ({}, {"a": "one\ntwo"}, [("a", "—", "one\ntwo")]),
    ],
)
def test_each_difference_is_shown(before: Any, after: Any, shown: list[tuple[str, str, str]]) -> None:
    assert changes(before, after) == shown
