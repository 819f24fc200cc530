"""What a target's settings may be: each part is judged by whoever reads it. They lie above and say so at the start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.utils.translation import gettext as _

from audit.refusals import Invalid

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
