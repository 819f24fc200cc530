"""The check kinds: one file a kind, listed here; read by procedures, plans and the executor."""

from pydantic import BaseModel

from releases.checks.alerts import Alerts
from releases.checks.backup import Backup
from releases.checks.base import CheckKind
from releases.checks.command import Command
from releases.checks.configuration_digest import ConfigurationDigest
from releases.checks.http import Http
from releases.checks.log import Log
from releases.checks.manual import Manual
from releases.checks.metrics import Metrics
from releases.checks.security import Security
from releases.checks.service_state import ServiceState
from releases.checks.sql import Sql

KINDS: tuple[CheckKind, ...] = (
    Log(),
    Metrics(),
    Http(),
    Sql(),
    ServiceState(),
    Alerts(),
    Backup(),
    ConfigurationDigest(),
    Security(),
    Command(),
    Manual(),
)


class UnknownKind(LookupError):
    """No check kind has this name: a stored one that was removed, or a typing error."""


def kind(name: str) -> CheckKind:
    """Return the check kind of that name. Raises UnknownKind."""
    for known in KINDS:
        if known.name == name:
            return known
    raise UnknownKind(name)


def shapes() -> dict[str, type[BaseModel]]:
    """Return the name of each check kind with the model of its parameters, for readers of procedures."""
    return {known.name: known.parameters for known in KINDS}
