"""window:freeze: a time in which nothing is released."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _

from audit.change import change
from audit.refusals import Invalid
from environments import access
from environments.models import Environment, Freeze


def freeze(
    environment_id: int,
    *,
    name: str,
    starts_at: datetime,
    ends_at: datetime,
    reason: str,
    absolute: bool = False,
) -> Freeze:
    """Close an environment for a time; deny beats allow."""
    with change("window:freeze", (Environment, environment_id), reason=reason, sign=True) as act:
        account = access.require("plan")
        if ends_at <= starts_at:
            raise Invalid(_("The end lies before the beginning."))
        made = Freeze.objects.create(
            name=name,
            environment=act.get(Environment),
            starts_at=starts_at,
            ends_at=ends_at,
            absolute=absolute,
            reason=reason,
            created_by=account,
        )
        act.about(made)
    return made
