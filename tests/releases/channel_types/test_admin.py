"""The inbox is delivered by being there."""

from __future__ import annotations

from releases.channel_types import by_name
from releases.channel_types.base import Address
from tests.releases.channel_types.messages import message


def test_it_needs_no_address_and_no_network() -> None:
    inbox = by_name("admin")
    assert inbox.within and inbox.personal and not inbox.fault(Address(""))
    assert inbox.send(message(), Address("")) == ""
