"""What a target's settings may be: each part is judged by whoever reads it. They lie above and say so at the start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from django.utils.translation import gettext as _

from audit.refusals import Invalid
from environments.models import Target

Judge = Callable[[Mapping[str, Any]], list[str]]
JUDGES: list[Judge] = []


def judged_by(judge: Judge) -> None:
    """Let `judge` see all settings before they are kept; it returns a sentence for everything that can't work."""
    if judge not in JUDGES:
        JUDGES.append(judge)


def require_sound(settings: Any) -> None:
    """Raise Invalid with every fault of a target's settings."""
    if not isinstance(settings, Mapping):
        raise Invalid(_("The settings must be a JSON object."))
    faults = [fault for judge in JUDGES for fault in judge(settings)]
    if faults:
        raise Invalid(*faults)


def require_apart(root: str, settings: Mapping[str, Any], *, but: int = 0) -> None:
    """Raise Invalid for a root that is not absolute, or that another target on the same host shares, holds or lies in:
    what is done to the one would be done to the other, by the rules of the first. but: key of the target itself.
    """
    here = PurePosixPath(root)
    if not here.is_absolute() or ".." in here.parts:
        raise Invalid(_("The folder must be an absolute path."))
    for other in Target.objects.exclude(pk=but).select_related("application", "environment"):
        there = PurePosixPath(other.root)
        if _host(other.settings) == _host(settings) and (here.is_relative_to(there) or there.is_relative_to(here)):
            raise Invalid(_("Another target lies there: %(target)s") % {"target": other})


def _host(settings: Mapping[str, Any]) -> str:
    ssh = settings.get("ssh")
    return str(ssh.get("host", "")).lower() if isinstance(ssh, Mapping) else ""
