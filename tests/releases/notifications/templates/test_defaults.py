"""Every event has its template in both languages, with existing placeholders; a template needs no reply."""

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
def test_templates_exist_in_both_languages_and_state_the_same_facts(event: str) -> None:
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


def test_an_event_is_defined_once() -> None:
    assert len({event.key for event in EVENTS}) == len(EVENTS)


def test_every_rule_of_the_default_procedure_names_a_notified_event() -> None:
    assert {rule.event for rule in default().notification_rules} == {event.key for event in EVENTS}


def test_a_pre_approved_text_holds_no_internal_value() -> None:
    """Nobody reads a pre-approved text again, so it has no placeholder for text that is written later."""
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
