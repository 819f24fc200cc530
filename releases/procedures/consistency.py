"""Checks between the parts of a procedure: every name that is used exists, every rule is complete.

The rules read plain values, so that one malformed row hides no other fault; the models report values of a wrong form.
"""

from collections.abc import Collection, Iterator, Mapping, Set
from typing import Any, get_args

from django.utils.translation import gettext as _
from pydantic import ValidationError

from environments import language
from environments.roles import LEVEL_CHOICES
from environments.secret_detection import reveals_secret
from releases.procedures.approvers import approval_faults, approvers, emergency_faults, place_faults, role_faults
from releases.procedures.forms import form_faults
from releases.procedures.left_out import SECTIONS
from releases.procedures.part import LANGUAGE
from releases.procedures.places import Path, message_of
from releases.procedures.rows import (
    Found,
    Raw,
    all_unknown,
    asked,
    keys_of,
    list_of,
    listed,
    names_unknown,
    repeated,
    rows_of,
    unknown,
    whole_of,
)
from releases.procedures.unnotified_ends import unnotified_ends
from releases.procedures.unused import unused_faults
from releases.procedures.values import AUTHOR, JUDGED_BY, MOST_PLACES, ROLLBACK_DOCUMENTS, EvidenceType, Tier

_PLANS = ("deployment", "after_deployment", "before_rollback", "rollback", "after_rollback")
TIERS = get_args(Tier)
DOCUMENT_STATES = ("content_checked", "approved", "ready_to_publish")
# The types of gate that a protected environment always has.
ALWAYS_ASKED = ("approval", "change_window", "change_freeze")
# Code decides what each row of these lists does, and each is required.
FIXED: dict[str, Set[str]] = {
    "follow_ups": {"retrospective_review", "full_review", "waiver", "assessment", "communication", "condition"},
    "thresholds": frozenset(JUDGED_BY.values()),
    "team_roles": frozenset({"implementer", "verifier", "release_lead", "rollback_decision_maker"}),
    "rollback.documents": ROLLBACK_DOCUMENTS,
    "rollback.assessment": frozenset({"impact", "method", "timing"}),
    "versions.tag_requirements": frozenset({"version", "date", "changes"}),
}


def faults_between(
    raw: Raw,
    *,
    step_types: Collection[str],
    check_types: Collection[str],
    gate_types: Collection[str],
    events: Collection[str],
) -> Found:
    """Yield (path, sentence) for every name without an owner, double key and half-filled rule."""
    yield from _twice(raw)
    if raw.get("applications") and not raw.get("key"):
        text = _("names applications, so the procedure needs a key; the organisation's is that of all")
        yield ("applications",), text
    yield from _languages(raw)
    yield from _references(raw)
    yield from _history(raw)
    yield from _milestones(raw)
    yield from _matrix(raw)
    yield from approval_faults(raw)
    yield from place_faults(raw)
    yield from emergency_faults(raw)
    yield from unused_faults(raw)
    yield from form_faults(raw)
    yield from _gates(raw, gate_types)
    yield from _versions(raw)
    yield from _plans(raw, step_types)
    yield from _triggers(raw)
    yield from unnotified_ends(rows_of(raw, "notification_rules"))
    for path, row in rows_of(raw, "notification_rules") if events else ():
        yield from unknown(path, row, "event", events, "event")
    yield from _fixed(raw)
    for when in ("deployment", "rollback") if rows_of(raw, "checks") else ():
        own = [row for _path, row in rows_of(raw, "checks") if row.get("when") == when]
        if all(row.get("type") == "manual" for row in own):
            deployment = _("has no automatic check of a deployment, so that nothing would tell that it works")
            rollback = _("has no automatic check of a rollback, so that nothing would tell that it works")
            yield ("checks",), deployment if when == "deployment" else rollback
    for path, row in rows_of(raw, "checks"):
        yield from unknown(path, row, "type", check_types, "check type")
        yield from _parameters(path, row, check_types)
        if row.get("type") == "manual" and row.get("when") in ("monitoring", "rollback"):
            yield (*path, "type"), _("manual is asked for at the verification of a deployment only")


