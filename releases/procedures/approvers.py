"""Faults of roles, approval rules and protected environments in a procedure document."""

from collections.abc import Mapping
from typing import get_args

from django.utils.translation import gettext as _

from environments.queues import OWN_QUEUES
from environments.roles import ROLE_CHOICES
from releases.procedures.places import Path
from releases.procedures.rows import Found, Raw, asked, keys_of, list_of, listed, rows_of, unknown, whole_of
from releases.procedures.values import AUTHOR, RELEASES, TIERLESS, Subject, Tier

TIERS = get_args(Tier)
Group = tuple[str, str, str]  # subject, column (tier or environment), its value


def role_faults(path: Path, row: Raw) -> Found:
    """Refuse a role without a shipped one for its permissions, and one that people and services would share."""
    key, based_on = row.get("key"), row.get("based_on") or row.get("key")
    known = dict(ROLE_CHOICES).keys() - {"administrator", "provisioning"}
    if key in ("administrator", "provisioning", "none", AUTHOR):
        text = _(
            "%(role)r is no role of a procedure: 'administrator' and 'provisioning' are always there, 'none' asks "
            "no one, and 'author' is who wrote a document"
        )
        yield (*path, "key"), text % {"role": key}
    elif based_on not in known:
        place = "based_on" if row.get("based_on") else "key"
        text = _("names %(role)r, an unknown role; write the shipped role it is based on in based_on: %(known)s")
        yield (*path, place), text % {"role": based_on, "known": listed(known)}
    elif key in known and based_on != key:
        yield (*path, "based_on"), _("%(role)r is a shipped role, which is based on itself") % {"role": key}
    elif (row.get("account") == "service") != (based_on == "ci"):
        text = _("service accounts hold 'ci' and the roles based on it, and people hold all others")
        yield (*path, "account"), text


def approvers(raw: Raw) -> set[str]:
    """Return the roles of people that may be named where somebody approves or signs: those who do not only audit."""
    return {
        str(row.get("key"))
        for _path, row in rows_of(raw, "roles")
        if row.get("account") == "person" and (row.get("based_on") or row.get("key")) != "auditor"
    }


def approval_faults(raw: Raw) -> Found:
    """Yield the faults of the approval rules: a rule that nobody can meet, and one that is missing."""
    places = [row for _path, row in rows_of(raw, "environments")]
    protected = {row.get("tier") for row in places if row.get("protected") is True}
    protected |= {row.get("key") for row in places if row.get("protected") is True}
    groups: dict[Group, list[tuple[Path, Raw]]] = {}
    for path, row in rows_of(raw, "approval_rules"):
        yield from _role_of_rule_faults(raw, path, row)
        subject, role, number = (row.get(name) for name in ("subject", "role", "number"))
        tier, environment = row.get("tier") or "", row.get("environment") or ""
        if environment:
            yield from unknown(path, row, "environment", keys_of(raw, "environments"), "environment")
        if bool(tier) == bool(environment):
            yield path, _("names a tier or one environment, and never both")
        if role == "none" and (number != 0 or row.get("stage") != 0):
            yield path, _("asks no one, so its stage and number must be 0")
        elif role != "none" and row.get("stage") == 0:
            yield path, _("needs a stage of one or more; no one is asked by the role none")
        if role == "none" and subject != "standard" and ({tier, environment} & protected or tier == "all"):
            text = _("%(place)r is protected, so at least one role must approve")
            yield (*path, "role"), text % {"place": tier or environment}
        yield from _decisions_faults(path, row)
        if row.get("when") is not None and subject not in RELEASES | {"late_rollback"}:
            text = _("%(subject)r is about no release, so no condition on one can hold")
            yield (*path, "when"), text % {"subject": subject}
        if isinstance(subject, str) and isinstance(tier, str) and isinstance(environment, str):
            where = ("environment", environment) if environment else ("tier", tier)
            groups.setdefault((subject, *where), []).append((path, row))
            if (subject in TIERLESS) != (tier == "all"):
                bound, free = _("%(subject)r is bound to a tier"), _("%(subject)r is not bound to a tier")
                yield (*path, "tier"), (bound if tier == "all" else free) % {"subject": subject}
    if groups:
        yield from _incomplete(raw, groups)


def _role_of_rule_faults(raw: Raw, path: Path, row: Raw) -> Found:
    team = keys_of(raw, "team_roles")
    people = keys_of(raw, "roles") | team | {"none"}
    services = {row.get("key") for _path, row in rows_of(raw, "roles") if row.get("account") == "service"}
    able = approvers(raw) | team | {"none"}
    yield from unknown(path, row, "role", people, "role or team role")
    subject, role = row.get("subject"), row.get("role")
    where = {place.get("key"): place.get("tier") for _path, place in rows_of(raw, "environments")}
    tier = where.get(row.get("environment")) if row.get("environment") else row.get("tier")
    if role in services:
        yield (*path, "role"), _("%(role)r is a service account, which never counts as approval") % {"role": role}
    elif role in people - able:
        text = _("%(role)r only audits, and never counts as approval; known: %(known)s")
        yield (*path, "role"), text % {"role": role, "known": listed(able)}
    elif role in team and (subject, role) != ("late_rollback", "rollback_decision_maker"):
        text = _("%(role)r is a role in the team of a release; write a role of people")
        yield (*path, "role"), text % {"role": role}
    if subject in RELEASES and tier in ("development", "staging") and role != "none":
        yield (
            (*path, "environment" if row.get("environment") else "tier"),
            _("releases are approved for production only; write the role none here"),
        )


