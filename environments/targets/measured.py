"""Measurement of a target: digests of its code, configuration, data and schema, taken on its own host."""

from __future__ import annotations  # those of the database are loaded late

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from environments.targets import runner
from environments.targets.base import TargetSpec
from environments.targets.configuration_file import configuration_digest
from environments.targets.container import container_of, state_of
from environments.targets.data_commands import DataCommands
from environments.targets.data_store import DataDigest
from environments.targets.ssh import call, place
from environments.targets.target import Layout, data_store_of, own_folders
from environments.targets.trees import tree_digest


@dataclass(frozen=True)
class Measured:
    """Digests measured on a target: git tree id, or SHA-256 of the container's image; SHA-256 of the configuration, of
    the data ("" too where only the schema was asked for) and of the schema of its database; "": nothing there.
    """

    code: str
    configuration: str
    data: str
    schema: str = ""


def measure(
    target: TargetSpec, configuration: Mapping[str, str], *, seconds: float = 600.0, data: bool = True
) -> Measured:
    """Measure code, configuration and data on the target itself; "" stands for nothing there.

    configuration: names the database. seconds: how long another host may take for it. data: read all rows too; else
    only the schema of the database. Raises StepFailed when the database, or the target's host, cannot be reached.
    """
    if place.lies_elsewhere(target):
        return Measured(**call.ask(target, "measure", configuration=configuration, seconds=seconds, data=data))
    store = data_store_of(target, configuration)
    if isinstance(store, DataCommands):  # which are programs of the target, and may need temporary files
        own_folders(target)
    tool = partial(runner.run_tool, target)
    digest = store.digest(tool, data=data) if store is not None else DataDigest("", "")
    return Measured(
        code=_code_on(target), configuration=configuration_digest(target), data=digest.total, schema=digest.schema
    )


def _code_on(target: TargetSpec) -> str:
    """Return the digest of what is deployed: of the container's image, where the target has one, else of the tree."""
    if (container := container_of(target.settings)) is not None:
        state = state_of(target, container)
        return state.digest if state is not None else ""
    layout = Layout(target.root)
    return tree_digest(layout.current.resolve()) if layout.current.is_symlink() else ""
