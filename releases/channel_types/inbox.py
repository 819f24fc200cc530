"""The inbox in the admin: a message is delivered as an item of the reader's inbox."""

from releases.channel_types.base import Address, ChannelType, OutgoingMessage


class Inbox(ChannelType):
    """One item for each person with an account."""

    name = "admin"
    personal = True
    within = True

    def fault(self, address: Address) -> str:
        """Return nothing: the inbox has no address."""
        return ""

    def send(self, message: OutgoingMessage, address: Address) -> str:
        """Return nothing: the item exists already."""
        return ""
