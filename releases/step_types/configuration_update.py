"""A step type: writes the configuration's values as the target keeps them, by a file in one rename or by a command."""

import shlex
from typing import Any, ClassVar, Literal

from environments.targets.base import Parameters, Probe, StepContext, StepFailed
from environments.targets.configuration_file import (
    configuration_digest,
    digest_of,
    kept_of,
    path_of,
    rendered,
    write_by_command,
)
from environments.targets.target import Held, TargetStep, journal_lines, journal_once, write_atomically
from environments.targets.trees import sync_folder
from environments.targets.words import gettext as _


class ConfigurationParameters(Parameters):
    """direction: deployment of the wanted configuration, or rollback; digest: SHA-256 that the rendered bytes must
    have ("": any).
    """

    direction: Literal["deployment", "rollback"] = "deployment"
    digest: str = ""


class ConfigurationUpdate(TargetStep):
    """Writes the rendered configuration and proves it by digest; an empty one means no file."""

    name: ClassVar[str] = "configuration_update"
    parameters: ClassVar[type[Parameters]] = ConfigurationParameters
    repeatable: ClassVar[bool] = True
    estimate_seconds: ClassVar[float] = 1

    def make(self, context: StepContext, held: Held, parameters: ConfigurationParameters) -> dict[str, Any]:
        """Write or remove the file; facts: configuration (digest measured after), before, names of changed keys."""
        path = path_of(context.target)
        before = configuration_digest(context.target)
        content = rendered(context.target, context.configuration)
        wanted = digest_of(content)
        if parameters.digest and parameters.digest != wanted:
            text = _("the rendered configuration has the digest %(measured)s; the approved digest is %(wanted)s")
            raise StepFailed(text % {"measured": wanted, "wanted": parameters.digest})
        if before != wanted:
            if path is None:
                write_by_command(context.target, content, held.run)
            elif content:
                write_atomically(path, content)
            else:
                path.unlink()
                sync_folder(path.parent)
        measured = configuration_digest(context.target)
        if measured != wanted:
            raise StepFailed(
                _("%(path)s changed while it was written") % {"path": path}
                if path is not None
                else _("after the command, the active configuration differs from the one that the command received")
            )
        line = journal_once(context, self._effect(parameters), before=before, configuration=measured)
        return {"configuration": measured, "configuration_before": line["before"], "keys": _changed_keys(context)}

    def look(
        self, context: StepContext, held: Held, parameters: ConfigurationParameters
    ) -> tuple[Probe, dict[str, Any]]:
        """Done when the bytes on the disk are the rendered ones and this key's line is there."""
        content = rendered(context.target, context.configuration)
        measured = configuration_digest(context.target)
        lines = journal_lines(context.target, key=context.key, effect=self._effect(parameters))
        if measured != digest_of(content) or not lines:
            return Probe.NOT_DONE, {}
        facts = {"configuration": measured, "configuration_before": lines[-1]["before"]}
        return Probe.DONE, facts | {"keys": _changed_keys(context)}

    def describe(self, context: StepContext, parameters: ConfigurationParameters) -> list[str]:
        """Return the line of the dry run: names of keys only, never values."""
        path = path_of(context.target) or shlex.join(kept_of(context.target).write or ())
        if not context.configuration:
            return [_("remove %(path)s") % {"path": path}]
        keys = _changed_keys(context)
        changed = [s + key for s, part in (("+", "added"), ("~", "changed"), ("-", "removed")) for key in keys[part]]
        return [_("write %(path)s: %(keys)s") % {"path": path, "keys": ", ".join(changed) or _("no change")}]

    @staticmethod
    def _effect(parameters: ConfigurationParameters) -> str:
        return "configuration_update:" + ("written" if parameters.direction == "deployment" else "restored")


def _changed_keys(context: StepContext) -> dict[str, list[str]]:
    new, old = context.configuration, context.previous_configuration
    return {
        "added": sorted(new.keys() - old.keys()),
        "changed": sorted(key for key in new.keys() & old.keys() if new[key] != old[key]),
        "removed": sorted(old.keys() - new.keys()),
    }
