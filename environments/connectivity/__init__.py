"""Connectivity checks of the services that a configuration names, found by the scheme of an address."""

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from environments.connectivity.addresses import Network
from environments.connectivity.base import Reached, Service
from environments.connectivity.cache import Cache
from environments.connectivity.database import Database
from environments.connectivity.storage import Storage, StorageElsewhere

SERVICES: tuple[Service, ...] = (Database(), Cache(), Storage(), StorageElsewhere())
# What chapter 4 lists for each environment, in its order.
KINDS = ("database", "cache", "storage")


def service_of(value: str) -> Service | None:
    """Return the service that an address names; None for what is no address of one."""
    try:
        scheme = urlsplit(value).scheme.lower() if "://" in value else ""
    except ValueError:
        return None
    return next((service for service in SERVICES if scheme in service.schemes), None)


def look(values: Mapping[str, str], listed: Iterable[Network] = ()) -> list[Reached]:
    """Reach every service named by these values (key → value in clear), each for SECONDS at most; in order of type.

    listed: the private networks in which one may be asked. The result holds no value of the configuration.
    """
    allowed = tuple(listed)
    found = [(key, value, service) for key, value in values.items() if (service := service_of(value)) is not None]
    found.sort(key=lambda entry: (KINDS.index(entry[2].kind), entry[0]))
    return [service.look(key, value, tuple(values.values()), allowed) for key, value, service in found]
