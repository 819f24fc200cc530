"""A step type: maintenance mode of the service, by a flag file that the service itself reads."""

from typing import Any, ClassVar

from environments.targets.base import Parameters, Probe, StepContext
from environments.targets.ssh import place
from environments.targets.target import Held, Layout, TargetStep, journal_lines, journal_once, write_atomically
from environments.targets.trees import sync_folder
from environments.targets.words import gettext as _


class MaintenanceParameters(Parameters):
    """on: True switches maintenance mode on, False off."""

    on: bool


class MaintenanceMode(TargetStep):
    """Switches maintenance mode on or off; nothing to switch where no version is deployed."""

    name: ClassVar[str] = "maintenance_mode"
    parameters: ClassVar[type[Parameters]] = MaintenanceParameters
    repeatable: ClassVar[bool] = True
    estimate_seconds: ClassVar[float] = 1

    def make(self, context: StepContext, held: Held, parameters: MaintenanceParameters) -> dict[str, Any]:
        """Make or remove the flag; facts: on, changed, nothing_to_switch."""
        layout = Layout(context.target.root)
        changed = layout.maintenance.exists() != parameters.on
        if not layout.current.is_symlink() and (parameters.on or not changed):
            return {"on": False, "changed": False, "nothing_to_switch": True}
        if parameters.on and changed:
            write_atomically(layout.maintenance, context.deployment_key.encode() + b"\n", mode=0o644)
        elif changed:
            layout.maintenance.unlink()
            sync_folder(layout.maintenance.parent)
        line = journal_once(context, self._effect(parameters), on=parameters.on, changed=changed)
        return {"on": parameters.on, "changed": line["changed"]}

    def look(self, context: StepContext, held: Held, parameters: MaintenanceParameters) -> tuple[Probe, dict[str, Any]]:
        """Done when the flag is as wanted and this key's line is there, or when there is nothing to switch."""
        layout = Layout(context.target.root)
        on = layout.maintenance.exists()
        if not layout.current.is_symlink() and not on:
            return Probe.DONE, {"on": False, "changed": False, "nothing_to_switch": True}
        lines = journal_lines(context.target, key=context.key, effect=self._effect(parameters))
        if on == parameters.on and lines:
            return Probe.DONE, {"on": on, "changed": lines[-1]["changed"]}
        return Probe.NOT_DONE, {}

    def describe(self, context: StepContext, parameters: MaintenanceParameters) -> list[str]:
        """Return the line of the dry run."""
        flag = {"path": Layout(context.target.root).maintenance}
        if place.lies_elsewhere(context.target):
            nothing = context.previous is None
        else:
            nothing = not Layout(context.target.root).current.is_symlink()
        if nothing:
            return [_("no version is deployed: nothing to switch")] if parameters.on else [_("remove %(path)s") % flag]
        return [_("create %(path)s") % flag if parameters.on else _("remove %(path)s") % flag]

    @staticmethod
    def _effect(parameters: MaintenanceParameters) -> str:
        return f"maintenance_mode:{'on' if parameters.on else 'off'}"
