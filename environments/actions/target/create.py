"""application:create and target:create."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from audit.change import change
from audit.refusals import Invalid
from environments import access
from environments.actions.target.settings import require_apart, require_sound
from environments.models import Application, Environment, Target


def create_application(
    *,
    slug: str,
    name: str,
    repository: str,
    signers: str = "",
    tag_format: str = "v{version}",
    reason: str = "",
) -> Application:
    """Make an application: its repository and whose signatures on its tags are known."""
    with change("application:create", reason=reason, sign=True) as act:
        access.require("plan")
        if Application.objects.filter(slug=slug).exists():
            raise Invalid(_("There is already an application “%(name)s”.") % {"name": slug})
        if "{version}" not in tag_format:
            raise Invalid(_("The tag format must hold {version}."))
        application = Application.objects.create(
            slug=slug, name=name, repository=repository, signers=signers, tag_format=tag_format
        )
        act.about(application)
    return application


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
