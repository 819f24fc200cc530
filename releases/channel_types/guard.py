"""Allowed addresses for messages: TLS, no unlisted private network, and only the allowed hosts."""

import time
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from environments.connectivity.addresses import NotAllowed, UnknownHost, places_of, unwrapped
from releases.channel_types.base import PATIENCE, Address, NotDelivered
from releases.sources.exchange import Fetched, NoAnswer, fetch

# Seconds for which a host's wish to be left alone counts at most.
LONGEST_WAIT = 3600.0
# Statuses of a host that will never accept a message again.
GONE = (404, 410)
# Statuses for a request that the host does not understand, or that is too long.
WRONG = (400, 413, 415, 422)


def fault_of(address: Address) -> str:
    """Return why an address may not receive a post; empty if it may."""
    try:
        parts = urlsplit(address.to)
        port = parts.port
    except ValueError:
        return _("This address does not have the form https://host/path.")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        return _("This address does not have the form https://host/path.")
    if address.hosts and parts.hostname.lower() not in address.hosts:
        return _("This host is not on the list of hosts that notifications may go to.")
    try:
        places = places_of(
            parts.hostname, port or (443 if parts.scheme == "https" else 80), listed=address.networks, seconds=5.0
        )
    except UnknownHost:
        return _("The name of this host cannot be resolved.")
    except NotAllowed:
        return _("This is a private address that is not on the list of networks that notifications may go to.")
    if parts.scheme == "http" and any(unwrapped(ip_address(place.sockaddr[0])).is_global for place in places):
        return _("Notifications to external addresses go over https only.")
    return ""


def post(address: Address, body: bytes, headers: dict[str, Any]) -> Fetched:
    """Post once and return the answer whatever its status. Raises NotDelivered; redirects are not followed."""
    if address.hosts and (urlsplit(address.to).hostname or "").lower() not in address.hosts:
        raise NotDelivered(_("This host is not on the list of hosts that notifications may go to."))
    try:
        return fetch(address.to, seconds=PATIENCE, listed=address.networks, headers=headers, method="POST", body=body)
    except NoAnswer as fault:
        raise NotDelivered(str(fault)[:300]) from fault


def refused(answer: Fetched, *, lasting: bool) -> NotDelivered:
    """Return the meaning of an unsuccessful answer; a requested wait is kept up to an hour.

    A request that is called wrong may be this one only; every other refusal is the host's.
    """
    said = answer.body[:120].decode(errors="replace").strip()
    return NotDelivered(
        f"{answer.status} {said}".strip(),
        lasting=lasting,
        wait=_wait(answer.headers.get("retry-after", "").strip()),
        whose="either" if answer.status in WRONG else "channel",
    )


def _wait(asked: str) -> float | None:
    """Return the seconds that a host asks for, as a number or as a date (RFC 9110, 10.2.3); None without either."""
    try:
        seconds = float(asked) if asked.isdecimal() else parsedate_to_datetime(asked).timestamp() - time.time()
    except (TypeError, ValueError):
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT)
