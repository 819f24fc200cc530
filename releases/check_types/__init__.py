"""The check types: one file a type, listed here; read by procedures, plans and the executor."""

from pydantic import BaseModel

from releases.check_types.alerts import Alerts
from releases.check_types.backup import Backup
from releases.check_types.base import CheckType
from releases.check_types.command import Command
from releases.check_types.configuration_digest import ConfigurationDigest
from releases.check_types.http import Http
from releases.check_types.log import Log
from releases.check_types.manual import Manual
from releases.check_types.metrics import Metrics
from releases.check_types.security import Security
from releases.check_types.service_state import ServiceState
from releases.check_types.sql import Sql

CHECK_TYPES: tuple[CheckType, ...] = (
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


class UnknownType(LookupError):
    """No check type has this name: a removed or misspelt one."""


def by_name(name: str) -> CheckType:
    """Return the check type of that name. Raises UnknownType."""
    for known in CHECK_TYPES:
        if known.name == name:
            return known
    raise UnknownType(name)


def shapes() -> dict[str, type[BaseModel]]:
    """Return the name of each check type with the model of its parameters, for readers of procedures."""
    return {known.name: known.parameters for known in CHECK_TYPES}
