"""Faults of a procedure document that has what nothing would ask for or read, and of one that lets no one work."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.translation import gettext as _

from environments.calendar import country_fault
from environments.roles import LEVELS, ROLE_PERMISSIONS
from releases.procedures.places import Path
from releases.procedures.rows import Found, Raw, list_of, listed, rows_of
from releases.procedures.values import RELEASES

# What each release needs of a role, and the procedure itself for its next version.
WORK = ("plan", "prepare", "edit_target", "assess_rollback", "authorise_rollback", "create_procedure")
# What a protected environment needs of a level of a role of people; others may be those of service accounts alone.
HERE = {"schedule", "verify", "resolve", "roll_back"}


def unused_faults(raw: Raw) -> Found:
    """Yield (path, sentence) for each part without an effect, and for each thing that no role may do."""
    yield from _no_work(raw)
    yield from _unasked(raw)
    yield from _conditions(raw)
    regular = _at(raw, "schedule", "regular")
    if isinstance(country := regular.get("country"), str) and len(country) == 2 and (fault := country_fault(country)):
        yield ("schedule", "regular", "country"), fault
    hours = list_of(_at(raw, "reminders"), "hours_before")
    for path, row in rows_of(raw, "notification_rules"):
        for index, lead in enumerate(list_of(row, "lead_hours")):
            if isinstance(lead, int) and lead not in (0, *hours):
                text = _("is none of reminders.hours_before, so that the rule would never count; known: %(known)s")
                yield (*path, "lead_hours", index), text % {"known": listed(str(one) for one in (0, *hours))}


def _at(raw: Raw, *names: str) -> Raw:
    """Return the table at a path, an empty one where there is none."""
    here: Any = raw
    for name in names:
        here = here.get(name) if isinstance(here, Mapping) else None
    return here if isinstance(here, Mapping) else {}


def _no_work(raw: Raw) -> Found:
    """Refuse a procedure without people for the work that it asks for: no release could ever come through."""
    people = {
        row.get("key"): str(row.get("based_on") or row.get("key"))
        for _path, row in rows_of(raw, "roles")
        if row.get("account") == "person"
    }
    able = frozenset[str]().union(*(ROLE_PERMISSIONS.get(shipped, frozenset()) for shipped in people.values()))
    if people and not able.issuperset(WORK):
        needed = {shipped for shipped, given in ROLE_PERMISSIONS.items() if given >= set(WORK) - able}
        text = _("no role of people is based on %(roles)s, so no one could prepare a release or the next version")
        yield ("roles",), text % {"roles": listed(needed)}
    levels: dict[Any, set[str]] = {}
    for _path, row in rows_of(raw, "access"):
        if row.get("role") in people:
            levels.setdefault(row.get("environment"), set()).update(LEVELS.get(str(row.get("level")), ()))
    for path, place in rows_of(raw, "environments") if people and rows_of(raw, "access") else ():
        if place.get("protected") is True and not levels.get(place.get("key"), set()) >= HERE:
            known = (key for key, given in LEVELS.items() if given >= HERE)
            text = _("no role of people may deploy, verify and roll back here; give one of them the level %(levels)s")
            yield path, text % {"levels": listed(known)}


def _unasked(raw: Raw) -> Found:
    """Refuse rows that a gate asks for where there is no such gate, and items that no one signs."""
    kinds = {(row.get("type"), row.get("evidence") or "") for _path, row in rows_of(raw, "gates")}
    without = _("has no gate of the type %(type)s, so that nothing would ask for it")
    if rows_of(raw, "checklist") and ("checklist", "") not in kinds:
        yield ("checklist",), without % {"type": "checklist"}
    for path, row in rows_of(raw, "documents"):
        if list_of(row, "signatures") and ("document", "") not in kinds:
            yield (*path, "signatures"), without % {"type": "document"}
    for path, row in rows_of(raw, "testing.matrix"):
        if row.get("required") is True and ("evidence", "junit") not in kinds:
            yield (*path, "required"), without % {"type": "evidence (junit)"}
    final = _at(raw, "final_check")
    if list_of(final, "items") and not list_of(final, "signers"):
        yield ("final_check", "items"), _("are signed by no one; name the roles in signers")
    auditors = {
        row.get("key") for _path, row in rows_of(raw, "roles") if (row.get("based_on") or row.get("key")) == "auditor"
    }
    for path, row in rows_of(raw, "gates"):
        for index, role in enumerate(list_of(row, "roles")):
            if role in auditors:
                yield (*path, "roles", index), _("%(role)r only audits, and uploads nothing") % {"role": role}


def _conditions(raw: Raw) -> Found:
    """Refuse a condition on a type of release that there is not, or that the approval rule is not about."""
    schedule = _at(raw, "schedule")
    known = {"regular", "pre_release", *(kind for kind in ("emergency", "standard") if schedule.get(kind) is not None)}
    for path, row in _conditional(raw):
        kinds = set(map(str, list_of(row["when"], "kind")))
        subject = row.get("subject") if path[0] == "approval_rules" else None
        possible = {subject} if subject in RELEASES else known
        if kinds and not kinds & possible:
            text = _("never holds: there are only releases of the type %(known)s here")
            yield (*path, "when", "kind"), text % {"known": listed(map(str, possible))}


def _conditional(raw: Raw) -> Iterator[tuple[Path, Raw]]:
    """Yield the rows with a condition."""
    plans = [f"plans.{plan}" for plan in _at(raw, "plans")]
    for place in ("milestones", "approval_rules", "gates", *plans):
        yield from ((path, row) for path, row in rows_of(raw, place) if isinstance(row.get("when"), Mapping))
    if isinstance(_at(raw, "final_check").get("when"), Mapping):
        yield ("final_check",), _at(raw, "final_check")
