"""window:freeze: a time in which nothing is released."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _

from audit.change import change
from audit.clock import now
from audit.refusals import Invalid
from environments import access
from environments.models import Application, Environment, Freeze


def freeze(
    environment_id: int,
    *,
    name: str,
    starts_at: datetime,
    ends_at: datetime,
    reason: str,
    absolute: bool = False,
    application_id: int | None = None,
) -> Freeze:
    """Close an environment for a time, for one application or for all of them; deny beats allow, overlaps are fine."""
    with change("window:freeze", (Environment, environment_id), reason=reason, sign=True) as act:
        environment = act.get(Environment)
        account = access.require("plan", environment)
        if not reason.strip():
            raise Invalid(_("A freeze needs a reason."))
        if ends_at <= starts_at or ends_at <= now():
            raise Invalid(_("The end lies before the beginning or in the past."))
        application = None
        if application_id is not None:
            application = Application.objects.filter(pk=application_id).first()
            if application is None:
                raise Invalid(_("There is no such application."))
        made = Freeze.objects.create(
            name=name,
            environment=environment,
            application=application,
            starts_at=starts_at,
            ends_at=ends_at,
            absolute=absolute,
            reason=reason,
            created_by=account,
        )
        act.about(made)
    return made
