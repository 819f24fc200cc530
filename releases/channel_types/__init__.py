"""The channel types: one file a type, listed here; releases/operations/notification makes the messages."""

from releases.channel_types.apprise import Apprise
from releases.channel_types.base import ChannelType
from releases.channel_types.inbox import Inbox
from releases.channel_types.mail import Mail
from releases.channel_types.slack import Slack
from releases.channel_types.webhook import Webhook

CHANNEL_TYPES: tuple[ChannelType, ...] = (Mail(), Slack(), Inbox(), Webhook(), Apprise())


def by_name(name: str) -> ChannelType:
    """Return the channel type of that name. Raises KeyError for a removed or misspelt one."""
    return {known.name: known for known in CHANNEL_TYPES}[name]
