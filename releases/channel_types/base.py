"""The contract of a channel: it sends one message to one address, once. Channels know no model and decide nothing."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal

from environments.connectivity.addresses import Network

# Seconds within which a host must have answered.
PATIENCE = 15.0


@dataclass(frozen=True)
class OutgoingMessage:
    """One message: `key` is the same for every attempt, so that a receiver can drop a duplicate.

    text: plain, `html`: the same as a whole page (UTF-8). url: the page of the task; the message decides nothing.
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
    """The address. networks: private networks that may be reached; hosts: the only allowed ones, empty = all public."""

    to: str = field(repr=False)
    secret: str = field(default="", repr=False)
    networks: tuple[Network, ...] = ()
    hosts: tuple[str, ...] = ()


class NotDelivered(Exception):
    """A failed delivery; the message says why without address or secret.

    lasting: this address will never accept a message. wait: seconds after which the host asks for another attempt.
    whose: the fault of the channel, of this recipient, or either: an equal answer to several shows a channel fault.
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
    """This installation cannot send through the channel; the address is not at fault."""


class ChannelType(ABC):
    """One channel type. personal: one message for each person, at their own address; else one for the channel.

    signs: it needs a secret. within: it is delivered inside Ringi, without any network.
    """

    name: ClassVar[str]
    personal: ClassVar[bool] = False
    signs: ClassVar[bool] = False
    within: ClassVar[bool] = False

    @abstractmethod
    def fault(self, address: Address) -> str:
        """Return why this address is invalid for the channel; empty if it is valid. Contacts the resolver at most."""

    @abstractmethod
    def send(self, message: OutgoingMessage, address: Address) -> str:
        """Deliver within PATIENCE and return the answer (one short line). Raises NotDelivered."""
