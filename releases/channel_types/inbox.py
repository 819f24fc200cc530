"""The admin screen: a message is delivered by being in the reader's inbox."""

from releases.channel_types.base import Address, ChannelType, OutgoingMessage


class Inbox(ChannelType):
    """One entry for each person with an account."""

    name = "admin"
    personal = True
    within = True

    def fault(self, address: Address) -> str:
        """Return nothing: it has no address."""
        return ""

    def send(self, message: OutgoingMessage, address: Address) -> str:
        """Return nothing: it is there."""
        return ""
