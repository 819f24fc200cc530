"""A recorded message: joined, cut, masked and sent unchanged, and put into words in its reader's language."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from django.utils import translation

from environments.targets import words
from environments.targets.masking import masked
from environments.targets.message import Message


@pytest.fixture
def recording() -> Iterator[None]:
    words.record()
    yield
    words.record(False)


def test_each_reader_gets_a_message_in_their_language(recording: None) -> None:
    stored = f"pass: {words.gettext('running, %(seconds)d s') % {'seconds': 2}} (limit ≥ 1)\npid 7"
    assert words.in_words(stored) == "pass: running, 2 s (limit ≥ 1)\npid 7"
    with translation.override("ja"):
        assert words.in_words(stored) == "pass: 稼働中、2 秒 (limit ≥ 1)\npid 7"
    assert json.loads(stored.partition("⟦")[2].partition("⟧")[0]) == ["running, %(seconds)d s", {"seconds": 2}]


def test_a_process_that_knows_its_reader_translates_at_once() -> None:
    with translation.override("ja"):
        assert words.gettext("stopped") == words.in_words(words.gettext_noop("stopped")) != "stopped"


def test_a_message_may_contain_another_one(recording: None) -> None:
    inner = words.gettext("process %(pid)d does not end, even after the KILL signal") % {"pid": 7}
    outer = words.gettext("Not restored: %(what)s") % {"what": inner}
    with translation.override("ja"):
        assert "7" in words.in_words(outer) and "⟦" not in words.in_words(outer)


def test_secrets_are_masked_in_message_values(recording: None) -> None:
    for secret in ('qu"ote\\d', "パスワード", "plain-secret"):
        stored = masked(words.gettext("The log cannot be read: %(why)s") % {"why": secret}, {secret})
        assert secret not in words.in_words(stored) and "****" in words.in_words(stored)


@pytest.mark.parametrize("end", range(1, 45))
def test_a_truncated_message_never_shows_its_inside(recording: None, end: int) -> None:
    stored = words.gettext("running, %(seconds)d s") % {"seconds": 2}
    shown = words.in_words(stored[:end])
    assert "seconds" not in shown.replace("%(seconds)d", "") or end < 30


def test_a_text_that_resembles_a_message_stays_harmless() -> None:
    assert words.in_words("[⟦x⟧] ⟦[1]⟧ 100%") == "[⟦x⟧] ⟦[1]⟧ 100%"
    assert len(words.in_words('⟦["%(a)999999999d", {"a": 1}]⟧')) < 100
    assert words.in_words(Message("%(a)s", {"b": 1})) == "%(a)s"
    assert words.in_words(Message("%(a)s", {"a": "⟦not one⟧"})) == "⟦not one⟧"
