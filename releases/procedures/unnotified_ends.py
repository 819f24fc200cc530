"""A group that is notified of a plan must be notified of its end: a check of notification rules, and of each change."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _

from environments.language import listed
from releases.procedures.places import Path

PLAN = "release:announce"
ENDS = (
    "release:reschedule",
    "release:cancel",
    "deployment:cancel",
    "deployment:mark_missed",
    "deployment:fail",
    "deployment:succeed",
    "rollback:complete",
)


def unnotified_ends(rows: Sequence[tuple[Path, Mapping[str, Any]]]) -> Iterator[tuple[Path, str]]:
    """Yield (path, sentence) for each group notified of the plan, but of some end by none of the same channels."""
    notified = {
        (row.get("event"), group, way)
        for _path, row in rows
        for group in _texts(row, "recipient_groups")
        for way in _texts(row, "channels")
    }
    for path, row in rows:
        for group in _texts(row, "recipient_groups") if row.get("event") == PLAN else ():
            ways = _texts(row, "channels")
            without_event = [end for end in ENDS if not any((end, group, way) in notified for way in ways)]
            if without_event:
                text = _("tells %(group)r of the plan, but nothing tells it of %(events)s")
                yield (*path, "recipient_groups"), text % {"group": group, "events": listed(without_event)}


def _texts(row: Mapping[str, Any], name: str) -> list[str]:
    value = row.get(name)
    return [text for text in value if isinstance(text, str)] if isinstance(value, list | tuple) else []
