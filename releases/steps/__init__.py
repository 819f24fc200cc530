"""The step kinds: one file a kind, listed here; read by plans, the executor and the dry run."""

from pydantic import BaseModel

from releases.steps.ansible_playbook import AnsiblePlaybook
from releases.steps.backup import Backup
from releases.steps.base import StepType
from releases.steps.code_deploy import CodeDeploy
from releases.steps.command import Command
from releases.steps.configuration_update import ConfigurationUpdate
from releases.steps.database_update import DatabaseUpdate
from releases.steps.http_call import HttpCall
from releases.steps.maintenance_mode import MaintenanceMode
from releases.steps.manual import Manual
from releases.steps.service_control import ServiceControl
from releases.steps.wait import Wait

KINDS: tuple[StepType, ...] = (
    Backup(),
    MaintenanceMode(),
    CodeDeploy(),
    DatabaseUpdate(),
    ConfigurationUpdate(),
    ServiceControl(),
    AnsiblePlaybook(),
    Command(),
    HttpCall(),
    Manual(),
    Wait(),
)


class UnknownKind(LookupError):
    """No step kind has this name: a stored one that was removed, or a typing error in a plan."""


def kind(name: str) -> StepType:
    """Return the step kind of that name; raises UnknownKind."""
    for known in KINDS:
        if known.name == name:
            return known
    raise UnknownKind(name)


def shapes() -> dict[str, type[BaseModel]]:
    """Return the name of each step kind with the model of its parameters, for readers of procedures."""
    return {known.name: known.parameters for known in KINDS}