def _languages(raw: Raw) -> Found:
    """Refuse words in a language that the procedure does not name, and labels without words in one that it names."""
    named, shipped = [str(language) for language in list_of(raw, "languages")], {(section,) for section in SECTIONS}
    known = {*named, "ja", "en"}
    waiting: list[tuple[Path, Any]] = [((), raw)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, list | tuple):
            waiting += [((*path, index), inner) for index, inner in enumerate(value)]
        elif isinstance(value, Mapping):
            waiting += [((*path, name), inner) for name, inner in value.items() if name != "parameters"]
            spoken = {name for name in value if LANGUAGE.fullmatch(str(name))}
            spoken -= {"on"} if path[:1] in (("plans",), ("checks",)) else set()  # where it runs
            for name in sorted(spoken - known):
                yield (*path, name), _("is no language of this procedure; add it to languages")
            for name in named if spoken & known and path[:1] not in shipped else ():
                if name not in spoken:
                    yield path, _("has no words in %(language)r, a language of this procedure") % {"language": name}


def _fixed(raw: Raw) -> Found:
    """Refuse a row that no code reads, and a list without a required row: code decides what these do."""
    for place, known in FIXED.items():
        for path, row in rows_of(raw, place):
            yield from unknown(path, row, "key", known, "row")
        for key in sorted(known - keys_of(raw, place)) if rows_of(raw, place) or place in raw else ():
            yield tuple(place.split(".")), _("says nothing of %(key)s") % {"key": key}


def _parameters(path: Path, row: Raw, kinds: Collection[str]) -> Found:
    model, given = kinds.get(str(row.get("type"))) if isinstance(kinds, Mapping) else None, row.get("parameters")
    if model is None or not isinstance(given, Mapping):
        return
    try:
        model.model_validate(given)
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False, include_input=False):
            yield (*path, "parameters", *error["loc"]), message_of(error)
    for name in reveals_secret(given):
        text = _("holds a password or another secret; it belongs into the configuration")
        yield (*path, "parameters", name), text


