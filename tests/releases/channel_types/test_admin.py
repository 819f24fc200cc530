"""The inbox channel delivers an item by storing it."""

from __future__ import annotations

from releases.channel_types import by_name
from releases.channel_types.base import Address
from tests.releases.channel_types.messages import message


def test_the_inbox_needs_no_address_and_no_network() -> None:
    inbox = by_name("admin")
    assert inbox.within and inbox.personal and not inbox.fault(Address(""))
    assert inbox.send(message(), Address("")) == ""
