"""Every event has its words in both languages, with places that exist, and asks for nothing by answering."""

from __future__ import annotations

import re

import pytest
from django.utils.translation import gettext, override

from releases.admin.operations import VERBS
from releases.notifications.templates.defaults import default_words
from releases.notifications.templates.events import EVENTS, PRE_RELEASED
from releases.notifications.templates.placeholders import fault_of, used
from releases.procedures.load import default

QUOTED_EN, QUOTED_JA = re.compile("“([^”]+)”"), re.compile("「([^」]+)」")
JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")


@pytest.mark.parametrize("event", [event.key for event in EVENTS])
def test_the_words_are_there_in_both_languages_and_say_the_same_facts(event: str) -> None:
    ja, en = default_words(event, "ja"), default_words(event, "en")
    for words in (ja, en):
        assert words.subject and words.body and len(words.subject) < 120
        assert not fault_of(words.subject) and not fault_of(words.body)
    assert JAPANESE.search(ja.subject) and not JAPANESE.search(en.subject + en.body)
    assert used(ja.subject + ja.body) == used(en.subject + en.body)


@pytest.mark.parametrize("event", [event.key for event in EVENTS])
def test_a_button_is_quoted_by_its_label(event: str) -> None:
    """The Japanese template quotes the same buttons in the same order, each by the translation of its label."""
    labels = {str(verb.label) for verb in VERBS}
    quoted = [text for text in QUOTED_EN.findall(default_words(event, "en").body) if "{{" not in text]
    assert set(quoted) <= labels
    with override("ja"):
        assert [text for text in QUOTED_JA.findall(default_words(event, "ja").body) if "{{" not in text] == [
            gettext(text) for text in quoted
        ]


def test_an_event_is_named_once() -> None:
    assert len({event.key for event in EVENTS}) == len(EVENTS)


def test_every_rule_of_the_default_procedure_is_about_an_event_that_is_told() -> None:
    assert {rule.event for rule in default().notification_rules} == {event.key for event in EVENTS}


def test_what_is_released_beforehand_names_nothing_that_is_only_known_inside() -> None:
    """Nobody reads it again before it goes out, so that what somebody wrote in haste has no place in it."""
    for event in PRE_RELEASED:
        for language in ("ja", "en"):
            words = default_words(event, language)
            assert used(words.subject + words.body) <= {
                "application",
                "version",
                "occurred_at",
                "window_opens",
                "window_closes",
                "status",
            }