def _decisions_faults(path: Path, row: Raw) -> Found:
    """Yield the faults of what the persons of a rule may decide, and of how many of them there are."""
    number, decisions = row.get("number"), list_of(row, "decisions")
    if decisions and row.get("subject") not in RELEASES:
        yield (*path, "decisions"), _("is written for the approval of releases only")
    elif number == 0 and row.get("role") != "none" and (not decisions or "approve" in decisions):
        yield path, _("asks no one: write a number, or decisions of send_back or reject for a veto")
    elif number and decisions and "approve" not in decisions:
        text = _("must contain approve, or the number must be 0: these persons could never approve")
        yield (*path, "decisions"), text


def _incomplete(raw: Raw, groups: Mapping[Group, list[tuple[Path, Raw]]]) -> Found:
    """Yield the fault of each environment and subject without a rule, and of each group of rules without order."""
    places = [row for _path, row in rows_of(raw, "environments")]
    schedule = raw.get("schedule")
    written = {name for name, part in schedule.items() if part is not None} if isinstance(schedule, Mapping) else set()
    known = {str(place.get("key")): str(place["tier"]) for place in places if place.get("tier") in TIERS}
    production = {key: tier for key, tier in known.items() if tier == "production"}
    for subject in set(get_args(Subject)) - {"process"}:  # without rows of its own, it has those of the procedure
        wanted = production if subject in RELEASES else known
        if subject in TIERLESS:
            wanted = {"all": "all"}
        elif subject in RELEASES - written:
            wanted = {}
        missing = {
            tier
            for key, tier in wanted.items()
            if not {(subject, "environment", key), (subject, "tier", tier)} & groups.keys()
        }
        for tier in sorted(missing):
            text = _("has no row for %(subject)s in the tier %(tier)r; write the role none or who approves")
            yield ("approval_rules",), text % {"subject": subject, "tier": tier}
    for (subject, _column, where), rows in groups.items():
        asking = [(path, row) for path, row in rows if row.get("role") != "none"]
        said = {"subject": subject, "place": where}
        if asking and len(asking) < len(rows):
            yield rows[0][0], _("%(subject)s in %(place)r asks no one and someone") % said
        stages = sorted({stage for _path, row in asking if (stage := whole_of(row, "stage"))})
        if stages != list(range(1, len(stages) + 1)):
            yield rows[0][0], _("the stages of %(subject)s in %(place)r must count 1, 2, 3") % said
        always = [row for _path, row in asking if row.get("when") is None and whole_of(row, "number")]
        if asking and not always:
            text = _("%(subject)s in %(place)r asks no one where no condition holds; write one rule without when")
            yield rows[0][0], text % said


def emergency_faults(raw: Raw) -> Found:
    """Refuse emergencies that no branch could bring into an environment of production."""
    schedule = raw.get("schedule")
    if not isinstance(schedule, Mapping) or schedule.get("emergency") is None:
        return
    accepted = {row.get("environment"): row for _path, row in rows_of(raw, "accepted_branches")}
    urgent = {row.get("pattern") for _path, row in rows_of(raw, "workflows") if row.get("key") == "hotfix"}
    for row in accepted.values():
        urgent |= set(list_of(row, "emergency_patterns")) - set(list_of(row, "patterns"))
    if not urgent:
        text = _("needs emergency_patterns in accepted_branches: it could come from no branch")
        yield ("schedule", "emergency"), text
    for path, place in rows_of(raw, "environments") if urgent else ():
        row = accepted.get(place.get("key"), {})
        here = {*list_of(row, "patterns"), *list_of(row, "emergency_patterns")}
        if place.get("tier") == "production" and asked(raw, "branch", place) and not here & urgent:
            text = _("accepts no emergency: none of %(patterns)s is in its accepted_branches")
            yield path, text % {"patterns": listed(map(str, urgent))}


def place_faults(raw: Raw) -> Found:
    """Refuse what no release could ever pass: only production is approved, and it comes last."""
    rows = rows_of(raw, "environments")
    production = [row for _path, row in rows if row.get("tier") == "production"]
    first = min((order for row in production if (order := whole_of(row, "order")) is not None), default=None)
    for path, row in rows:
        order = whole_of(row, "order")
        if row.get("key") in OWN_QUEUES:
            yield (*path, "key"), _("%(key)r is the name of a queue of Ringi's own") % {"key": row["key"]}
        if row not in production and first is not None and order is not None and order > first:
            yield (*path, "order"), _("must come before production, which would wait for this environment for ever")
        elif row in production and row.get("protected") is not True:
            yield (*path, "protected"), _("must be true: a release is approved before it comes into production")
        elif row not in production and row.get("protected") is True:
            text = _("must be false: releases are approved for production only, so none could come")
            yield (*path, "protected"), text
        if row in production and order != first and not asked(raw, "promotion", row):
            yield path, _("needs a gate of the type 'promotion': it comes after another environment of production")
        if row.get("after_hours") and (row not in production or order == first):
            yield (*path, "after_hours"), _("is written for the second and later environment of production only")
    tiers = {row.get("key"): row.get("tier") for _path, row in rows}
    for path, row in rows_of(raw, "gates"):
        if row.get("type") not in ("approval", "milestone"):
            continue
        for name in ("tiers", "environments"):
            for index, said in enumerate(list_of(row, name)):
                tier = said if name == "tiers" else tiers.get(said)
                if tier in TIERS and tier != "production":
                    text = _("never passes in %(place)r: it is met on the way to production only")
                    yield (*path, name, index), text % {"place": said}
