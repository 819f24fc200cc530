"""target:create: where an application lives in an environment, and how it is run there."""

from __future__ import annotations

from typing import Any

from audit.change import change
from environments import access
from environments.actions.target.settings import require_apart, require_sound
from environments.models import Application, Environment, Target


def create_target(
    *, application_id: int, environment_id: int, root: str, settings: dict[str, Any], reason: str = ""
) -> Target:
    """Name the folder and the commands of an application's copy in an environment; settings are judged when entered."""
    with change("target:create", reason=reason, sign=True) as act:
        access.require("configure_target")
        require_sound(settings)
        require_apart(root, settings)
        target = Target.objects.create(
            application=Application.objects.get(pk=application_id),
            environment=Environment.objects.get(pk=environment_id),
            root=root,
            settings=settings,
        )
        act.about(target)
    return target
