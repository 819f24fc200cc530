"""Secrets never pass, however the output is cut and encoded."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, strategies as st

from environments.targets.masking import MASK, Mask, masked

SECRET = 'pässword "7"/+&'
FORMS = {
    "raw": SECRET,
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "base64 inside": base64.b64encode(f"user:{SECRET}".encode()).decode(),
    "base64 for addresses": base64.urlsafe_b64encode(SECRET.encode()).decode(),
    "URL": quote(SECRET, safe=""),
    "form": quote_plus(SECRET),
    "JSON": json.dumps(SECRET)[1:-1],
    "JSON with its letters": json.dumps(SECRET, ensure_ascii=False)[1:-1],
    "hex": SECRET.encode().hex(),
}


def _stream(text: bytes, size: int, *secrets: str) -> bytes:
    mask = Mask(secrets)
    parts = [mask.feed(text[start : start + size]) for start in range(0, len(text), size)]
    return b"".join([*parts, mask.flush()])


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_each_form_is_masked_across_chunks(form: str, size: int) -> None:
    shown = _stream(f"before {form} after {form}".encode(), size, SECRET)
    assert shown.startswith(b"before ") and b" after " in shown
    assert shown.count(MASK) == 2
    for start in range(0, len(form) - 7):
        assert form[start : start + 8].encode() not in shown


def test_the_password_inside_an_address_is_masked_alone() -> None:
    assert masked("FATAL: hunter%2Ftwo hunter/two", ["postgresql://me:hunter%2Ftwo@host/db"]) == "FATAL: **** ****"


def test_a_longer_secret_with_a_shorter_prefix_leaves_no_end() -> None:
    assert _stream(b"x abcdef y", 5, "abc", "abcdef") == b"x **** y"


def test_overlapping_secrets_leave_nothing_between() -> None:
    for size in range(1, 12):
        assert _stream(b"1 abcdefg 2", size, "abcd", "cdefg") == b"1 **** 2"


def test_an_empty_list_of_secrets_changes_nothing() -> None:
    assert _stream(b"plain", 2, "") == b"plain"


@given(st.lists(st.text("ab", min_size=1, max_size=4), max_size=3), st.text("abc", max_size=30), st.integers(1, 9))
def test_chunk_borders_make_no_difference(secrets: list[str], text: str, size: int) -> None:
    shown = _stream(text.encode(), size, *secrets)
    assert shown == _stream(text.encode(), 1000, *secrets)
    assert not any(secret.encode() in shown for secret in secrets)
