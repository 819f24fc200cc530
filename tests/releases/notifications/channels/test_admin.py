"""The inbox is delivered by being there."""

from __future__ import annotations

from releases.notifications.channels import kind
from releases.notifications.channels.base import Address
from tests.releases.notifications.channels.messages import letter


def test_it_needs_no_address_and_no_network() -> None:
    inbox = kind("admin")
    assert inbox.within and inbox.personal and not inbox.fault(Address(""))
    assert inbox.send(letter(), Address("")) == ""
