"""Slack's incoming webhook: blocks with a link, no mentions, and the answers that are final."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from email.utils import formatdate

import pytest

from releases.channel_types.base import NotDelivered
from releases.channel_types.slack import HEADER, SECTION, Slack
from tests.releases.channel_types.messages import message, near
from tests.releases.channel_types.receivers import Receiver, receiver


@pytest.fixture
def slack() -> Iterator[Receiver]:
    """A receiver in Slack's place."""
    with receiver() as running:
        yield running


def test_slack_receives_a_header_the_text_and_a_page_button(slack: Receiver) -> None:
    assert Slack().send(message(), near(slack.base + "/services/T/B/key")) == "ok"
    (got,) = slack.posted
    sent = json.loads(got.body)
    header, section, actions = sent["blocks"]
    assert got.path == "/services/T/B/key" and got.headers["content-type"].startswith("application/json")
    assert header["text"] == {"type": "plain_text", "text": message().subject, "emoji": False}
    assert "&lt;script&gt;" in section["text"]["text"] and section["text"]["type"] == "mrkdwn"
    (button,) = actions["elements"]
    assert button["url"] == message().url and button["text"]["text"] == "画面を開く"
    assert set(button) == {"type", "text", "url"}, "nothing is decided in Slack"


def test_a_text_mentions_no_user_and_hides_no_link(slack: Receiver) -> None:
    Slack().send(message(subject="<!channel>", text="<!here> <https://evil.example|release>"), near(slack.base))
    sent = json.loads(slack.posted[0].body)
    assert sent["blocks"][0]["text"]["type"] == "plain_text", "in which Slack reads no markup"
    for text in (sent["text"], sent["blocks"][1]["text"]["text"]):
        assert "<!" not in text and "<https" not in text


def test_long_texts_keep_the_limits_of_blocks(slack: Receiver) -> None:
    Slack().send(message(subject="題" * 300, text="&" * 5000), near(slack.base))
    header, section = json.loads(slack.posted[0].body)["blocks"][:2]
    assert len(header["text"]["text"]) == HEADER and len(section["text"]["text"]) <= SECTION


def test_a_long_text_with_an_early_ampersand_is_cut_at_its_end(slack: Receiver) -> None:
    Slack().send(message(text="R&D " + "文" * 5000), near(slack.base))
    Slack().send(message(text="x" * (SECTION - 4) + "<" * 9), near(slack.base))
    early, late = (json.loads(got.body)["blocks"][1]["text"]["text"] for got in slack.posted)
    assert len(early) == SECTION and early.startswith("R&amp;D 文")
    assert late == "x" * (SECTION - 4) + "…", "and inside no escape"


@pytest.mark.parametrize(
    ("status", "body", "lasting"),
    [
        (404, "no_service", True),
        (410, "channel_is_archived", True),
        (403, "action_prohibited", True),
        (500, "server_error", False),
        (403, "other", False),
    ],
)
def test_final_answers_are_told_from_temporary_ones(slack: Receiver, status: int, body: str, lasting: bool) -> None:
    slack.answers = [(status, body, {})]
    with pytest.raises(NotDelivered, match=body) as fault:
        Slack().send(message(), near(slack.base))
    assert fault.value.lasting is lasting


@pytest.mark.parametrize(
    ("body", "taken"),
    [
        ("ok", True),
        ('{"ok": true}', True),
        ('{"success": true}', True),
        ("<html>Sign in to the proxy</html>", False),
        ('{"ok": false, "error": "channel_not_found"}', False),
        ("", False),
    ],
)
def test_only_an_answer_that_says_so_counts_as_sent(slack: Receiver, body: str, taken: bool) -> None:
    slack.answers = [(200, body, {})]
    if taken:
        assert Slack().send(message(), near(slack.base)) == body
        return
    with pytest.raises(NotDelivered, match="200") as fault:
        Slack().send(message(), near(slack.base))
    assert (fault.value.lasting, fault.value.whose) == (False, "channel")


@pytest.mark.parametrize(
    ("after", "least", "most"), [(120, 100.0, 120.0), (-60, 0.0, 0.0), (86400, 3600.0, 3600.0), (None, None, None)]
)
def test_the_channel_waits_until_the_date_that_slack_names(
    slack: Receiver, after: int | None, least: float | None, most: float | None
) -> None:
    asked = "soon" if after is None else formatdate(time.time() + after, usegmt=True)
    slack.answers = [(503, "busy", {"Retry-After": asked})]
    with pytest.raises(NotDelivered) as fault:
        Slack().send(message(), near(slack.base))
    wait = fault.value.wait
    assert wait is None if least is None or most is None else wait is not None and least <= wait <= most


def test_the_channel_waits_as_long_as_slack_asks(slack: Receiver) -> None:
    slack.answers = [(429, "rate_limited", {"Retry-After": "90"})]
    with pytest.raises(NotDelivered) as fault:
        Slack().send(message(), near(slack.base))
    assert (fault.value.lasting, fault.value.wait) == (False, 90.0)
