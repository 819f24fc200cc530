"""The Apprise channel contacts only allowed hosts; where the library is installed, it delivers for real."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import pytest

from releases.channel_types.apprise import Apprise
from releases.channel_types.base import NotDelivered, NotSetUp
from tests.releases.channel_types.messages import message, near
from tests.releases.channel_types.receivers import receiver

INSTALLED = importlib.util.find_spec("apprise") is not None


def test_apprise_is_not_available_without_the_library(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.APPRISE_TYPES = ["json"]
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "apprise" else found(name))
    assert Apprise().fault(near("json://127.0.0.1/"))
    with pytest.raises(NotSetUp):
        Apprise().send(message(), near("json://127.0.0.1/"))


if INSTALLED:  # an optional part, as docs/reference/settings.md says

    def test_apprise_delivers_to_an_allowed_host(settings: Any) -> None:
        settings.APPRISE_TYPES = ["json"]
        with receiver() as running:
            to = near(running.base.replace("http", "json") + "/hook")
            assert not Apprise().fault(to)
            assert Apprise().send(message(), to)
            sent = json.loads(running.posted[0].body)
            assert sent["title"] == message().subject and message().url in sent["message"]
            running.answers = [(500, "no", {})]
            with pytest.raises(NotDelivered):
                Apprise().send(message(), to)

    def test_an_unlisted_type_and_a_private_host_are_refused(settings: Any) -> None:
        settings.APPRISE_TYPES = ["json"]
        assert Apprise().fault(near("xml://127.0.0.1/")) and Apprise().fault(near("nothing://x"))
        with receiver() as running:
            private = near(running.base.replace("http", "json"), networks=())
            assert "private" in Apprise().fault(private)
            with pytest.raises(NotDelivered, match="private"):
                Apprise().send(message(), private)
            assert not running.posted
