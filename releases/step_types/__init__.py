"""The step types: one file per type, listed here; read by plans, the executor and the dry run."""

from pydantic import BaseModel

from environments.targets.base import StepType
from releases.step_types.ansible_playbook import AnsiblePlaybook
from releases.step_types.backup import Backup
from releases.step_types.code_deploy import CodeDeploy
from releases.step_types.command import Command
from releases.step_types.configuration_update import ConfigurationUpdate
from releases.step_types.container import Container
from releases.step_types.database_update import DatabaseUpdate
from releases.step_types.external import External
from releases.step_types.http_call import HttpCall
from releases.step_types.maintenance_mode import MaintenanceMode
from releases.step_types.manual import Manual
from releases.step_types.pipeline_run import PipelineRun
from releases.step_types.service_control import ServiceControl
from releases.step_types.wait import Wait

STEP_TYPES: tuple[StepType, ...] = (
    Backup(),
    MaintenanceMode(),
    CodeDeploy(),
    DatabaseUpdate(),
    ConfigurationUpdate(),
    ServiceControl(),
    Container(),
    AnsiblePlaybook(),
    Command(),
    HttpCall(),
    PipelineRun(),
    External(),
    Manual(),
    Wait(),
)

# Steps that need no target are made once, on the first.
ONCE = ("manual", "wait", "external")


class UnknownType(LookupError):
    """No step type has this name: a stored one that was removed, or a typing error in a plan."""


def by_name(name: str) -> StepType:
    """Return the step type of that name; raises UnknownType."""
    for known in STEP_TYPES:
        if known.name == name:
            return known
    raise UnknownType(name)


def shapes() -> dict[str, type[BaseModel]]:
    """Return the name of each step type with the model of its parameters, for readers of procedures."""
    return {known.name: known.parameters for known in STEP_TYPES}
