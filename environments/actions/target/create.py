"""target:create: where an application lives in an environment, and how it is run there."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from audit.change import change
from audit.refusals import Invalid
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
        application = Application.objects.get(pk=application_id)
        environment = Environment.objects.get(pk=environment_id)
        if known := Target.objects.filter(application=application, environment=environment).first():
            text = _(
                "This application already has a deployment target in %(environment)s: %(root)s. "
                "Change the folder and commands of that deployment target instead."
            )
            raise Invalid(text % {"environment": environment, "root": known.root})
        require_apart(root, settings)
        target = Target.objects.create(application=application, environment=environment, root=root, settings=settings)
        act.about(target)
    return target
