"""target:set_hosts: which hosts the steps of a target may call over HTTP."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.translation import gettext as _

from audit.change import change
from audit.refusals import Invalid
from environments import access
from environments.actions.target.settings import require_sound
from environments.models import Target


def set_hosts(target_id: int, *, hosts: Sequence[str] = (), reason: str) -> Target:
    """Name the hosts (`api.example.org`, `10.1.2.3:8443`) that a target's steps may call from now on; no other one."""
    with change("target:set_hosts", (Target, target_id), reason=reason, sign=True) as act:
        access.require("configure_target")
        if not reason.strip():
            raise Invalid(_("Say why."))
        target = act.get(Target)
        settings = {**target.settings, "http_hosts": list(hosts)}
        require_sound(settings)
        target.settings = settings
    return target
