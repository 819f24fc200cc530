"""The channels: one file a kind, listed here; what goes out through them is made by releases/actions/notice."""

from releases.channels.apprise import Apprise
from releases.channels.base import ChannelKind
from releases.channels.inbox import Inbox
from releases.channels.mail import Mail
from releases.channels.slack import Slack
from releases.channels.webhook import Webhook

KINDS: tuple[ChannelKind, ...] = (Mail(), Slack(), Inbox(), Webhook(), Apprise())


class UnknownChannel(LookupError):
    """No channel has this name: a stored one that was removed, or a typing error."""


def kind(name: str) -> ChannelKind:
    """Return the kind of that name. Raises UnknownChannel."""
    for known in KINDS:
        if known.name == name:
            return known
    raise UnknownChannel(name)
