"""The channels: one file a kind, listed here; what goes out through them is made by releases/actions/notice."""

from releases.channels.apprise import Apprise
from releases.channels.base import ChannelKind
from releases.channels.inbox import Inbox
from releases.channels.mail import Mail
from releases.channels.slack import Slack
from releases.channels.webhook import Webhook

KINDS: tuple[ChannelKind, ...] = (Mail(), Slack(), Inbox(), Webhook(), Apprise())


def kind(name: str) -> ChannelKind:
    """Return the channel type of that name. Raises KeyError for a stored one that was removed, or a typing error."""
    return {known.name: known for known in KINDS}[name]
