"""Faults of roles, approval rules and protected environments in a procedure document."""

from typing import get_args

from environments.roles import ROLE_CHOICES
from releases.procedures.places import Path
from releases.procedures.rows import Found, Raw, keys_of, list_of, listed, rows_of, unknown, whole_of
from releases.procedures.values import TIERLESS, Subject, Tier

TIERS = get_args(Tier)


def role_faults(path: Path, row: Raw) -> Found:
    """Refuse a role without a shipped one for its permissions, and one that people and services would share."""
    key, based_on = row.get("key"), row.get("based_on") or row.get("key")
    known = dict(ROLE_CHOICES).keys() - {"administrator"}
    if key in ("administrator", "none"):
        yield (*path, "key"), f"{key!r} is no role of a procedure: 'administrator' is always there, 'none' asks nobody"
    elif based_on not in known:
        place = "based_on" if row.get("based_on") else "key"
        yield (
            (*path, place),
            f"names {based_on!r}, an unknown role; write the shipped role it is based on in based_on: {listed(known)}",
        )
    elif key in known and based_on != key:
        yield (*path, "based_on"), f"{key!r} is a shipped role, which is based on itself"
    elif (row.get("account") == "service") != (based_on == "ci"):
        yield (*path, "account"), "service accounts hold 'ci' and the roles based on it, and people hold all others"


def approvers(raw: Raw) -> set[str]:
    """Return the roles of people that may be named where somebody approves or signs: those who do not only audit."""
    return {
        str(row.get("key"))
        for _path, row in rows_of(raw, "roles")
        if row.get("account") == "person" and (row.get("based_on") or row.get("key")) != "auditor"
    }


def approval_faults(raw: Raw) -> Found:
    """Yield the faults of the approval rules: a rule that nobody can meet, and one that is missing."""
    team = keys_of(raw, "team_roles")
    people = keys_of(raw, "roles") | team | {"none"}
    services = {row.get("key") for _path, row in rows_of(raw, "roles") if row.get("account") == "service"}
    able = approvers(raw) | team | {"none"}
    protected = {row.get("tier") for _path, row in rows_of(raw, "environments") if row.get("protected") is True}
    groups: dict[tuple[str, str], list[tuple[Path, Raw]]] = {}
    for path, row in rows_of(raw, "approval_rules"):
        yield from unknown(path, row, "role", people, "role or team role")
        subject, tier, role, number = (row.get(name) for name in ("subject", "tier", "role", "number"))
        if role in services:
            yield (*path, "role"), f"{role!r} is a service account, which never counts as approval"
        elif role in people - able:
            yield ((*path, "role"), f"{role!r} only audits, and never counts as approval; known: {listed(able)}")
        elif role in team and (subject, role) != ("late_rollback", "rollback_decision_maker"):
            yield (*path, "role"), f"{role!r} is a role in the team of a release; write a role of people"
        if subject in ("regular", "emergency") and tier in ("development", "staging") and role != "none":
            yield (*path, "tier"), "releases are approved for production only; write the role none here"
        if role == "none" and (number != 0 or row.get("stage") != 0):
            yield path, "asks nobody, so its stage and number must be 0"
        elif role != "none" and (number == 0 or row.get("stage") == 0):
            yield path, "needs a stage and a number of one or more; nobody is asked by the role none"
        if role == "none" and (tier in protected or tier == "all"):
            yield (*path, "role"), f"{tier!r} is protected, so at least one role must approve"
        if isinstance(subject, str) and isinstance(tier, str):
            groups.setdefault((subject, tier), []).append((path, row))
            if (subject in TIERLESS) != (tier == "all"):
                yield ((*path, "tier"), f"{subject!r} is " + ("not " if tier != "all" else "") + "bound to a tier")
    if not groups:
        return
    for subject in get_args(Subject):
        for tier in ("all",) if subject in TIERLESS else get_args(Tier):
            rows = groups.get((subject, tier), [])
            if not rows:
                yield (
                    ("approval_rules",),
                    f"has no row for {subject} in the tier {tier!r}; write the role none or who",
                )
            elif len(rows) > 1 and any(row.get("role") == "none" for _path, row in rows):
                yield rows[0][0], f"{subject} in {tier!r} asks nobody and somebody"
            else:
                stages = sorted({stage for _path, row in rows if (stage := whole_of(row, "stage"))})
                if stages != list(range(1, len(stages) + 1)):
                    yield rows[0][0], f"the stages of {subject} in {tier!r} must count 1, 2, 3"


def place_faults(raw: Raw) -> Found:
    """Refuse what no release could ever pass: only production is approved, it is one environment, and it comes last."""
    rows = rows_of(raw, "environments")
    last = max((order for _path, row in rows if (order := whole_of(row, "order")) is not None), default=None)
    production = [row for _path, row in rows if row.get("tier") == "production"]
    for path, row in rows:
        if row in production[1:]:
            yield (*path, "tier"), "is a second 'production', where no release would ever come: one is approved for one"
        elif row in production and whole_of(row, "order") != last:
            yield (*path, "order"), "must come last: production would wait for the environment after it for ever"
        elif row not in production and row.get("protected") is True:
            yield (*path, "protected"), "must be false: releases are approved for production only, so none could come"
    for path, row in rows_of(raw, "gates"):
        for index, tier in enumerate(list_of(row, "tiers")):
            if row.get("type") in ("approval", "milestone") and tier in TIERS and tier != "production":
                yield (*path, "tiers", index), f"never passes in {tier!r}: it is met on the way to production only"
