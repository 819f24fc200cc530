"""Fields of the forms refuse what no column keeps, with a message instead of a failure."""

from __future__ import annotations

from typing import Any

import pytest
from django import forms

from releases.admin.components.target_form import CommandField, TextOrObjectField
from releases.admin.operations.fields import JSONText, LinesField, PairsField, ZonedDateTimeField, day

DEEP = "[" * 3000 + "]" * 3000


@pytest.mark.parametrize(
    ("field", "values"),
    [
        (ZonedDateTimeField(), ("0001-01-01T00:00", "9999-12-31T23:59-12:00", "1999-12-31T00:00", "2151-01-01T00:00")),
        (day("day"), ("0001-01-01", "9999-12-31")),
        (LinesField(), ("a\nb\x00",)),
        (PairsField(), ("KEY=a\x00",)),
        (CommandField(), ("run 'a\x00'",)),
        (JSONText(), ("[NaN]", "[1e999]", DEEP, "1" * 5000, '"\\ud800"', '"a\\u0000"')),
        (TextOrObjectField(), ('{"a": NaN}', '{"a": ' + DEEP + "}", '{"a": ' + "1" * 5000 + "}", '{"a": "\\u0000"}')),
    ],
)
def test_a_field_refuses_what_cannot_be_kept(field: forms.Field, values: tuple[str, ...]) -> None:
    for value in values:
        with pytest.raises(forms.ValidationError):
            pytest.fail(f"{value[:20]!r} became {field.clean(value)!r:.80}")


@pytest.mark.parametrize(
    ("field", "given", "kept"),
    [
        (day("day"), "2028-02-29", "2028-02-29"),
        (ZonedDateTimeField(), "2150-12-31T00:00", "2150-12-30 15:00:00+00:00"),
        (JSONText(), '["\\\\u0000"]', "['\\\\u0000']"),
        (LinesField(), "a\nb", "('a', 'b')"),
    ],
)
def test_a_field_keeps_what_can_be_kept(field: forms.Field, given: Any, kept: str) -> None:
    assert kept in (str(field.clean(given)), str(field.clean(given)).replace("+09:00", ""))
