"""The addresses that may be called over the network; every sender of a request for a target checks them here.

A name is resolved once, and the connection goes to the address that was checked: the resolver is
never asked a second time (DNS rebinding). Ranges are those of the IANA special-purpose registries (RFC 6890) as the
standard library knows them, with what is wrapped in IPv6 unwrapped first (RFC 4291 §2.5.5, RFC 6052, RFC 3056).
"""

import socket
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
NAT64 = IPv6Network("64:ff9b::/96")
COMPATIBLE = IPv6Network("::/96")
# Settings of a target that hold addresses; one that is written in numbers there is listed by that.
WITH_ADDRESS = ("metrics_url", "alerts_url", "prometheus_url")


class NotAllowed(Exception):
    """The address may not be asked; the message says why."""


class UnknownHost(Exception):
    """The name has no address, or the resolver did not answer in time."""


@dataclass(frozen=True)
class Place:
    """One address of a host: family and what `connect` takes."""

    family: int
    sockaddr: tuple[Any, ...]


def unwrapped(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address carries, else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in NAT64 or (address in COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def fault_of(address: Address, listed: Iterable[Network] = ()) -> str:
    """Return why an address may not be asked; empty when it may.

    Link-local (the metadata of clouds), multicast, unspecified and reserved ones never; other private ones only
    inside a network that is listed.
    """
    bare = unwrapped(address)
    if isinstance(bare, IPv6Address) and bare.scope_id:
        bare = IPv6Address(int(bare))
    never = bare.is_link_local or bare.is_multicast or bare.is_unspecified
    # ::1 lies in a range that is reserved as a whole.
    never = never or (bare.is_reserved and not bare.is_loopback)
    if isinstance(bare, IPv4Address):
        never = never or bare in IPv4Network("0.0.0.0/8") or int(bare) == 0xFFFFFFFF
    if never:
        return f"{address} is an address that is never asked"
    if bare.is_global:
        return ""
    if any(bare.version == network.version and bare in network for network in listed):
        return ""
    return f"{address} is a private address that the target does not list"


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Read networks and single addresses ("10.1.0.0/16", "::1"). Raises ValueError."""
    return tuple(ip_network(text) for text in texts)


def listed_by(settings: Mapping[str, Any]) -> tuple[Network, ...]:
    """Return the private networks that a target lists: `private_networks`, and addresses in numbers in its own URLs.
    What can't be read lists nothing.
    """
    found: list[Network] = []
    own = settings.get("private_networks", ())
    texts = [str(text) for text in own] if isinstance(own, list | tuple) else []
    urls = settings.get("urls", {})
    for url in [*(urls.values() if isinstance(urls, Mapping) else ()), *(settings.get(k, "") for k in WITH_ADDRESS)]:
        try:
            texts.append(str(ip_address(urlsplit(str(url)).hostname or "")))
        except ValueError:
            pass  # a name, or no address at all
    for text in texts:
        try:
            found.append(ip_network(text))
        except ValueError:
            pass
    return tuple(found)


def places_of(host: str, port: int, *, listed: Iterable[Network] = (), seconds: float = 5.0) -> list[Place]:
    """Resolve a host once and return its places, all of which may be asked.

    One address that may not be asked refuses the host as a whole. Raises NotAllowed, UnknownHost.
    """
    answer: list[Any] = []

    def look() -> None:
        try:
            answer.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answer.append(error)

    # The resolver knows no deadline of its own.
    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    looking.join(seconds)
    if not answer:
        raise UnknownHost(f"the name was not resolved within {seconds:g} s")
    if isinstance(answer[0], Exception):
        raise UnknownHost(f"the name can't be resolved: {getattr(answer[0], 'strerror', '') or answer[0]}")
    allowed = tuple(listed)
    places = []
    for family, _kind, _protocol, _name, sockaddr in answer[0]:
        if fault := fault_of(ip_address(sockaddr[0]), allowed):
            raise NotAllowed(fault)
        places.append(Place(family, sockaddr))
    if not places:
        raise UnknownHost("the name has no address")
    return places
