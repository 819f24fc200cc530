"""The channels: one file a kind, listed here; what goes out through them is made by releases/operations/notification."""

from releases.notifications.channels.apprise import Apprise
from releases.notifications.channels.base import ChannelKind
from releases.notifications.channels.inbox import Inbox
from releases.notifications.channels.mail import Mail
from releases.notifications.channels.slack import Slack
from releases.notifications.channels.webhook import Webhook

KINDS: tuple[ChannelKind, ...] = (Mail(), Slack(), Inbox(), Webhook(), Apprise())


def kind(name: str) -> ChannelKind:
    """Return the channel type of that name. Raises KeyError for a stored one that was removed, or a typing error."""
    return {known.name: known for known in KINDS}[name]
