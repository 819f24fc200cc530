"""The admin screen: a message is delivered by being in the reader's inbox."""

from releases.notifications.channels.base import Address, ChannelKind, OutgoingMessage


class Inbox(ChannelKind):
    """One entry for each person with an account."""

    name = "admin"
    personal = True
    within = True

    def fault(self, address: Address) -> str:
        """Return nothing: it has no address."""
        return ""

    def send(self, letter: OutgoingMessage, address: Address) -> str:
        """Return nothing: it is there."""
        return ""
