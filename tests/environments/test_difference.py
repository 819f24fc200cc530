"""Differences of settings: each value that differs is shown, and no two values read the same."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import translation

from environments.difference import Row, changes, difference
from environments.models import ConfigurationVersion
from environments.secrets import encrypt


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
        ({"a": "x y"}, {"a": "x\ny"}, [("a", '"x y"', '"x\\ny"')]),
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


def version(number: int, values: dict[str, str], secrets: dict[str, str]) -> ConfigurationVersion:
    """Return a version of a configuration that is not stored."""
    made = ConfigurationVersion(application_id=1, environment_id=1, number=number, values=values)
    made.encrypted = {key: encrypt(value, made.aad(key)) for key, value in secrets.items()}
    return made


def test_a_value_that_is_no_longer_secret_differs() -> None:
    """Its value is the same, and each reader of the version sees it from now on."""
    with translation.override("en"):
        left = version(1, {"A": "a"}, {"B": "b", "C": "c", "D": "d"})
        right = version(2, {"B": "b", "C": "x"}, {"A": "a", "D": "d"})
        assert difference(left, right) == [
            Row("A", "changed", True, "•••, not secret", "•••"),
            Row("B", "changed", True, "•••", "•••, not secret"),
            Row("C", "changed", True, "•••", "•••, not secret"),
            Row("D", "same", True, "•••", "•••"),
        ]
        assert difference(left, None)[1] == Row("B", "removed", True, "•••", None)
