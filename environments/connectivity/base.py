"""The contract of a service: the schemes of its addresses, and a check that leaves nothing changed."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal
from urllib.parse import unquote, urlsplit

from django.utils.translation import gettext as _

from environments.connectivity.addresses import Network, NotAllowed, UnknownHost, places_of

SECONDS = 5
SHORTEST = 4


@dataclass(frozen=True)
class Reached:
    """The result of a check. result: pass, fail, or unknown where no way to look is known; seconds: how long it
    took.
    """

    key: str
    kind: str
    result: Literal["passed", "failed", "unknown"]
    says: str
    seconds: float = 0.0


class NotReached(Exception):
    """The service was not reached; the message is shown to people."""


class CheckNotPossible(Exception):
    """Nothing was checked; the message, where there is one, says why to people."""


class Service(ABC):
    """One type of service. `kind` is database, cache or storage; `schemes` those of its addresses."""

    kind: ClassVar[str]
    schemes: ClassVar[frozenset[str]]

    def look(self, key: str, address: str, values: Iterable[str] = (), listed: Iterable[Network] = ()) -> Reached:
        """Reach the service and return the result.

        values: those that the sentence must not hold; listed: the private networks in which it may be asked.
        """
        began = time.monotonic()
        try:
            says, result = self.reach(address, listed), "passed"
        except NotReached as fault:
            says, result = str(fault), "failed"
        except CheckNotPossible as fault:
            says, result = str(fault) or _("Connectivity checks do not support this address type yet."), "unknown"
        hidden = hide(says, (address, *values))
        return Reached(key, self.kind, result, hidden, round(time.monotonic() - began, 3))  # type: ignore[arg-type]

    @abstractmethod
    def reach(self, address: str, listed: Iterable[Network] = ()) -> str:
        """Return what was done. Raises NotReached, or CheckNotPossible where there is no way to look."""


def evaluated(host: str | None, port: int, listed: Iterable[Network]) -> list[str]:
    """Return the addresses (in numbers) of a host that may be asked, to connect to one of them and to no other.

    Raises CheckNotPossible where it is not looked at, NotReached for a name without an address.
    """
    if not host or host.startswith(("/", "@")) or "," in host:
        raise CheckNotPossible(_("A connectivity check needs an address with exactly one host name."))
    try:
        places = places_of(host, port, listed=listed, seconds=SECONDS)
    except NotAllowed as fault:
        text = _("%(why)s; to allow a private network, list it in the metric source of the deployment target.")
        raise CheckNotPossible(text % {"why": fault}) from fault
    except UnknownHost as fault:
        raise NotReached(str(fault)) from fault
    return list(dict.fromkeys(str(place.sockaddr[0]) for place in places))


def hide(text: str, values: Iterable[str]) -> str:
    """Return the text without any of the values and without the passwords in them."""
    found: set[str] = set()
    for value in values:
        found.add(value)
        try:
            password = urlsplit(value).password if "://" in value else None
        except ValueError:
            password = None
        if password:
            found |= {password, unquote(password)}
    for value in sorted(found, key=len, reverse=True):
        if len(value) >= SHORTEST:
            text = text.replace(value, "****")
    return text
