"""The contract of a channel: takes one letter to one place, once. Channels know no model and decide nothing."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal

from environments.connectivity.addresses import Network

# Seconds within which a place must have answered.
PATIENCE = 15.0


@dataclass(frozen=True)
class OutgoingMessage:
    """What is said: `key` is the same for every try, so that a receiver can drop the second one.

    text: plain, `html`: the same as a whole page (UTF-8). url: the page to act on; a letter itself decides nothing.
    """

    key: str
    event: str
    language: str
    subject: str
    text: str
    html: str
    url: str
    at: datetime
    urgent: bool = False


@dataclass(frozen=True)
class Address:
    """Where it goes. networks: private networks that may be reached; hosts: the only ones, empty = every public one."""

    to: str = field(repr=False)
    secret: str = field(default="", repr=False)
    networks: tuple[Network, ...] = ()
    hosts: tuple[str, ...] = ()


class NotDelivered(Exception):
    """It did not arrive; the message says why without address or secret.

    lasting: this address will never take a letter. wait: seconds after which the place asks to be tried again.
    whose: what is at fault: the channel, this recipient, or either: then the same answer to several shows the channel.
    """

    def __init__(
        self,
        why: str,
        *,
        lasting: bool = False,
        wait: float | None = None,
        whose: Literal["channel", "recipient", "either"] = "channel",
    ) -> None:
        super().__init__(why)
        self.lasting = lasting
        self.wait = wait
        self.whose = whose


class NotSetUp(NotDelivered):
    """This installation has no way to send through the channel; nothing is wrong with the address."""


class ChannelType(ABC):
    """One kind. personal: one letter for each person, at his own address; else one for the place.

    signs: it needs a secret. within: it is delivered by being there, without any network.
    """

    name: ClassVar[str]
    personal: ClassVar[bool] = False
    signs: ClassVar[bool] = False
    within: ClassVar[bool] = False

    @abstractmethod
    def fault(self, address: Address) -> str:
        """Return why this address can't be one of the channel's; empty when it can. Asks the resolver at most."""

    @abstractmethod
    def send(self, message: OutgoingMessage, address: Address) -> str:
        """Deliver within PATIENCE and return what was answered (one short line). Raises NotDelivered."""