def _lists(value: Any, path: Path = ()) -> Iterator[list[tuple[Path, Raw]]]:
    """Yield the rows of every list of the document; the parameters of steps and checks have models of their own."""
    inner: Collection[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        inner = [(name, below) for name, below in value.items() if name != "parameters"]
    elif isinstance(value, list | tuple):
        inner = [(index, row) for index, row in enumerate(value) if isinstance(row, Mapping)]
        yield [((*path, index), row) for index, row in inner]
    for name, below in inner:
        yield from _lists(below, (*path, name))


def _twice(raw: Raw) -> Found:
    for rows in _lists(raw):
        yield from repeated(rows, ("key",))
    yield from repeated(rows_of(raw, "access"), ("role", "environment"))
    yield from repeated(rows_of(raw, "accepted_branches"), ("environment",))
    yield from repeated(rows_of(raw, "testing.matrix"), ("type", "test_environment"))
    yield from repeated(rows_of(raw, "environments"), ("order",))
    yield from repeated(rows_of(raw, "milestones"), ("guards",))
    yield from repeated(rows_of(raw, "notification_rules"), ("event",))
    every = rows_of(raw, "approval_rules")
    rules: list[tuple[Path, Raw]] = [(path, {"tier": "", "environment": "", **row}) for path, row in every]
    always = [(path, row) for path, row in rules if row.get("when") is None]
    yield from repeated(always, ("subject", "tier", "environment", "stage", "role"))
    # A step's result is stored under its type and found again by its key: both plans share the names.
    yield from repeated([row for plan in _PLANS for row in rows_of(raw, f"plans.{plan}")], ("key",))


def _references(raw: Raw) -> Found:
    roles, environments = keys_of(raw, "roles"), keys_of(raw, "environments")
    # Code decides what these mean; a procedure says who has which, and which states are asked for.
    for place, known, what in (
        ("levels", dict(LEVEL_CHOICES), "level of access"),
        ("document_states", dict.fromkeys(DOCUMENT_STATES), "state"),
    ):
        for path, row in rows_of(raw, place):
            yield from unknown(path, row, "key", known, what)
    for path, row in rows_of(raw, "roles"):
        yield from role_faults(path, row)
    for path, row in rows_of(raw, "access"):
        yield from unknown(path, row, "role", roles, "role")
        yield from unknown(path, row, "environment", environments, "environment")
        yield from unknown(path, row, "level", keys_of(raw, "levels"), "level of access")
    for path, row in (*rows_of(raw, "documents"), *rows_of(raw, "rollback.documents")):
        yield from _signatures(path, row, approvers(raw))
    for path, row in rows_of(raw, "freezes"):
        yield from all_unknown((*path, "environments"), row.get("environments"), environments, "environment")
    for path, row in rows_of(raw, "readers"):
        yield from unknown(path, row, "key", roles, "role")
    for path, row in rows_of(raw, "accepted_branches"):
        yield from unknown(path, row, "environment", environments, "environment")
    accepting = {row.get("environment") for _path, row in rows_of(raw, "accepted_branches")}
    for path, row in rows_of(raw, "environments"):
        if isinstance(row.get("key"), str) and row["key"] not in accepting:
            text = _("has no row in accepted_branches, so that no branch could go to %(environment)r")
            yield path, text % {"environment": row["key"]}
    for path, row in rows_of(raw, "notification_rules"):
        if not row.get("recipient_groups") and row.get("must_act") is not True:
            yield path, _("notifies no one")
        groups = keys_of(raw, "recipient_groups")
        yield from all_unknown((*path, "recipient_groups"), row.get("recipient_groups"), groups, "recipient group")
        yield from all_unknown((*path, "documents"), row.get("documents"), keys_of(raw, "documents"), "document")
        yield from all_unknown((*path, "channels"), row.get("channels"), keys_of(raw, "channels"), "channel")
    monitoring = raw.get("monitoring")
    if isinstance(monitoring, Mapping):
        yield from all_unknown(("monitoring", "metrics"), monitoring.get("metrics"), keys_of(raw, "metrics"), "metric")
    final = raw.get("final_check")
    if isinstance(final, Mapping):
        yield from all_unknown(("final_check", "signers"), final.get("signers"), roles, "role")
        able = approvers(raw)
        for index, role in enumerate(list_of(final, "signers")):
            if role in roles and role not in able:
                text = _("%(role)r may not sign it; known: %(known)s")
                yield ("final_check", "signers", index), text % {"role": role, "known": listed(able)}
    for name in sorted(keys_of(raw, "team_roles") & roles):
        yield ("team_roles",), _("%(name)r is the name of a role as well") % {"name": name}


def _signatures(path: Path, row: Raw, able: Set[str]) -> Found:
    """Refuse a signature by a role that may not sign, and one that would be asked for after a later state."""
    reached = 0
    for index, signature in enumerate(list_of(row, "signatures")):
        here: Path = (*path, "signatures", index)
        if not isinstance(signature, Mapping):
            continue
        yield from unknown(here, signature, "role", able | {AUTHOR}, "signer")
        state = signature.get("state")
        order = DOCUMENT_STATES.index(state) if state in DOCUMENT_STATES else reached
        if order < reached:
            text = _("%(state)r comes before the state of the signature above it")
            yield (*here, "state"), text % {"state": state}
        reached = max(reached, order)


def _history(raw: Raw) -> Found:
    rows = rows_of(raw, "history")
    if rows and isinstance(raw.get("version"), str) and rows[-1][1].get("version") != raw["version"]:
        said = {"version": raw["version"], "last": rows[-1][1].get("version")}
        yield ("version",), _("is %(version)s, but the history ends with %(last)s") % said
    yield from repeated(rows, ("version",))
    days = [(path, str(row["date"])) for path, row in rows if "date" in row]
    for (_path, earlier), (path, later) in zip(days, days[1:], strict=False):
        if later < earlier:
            yield (*path, "date"), _("%(date)s lies before the entry above it") % {"date": later}


def _milestones(raw: Raw) -> Found:
    rows = rows_of(raw, "milestones")
    if rows and rows[-1][1].get("when") is not None:
        yield (*rows[-1][0], "when"), _("the last milestone is the start itself, which every release has")
    days = [(path, whole_of(row, "days_before")) for path, row in rows]
    for (_path, earlier), (path, later) in zip(days, days[1:], strict=False):
        if earlier is not None and later is not None and later >= earlier:
            yield (*path, "days_before"), _("must be nearer to T-0 than the milestone above it")
    if days and days[-1][1] not in (0, None):
        yield (*days[-1][0], "days_before"), _("the last milestone must be T-0 itself, 0 days before")
    keys = keys_of(raw, "milestones")
    emergency = rows_of(raw, "schedule.emergency.milestones")
    for path, row in emergency:
        yield from unknown(path, row, "key", keys, "milestone")
    schedule = raw.get("schedule")
    if emergency or (isinstance(schedule, Mapping) and schedule.get("emergency") is not None):
        for name in sorted(keys - keys_of(raw, "schedule.emergency.milestones")):
            text = _("says nothing of the milestone %(milestone)r")
            yield ("schedule", "emergency", "milestones"), text % {"milestone": name}


def _matrix(raw: Raw) -> Found:
    types = keys_of(raw, "testing.types")
    for path, row in rows_of(raw, "testing.environments"):
        yield from unknown(path, row, "environment", keys_of(raw, "environments"), "environment")
    rows = rows_of(raw, "testing.matrix")
    for path, row in rows:
        yield from unknown(path, row, "type", types, "type of test")
        yield from unknown(path, row, "test_environment", keys_of(raw, "testing.environments"), "test environment")
    for name in sorted(types - {str(row.get("type")) for _path, row in rows}):
        yield ("testing", "matrix"), _("has no cell for tests of the type %(type)r") % {"type": name}


def _gates(raw: Raw, gate_types: Collection[str]) -> Found:
    places = [(path, row) for path, row in rows_of(raw, "environments") if row.get("tier") in TIERS]
    tiers, keys = {row["tier"] for _path, row in places}, keys_of(raw, "environments")
    for path, row in rows_of(raw, "protected_branches"):
        of_tier = [place for _path, place in places if place["tier"] == row.get("tier")]
        if of_tier and not all(asked(raw, "branch_protection", place) for place in of_tier):
            text = _("has no gate of the type branch_protection in the tier %(tier)r, so that nothing would ask for it")
            yield path, text % {"tier": row["tier"]}
    for path, row in rows_of(raw, "gates"):
        yield from unknown(path, row, "type", gate_types, "gate type")
        yield from _evidence_of_gate(raw, path, row)
        yield from _attestation(raw, path, row)
        if row.get("evidence") == "junit" and row.get("type") == "evidence":
            yield from _unasked_tests(raw, path, row, places)
        if not list_of(row, "tiers") and not list_of(row, "environments"):
            yield path, _("names no tier and no environment, so that nothing would ask it")
        yield from all_unknown((*path, "environments"), row.get("environments"), keys, "environment")
        for index, tier in enumerate(list_of(row, "tiers")):
            if tier in TIERS and tier not in tiers:
                yield (*path, "tiers", index), _("no environment is of the tier %(tier)r") % {"tier": tier}
    for path, row in places:
        for kind in ALWAYS_ASKED if row.get("protected") is True else ():
            if not asked(raw, kind, row):
                text = _("needs a gate of the type %(type)r in the tier %(tier)r; add one to gates")
                yield (*path, "protected"), text % {"type": kind, "tier": row["tier"]}


def _unasked_tests(raw: Raw, path: Path, row: Raw, places: list[tuple[Path, Raw]]) -> Found:
    """Refuse a gate that asks for test reports where the matrix requires none: it would say nothing of any test."""
    orders = {place.get("key"): whole_of(place, "order") or 0 for _path, place in places}
    where = {one.get("key"): one.get("environment") for _path, one in rows_of(raw, "testing.environments")}
    cells = [cell for _path, cell in rows_of(raw, "testing.matrix") if cell.get("required") is True]
    due = [orders.get(where.get(cell.get("test_environment")), 0) for cell in cells]
    first = min(orders.values(), default=0)
    for _path, place in places:
        limit = orders[place.get("key")]
        here = place.get("tier") in list_of(row, "tiers") or place.get("key") in list_of(row, "environments")
        if here and not any(order < limit or order == limit == first for order in due):
            text = _("asks for test reports, but testing.matrix requires none before %(environment)r")
            yield path, text % {"environment": place.get("key")}


def _attestation(raw: Raw, path: Path, row: Raw) -> Found:
    if row.get("type") == "attestation" and not row.get("subject"):
        yield (*path, "subject"), _("is missing: an attestation names the subject of the statement it asks for")
    yield from all_unknown((*path, "roles"), row.get("roles"), keys_of(raw, "roles"), "role")
    for name, of in (("subject", "attestation"), ("roles", "attestation"), ("hours", "promotion")):
        if row.get("type") != of and row.get(name):
            yield (*path, name), _("is written for a gate of the type %(type)s only") % {"type": of}


def _evidence_of_gate(raw: Raw, path: Path, row: Raw) -> Found:
    thresholds = keys_of(raw, "thresholds")
    recorded_by, named = JUDGED_BY.get(str(row.get("evidence")), ""), row.get("threshold")
    if named:
        yield from unknown(path, row, "threshold", thresholds, "threshold")
        if isinstance(named, str) and named in thresholds and named != recorded_by:
            text = _("is judged by %(threshold)s") if recorded_by else _("is judged by no threshold")
            yield (*path, "threshold"), text % {"threshold": recorded_by}
    if recorded_by and recorded_by not in thresholds:
        text = _("says nothing of %(threshold)s, by which %(evidence)s is judged")
        yield ("thresholds",), text % {"threshold": recorded_by, "evidence": row.get("evidence")}
    if row.get("type") == "evidence" and not row.get("evidence"):
        yield (*path, "evidence"), _("is missing: a gate of evidence names the type of evidence it asks for")
    if row.get("type") != "evidence" and row.get("evidence") in get_args(EvidenceType)[1:]:
        yield (*path, "evidence"), _("only a gate of the type evidence asks for evidence")


def _versions(raw: Raw) -> Found:
    rows = rows_of(raw, "versions.meanings")
    for name in ("major", "minor", "patch"):
        if rows and name not in keys_of(raw, "versions.meanings"):
            yield ("versions", "meanings"), _("says nothing of %(key)s") % {"key": name}
    seen: set[Any] = set()
    for path, row in rows:
        for index, kind in enumerate(list_of(row, "change_types")):
            if isinstance(kind, str) and kind in seen:
                text = _("%(type)r raises two parts of the version")
                yield (*path, "change_types", index), text % {"type": kind}
            seen.add(kind if isinstance(kind, str) else None)


def _plans(raw: Raw, step_types: Collection[str]) -> Found:
    people = {str(row.get("key")) for _path, row in rows_of(raw, "roles") if row.get("account") == "person"}
    for plan in ("deployment", "rollback"):
        if (rows := rows_of(raw, f"plans.{plan}")) and all(row.get("when") is not None for _path, row in rows):
            yield ("plans", plan), _("has no step where no condition holds; write one step without when")
    for plan in _PLANS:
        for path, row in rows_of(raw, f"plans.{plan}"):
            yield from unknown(path, row, "type", step_types, "step type")
            yield from _parameters(path, row, step_types)
            role = parameters.get("role") if isinstance(parameters := row.get("parameters"), Mapping) else None
            if row.get("type") == "manual" and isinstance(role, str) and role not in people:
                yield (*path, "parameters", "role"), names_unknown("role of people", role, people)
            if row.get("type") == "manual" and plan != "deployment":
                text = _("only a deployment waits for a person; what is verified is a check of this type")
                yield (*path, "type"), text


def _triggers(raw: Raw) -> Found:
    # A monitoring check is measured as 1 where it fails and 0 where it passes.
    monitored = {str(row.get("key")) for _path, row in rows_of(raw, "checks") if row.get("when") == "monitoring"}
    metrics = keys_of(raw, "metrics") | monitored
    for name in sorted(monitored & keys_of(raw, "metrics")):
        yield ("metrics",), _("%(name)r is the name of a monitoring check as well") % {"name": name}
    for path, row in rows_of(raw, "triggers"):
        filled = [name for name in ("metric", "comparison", "limit", "k", "n") if row.get(name)]
        if filled and len(filled) < 5:
            absent = [name for name in ("metric", "comparison", "limit", "k", "n") if name not in filled]
            text = _("is half-filled: %(fields)s missing (a raised trigger has none of the five)")
            yield path, text % {"fields": language.listed(absent)}
        if row.get("metric"):
            yield from unknown(path, row, "metric", metrics, "metric")
        elif row.get("dry_run"):
            yield (*path, "dry_run"), _("only a measured trigger can be a dry run")
        k, n = whole_of(row, "k"), whole_of(row, "n")
        if k and n and k > n:
            yield (*path, "k"), _("asks for %(k)d of %(n)d samples") % {"k": k, "n": n}
        if n and n > MOST_PLACES:
            yield (*path, "n"), _("looks back on more than %(most)d samples") % {"most": MOST_PLACES}
