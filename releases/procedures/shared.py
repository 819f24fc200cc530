"""What a further procedure shares with the one of the organisation: people, places and notifications are for all.

A further procedure leaves these sections out, or has them as the organisation's procedure has them.
"""

from collections.abc import Mapping
from typing import Any

SECTIONS = (
    "languages",
    "roles",
    "levels",
    "access",
    "environments",
    "freezes",
    "recipient_groups",
    "channels",
    "notification_rules",
    "retention",
)
# Sections that a version in effect may have as they were when it was loaded: what they say of a place that came later
# is that it is not named.
OF_PLACES = ("access", "environments", "freezes")
# Subjects of approval rules that concern all applications.
SUBJECTS = ("procedure", "emergency_stop_lift")


def with_shared(raw: Mapping[str, Any], organisation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain values of a further procedure with what it leaves out, from the one of the organisation."""
    found = {name: organisation[name] for name in SECTIONS if name in organisation} | dict(raw)
    rules = found.get("approval_rules")
    if isinstance(rules, list) and all(isinstance(row, Mapping) for row in rules):
        own = {row.get("subject") for row in rules}
        common = [row for row in organisation["approval_rules"] if row["subject"] in SUBJECTS]
        found["approval_rules"] = [*rules, *(row for row in common if row["subject"] not in own)]
    return found


def without_shared(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain values of a further procedure as its author writes them."""
    found = {name: value for name, value in raw.items() if name not in SECTIONS}
    found["approval_rules"] = [row for row in raw["approval_rules"] if row["subject"] not in SUBJECTS]
    return found


def refreshed(raw: Mapping[str, Any], organisation: Mapping[str, Any], *, places: bool) -> dict[str, Any]:
    """Return a further procedure with the shared sections as the organisation has them now; those of places too?"""
    found = with_shared(without_shared(raw), organisation)
    return found if places else found | {name: raw[name] for name in OF_PLACES if name in raw}


def differing(raw: Mapping[str, Any], organisation: Mapping[str, Any]) -> list[str]:
    """Return the shared sections that a further procedure has in another form than the organisation's."""
    found = [name for name in SECTIONS if raw.get(name) != organisation.get(name)]
    rules = [[row for row in one["approval_rules"] if row["subject"] in SUBJECTS] for one in (raw, organisation)]
    return found if rules[0] == rules[1] else [*found, "approval_rules"]
