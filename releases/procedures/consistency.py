"""Checks between the parts of a procedure: every name that is used exists, every rule is complete.

The rules read plain values, so that one malformed row hides no other fault; the models report values of a wrong form.
"""

from collections.abc import Collection, Iterator, Mapping, Set
from typing import Any, get_args

from pydantic import ValidationError

from environments.roles import LEVEL_CHOICES, ROLE_CHOICES, ROLE_PERMISSIONS
from environments.secret_detection import reveals_secret
from releases.procedures.places import Path, message_of
from releases.procedures.unnotified_ends import unnotified_ends
from releases.procedures.values import DOCUMENTS, JUDGED_BY, MOST_PLACES, TIERLESS, EvidenceType, Subject, Tier

Found = Iterator[tuple[Path, str]]
Raw = Mapping[str, Any]
_PLANS = ("deployment", "after_deployment", "before_rollback", "rollback", "after_rollback")
TIERS = get_args(Tier)
# The types of gate that a protected environment always has.
ALWAYS_ASKED = ("approval", "change_window", "change_freeze")
# The subject of an approval rule → permissions of which each role that it names must have one, else it has no approver.
RIGHTS = {
    **dict.fromkeys(("regular", "emergency"), {"approve"}),
    **dict.fromkeys(("extra_window", "procedure", "emergency_stop_lift"), {"approve_change"}),
    "late_rollback": {"approve_change", "confirm_waiver", "authorise_rollback"},
    "final_check": {"sign_final_check"},
}
# Code decides what each row of these lists does, and each is required.
FIXED: dict[str, Set[str]] = {
    "follow_ups": {"retrospective_review", "full_review", "waiver", "assessment", "communication", "condition"},
    "thresholds": frozenset(JUDGED_BY.values()),
    "team_roles": frozenset({"implementer", "verifier", "release_lead", "rollback_decision_maker"}),
    "document_states": frozenset({"content_checked", "approved", "ready_to_publish"}),
    "rollback.documents": DOCUMENTS["rollback"],
    "rollback.assessment": frozenset({"impact", "method", "timing"}),
    "versions.tag_requirements": frozenset({"version", "date", "changes"}),
}


def faults_between(
    raw: Raw, *, step_types: Collection[str], check_types: Collection[str], gate_types: Collection[str]
) -> Found:
    """Yield (path, sentence) for every name without an owner, double key and half-filled rule."""
    yield from _twice(raw)
    yield from _references(raw)
    yield from _history(raw)
    yield from _milestones(raw)
    yield from _matrix(raw)
    yield from _approvals(raw)
    yield from _places(raw)
    yield from _gates(raw, gate_types)
    yield from _versions(raw)
    yield from _plans(raw, step_types)
    yield from _triggers(raw)
    yield from unnotified_ends(_rows(raw, "notification_rules"))
    yield from _fixed(raw)
    for path, row in _rows(raw, "checks"):
        yield from _known(path, row, "type", check_types, "check type")
        yield from _parameters(path, row, check_types)
        if row.get("type") == "manual" and row.get("when") in ("monitoring", "rollback"):
            yield (*path, "type"), "manual is asked for at the verification of a deployment only"


def _fixed(raw: Raw) -> Found:
    """Refuse a row that no code reads, and a list without a required row: code decides what these do."""
    for place, known in FIXED.items():
        for path, row in _rows(raw, place):
            yield from _known(path, row, "key", known, "row of this list, which nothing would read")
        for key in sorted(known - _keys(raw, place)) if _rows(raw, place) or place in raw else ():
            yield tuple(place.split(".")), f"says nothing of {key}"


def _rows(raw: Raw, place: str) -> list[tuple[Path, Raw]]:
    path: Path = tuple(place.split("."))
    here: Any = raw
    for part in path:
        here = here.get(part) if isinstance(here, Mapping) else None
    rows = here if isinstance(here, list | tuple) else ()
    return [((*path, index), row) for index, row in enumerate(rows) if isinstance(row, Mapping)]


def _keys(raw: Raw, place: str) -> set[str]:
    return {row["key"] for _path, row in _rows(raw, place) if isinstance(row.get("key"), str)}


def _whole(row: Raw, name: str) -> int | None:
    value = row.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _list(row: Raw, name: str) -> list[Any]:
    value = row.get(name)
    return list(value) if isinstance(value, list | tuple) else []


def _known(path: Path, row: Raw, name: str, known: Collection[str], what: str) -> Found:
    value = row.get(name)
    if isinstance(value, str) and value not in known:
        yield (*path, name), f"names {value!r}, an unknown {what}; known: {', '.join(sorted(known))}"


def _all_known(path: Path, names: Any, known: Collection[str], what: str) -> Found:
    for index, name in enumerate(names if isinstance(names, list | tuple) else ()):
        if isinstance(name, str) and name not in known:
            yield (*path, index), f"names {name!r}, an unknown {what}; known: {', '.join(sorted(known))}"


def _parameters(path: Path, row: Raw, kinds: Collection[str]) -> Found:
    model, given = kinds.get(str(row.get("type"))) if isinstance(kinds, Mapping) else None, row.get("parameters")
    if model is None or not isinstance(given, Mapping):
        return
    try:
        model.model_validate(given)
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False, include_context=False, include_input=False):
            yield (*path, "parameters", *error["loc"]), message_of(error)
    for name in reveals_secret(given):
        yield (*path, "parameters", name), "holds a password or another secret; it belongs into the configuration"


def _repeated(rows: list[tuple[Path, Raw]], names: tuple[str, ...]) -> Found:
    seen: dict[tuple[Any, ...], Path] = {}
    for path, row in rows:
        values = tuple(row.get(name) for name in names)
        if not all(isinstance(value, str | int) for value in values):
            continue
        if values in seen:
            yield (*path, names[0]), f"{' / '.join(map(str, values))} is written twice"
        seen[values] = path


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
        yield from _repeated(rows, ("key",))
    yield from _repeated(_rows(raw, "access"), ("role", "environment"))
    yield from _repeated(_rows(raw, "accepted_branches"), ("environment",))
    yield from _repeated(_rows(raw, "testing.matrix"), ("type", "test_environment"))
    yield from _repeated(_rows(raw, "environments"), ("order",))
    yield from _repeated(_rows(raw, "milestones"), ("guards",))
    yield from _repeated(_rows(raw, "notification_rules"), ("event",))
    yield from _repeated(_rows(raw, "approval_rules"), ("subject", "tier", "stage", "role"))
    # A step's result is stored under its type and found again by its key: both plans share the names.
    yield from _repeated([row for plan in _PLANS for row in _rows(raw, f"plans.{plan}")], ("key",))


def _references(raw: Raw) -> Found:
    roles, environments = _keys(raw, "roles"), _keys(raw, "environments")
    # Code decides what these mean; a procedure says who has which, and which documents exist.
    for place, known, what in (
        ("roles", dict(ROLE_CHOICES), "role"),
        ("levels", dict(LEVEL_CHOICES), "level of access"),
        ("documents", DOCUMENTS["release"], "document of a release"),
    ):
        for path, row in _rows(raw, place):
            yield from _known(path, row, "key", known, what)
    for path, row in _rows(raw, "access"):
        yield from _known(path, row, "role", roles, "role")
        yield from _known(path, row, "environment", environments, "environment")
        yield from _known(path, row, "level", _keys(raw, "levels"), "level of access")
    for path, row in _rows(raw, "readers"):
        yield from _known(path, row, "key", roles, "role")
    for path, row in _rows(raw, "accepted_branches"):
        yield from _known(path, row, "environment", environments, "environment")
    accepting = {row.get("environment") for _path, row in _rows(raw, "accepted_branches")}
    for path, row in _rows(raw, "environments"):
        if isinstance(row.get("key"), str) and row["key"] not in accepting:
            yield path, f"has no row in accepted_branches, so that no branch could go to {row['key']!r}"
    for path, row in _rows(raw, "notification_rules"):
        yield from _all_known(
            (*path, "recipient_groups"), row.get("recipient_groups"), _keys(raw, "recipient_groups"), "group"
        )
        yield from _all_known((*path, "documents"), row.get("documents"), _keys(raw, "documents"), "document")
        yield from _all_known((*path, "channels"), row.get("channels"), _keys(raw, "channels"), "channel")
    monitoring = raw.get("monitoring")
    if isinstance(monitoring, Mapping):
        yield from _all_known(("monitoring", "metrics"), monitoring.get("metrics"), _keys(raw, "metrics"), "metric")
    final = raw.get("final_check")
    if isinstance(final, Mapping):
        yield from _all_known(("final_check", "signers"), final.get("signers"), roles, "role")
        able = _able(roles, "final_check")
        for index, role in enumerate(_list(final, "signers")):
            if role in roles and role not in able:
                yield ("final_check", "signers", index), f"{role!r} may not sign it; known: {', '.join(able)}"
    for name in sorted(_keys(raw, "team_roles") & roles):
        yield ("team_roles",), f"{name!r} is the name of a role as well"


def _history(raw: Raw) -> Found:
    rows = _rows(raw, "history")
    if rows and isinstance(raw.get("version"), str) and rows[-1][1].get("version") != raw["version"]:
        yield ("version",), f"is {raw['version']}, but the history ends with {rows[-1][1].get('version')}"
    yield from _repeated(rows, ("version",))
    days = [(path, str(row["date"])) for path, row in rows if "date" in row]
    for (_path, earlier), (path, later) in zip(days, days[1:], strict=False):
        if later < earlier:
            yield (*path, "date"), f"{later} lies before the entry above it"


def _milestones(raw: Raw) -> Found:
    days = [(path, _whole(row, "days_before")) for path, row in _rows(raw, "milestones")]
    for (_path, earlier), (path, later) in zip(days, days[1:], strict=False):
        if earlier is not None and later is not None and later >= earlier:
            yield (*path, "days_before"), "must be nearer to T-0 than the milestone above it"
    if days and days[-1][1] not in (0, None):
        yield (*days[-1][0], "days_before"), "the last milestone must be T-0 itself, 0 days before"
    keys = _keys(raw, "milestones")
    emergency = _rows(raw, "schedule.emergency.milestones")
    for path, row in emergency:
        yield from _known(path, row, "key", keys, "milestone")
    if emergency:
        for name in sorted(keys - _keys(raw, "schedule.emergency.milestones")):
            yield ("schedule", "emergency", "milestones"), f"says nothing of the milestone {name!r}"


def _matrix(raw: Raw) -> Found:
    types = _keys(raw, "testing.types")
    for path, row in _rows(raw, "testing.environments"):
        yield from _known(path, row, "environment", _keys(raw, "environments"), "environment")
    rows = _rows(raw, "testing.matrix")
    for path, row in rows:
        yield from _known(path, row, "type", types, "type of test")
        yield from _known(path, row, "test_environment", _keys(raw, "testing.environments"), "test environment")
    for name in sorted(types - {str(row.get("type")) for _path, row in rows}):
        yield ("testing", "matrix"), f"has no cell for tests of the type {name!r}"


def _approvals(raw: Raw) -> Found:
    people = _keys(raw, "roles") | _keys(raw, "team_roles") | {"none"}
    services = {row.get("key") for _path, row in _rows(raw, "roles") if row.get("account") == "service"}
    protected = {row.get("tier") for _path, row in _rows(raw, "environments") if row.get("protected") is True}
    groups: dict[tuple[str, str], list[tuple[Path, Raw]]] = {}
    for path, row in _rows(raw, "approval_rules"):
        yield from _known(path, row, "role", people, "role or team role")
        subject, tier, role, number = (row.get(name) for name in ("subject", "tier", "role", "number"))
        if role in services:
            yield (*path, "role"), f"{role!r} is a service account, which never counts as approval"
        elif role in people - {"none"} and role not in (able := _able(people, str(subject))):
            yield (*path, "role"), f"{role!r} may not approve this, so nobody would count; known: {', '.join(able)}"
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
            elif (subject, tier) == ("emergency", "production") and "committee" not in {
                r.get("role") for _p, r in rows
            }:
                yield rows[0][0], "an emergency in production always asks the committee"
            elif len(rows) > 1 and any(row.get("role") == "none" for _path, row in rows):
                yield rows[0][0], f"{subject} in {tier!r} asks nobody and somebody"
            else:
                stages = sorted({stage for _path, row in rows if (stage := _whole(row, "stage"))})
                if stages != list(range(1, len(stages) + 1)):
                    yield rows[0][0], f"the stages of {subject} in {tier!r} must count 1, 2, 3"


def _able(people: Collection[str], subject: str) -> list[str]:
    """Return those of the people who may decide about a subject; the team's rollback decision maker may by that team
    role.
    """
    rights = RIGHTS.get(subject)
    may = [one for one in people if rights is None or ROLE_PERMISSIONS.get(one, frozenset()) & rights]
    return sorted(may + [one for one in people if (subject, one) == ("late_rollback", "rollback_decision_maker")])


def _places(raw: Raw) -> Found:
    """Refuse what no release could ever pass: only production is approved, it is one environment, and it comes last."""
    rows = _rows(raw, "environments")
    last = max((order for _path, row in rows if (order := _whole(row, "order")) is not None), default=None)
    production = [row for _path, row in rows if row.get("tier") == "production"]
    for path, row in rows:
        if row in production[1:]:
            yield (*path, "tier"), "is a second 'production', where no release would ever come: one is approved for one"
        elif row in production and _whole(row, "order") != last:
            yield (*path, "order"), "must come last: production would wait for the environment after it for ever"
        elif row not in production and row.get("protected") is True:
            yield (*path, "protected"), "must be false: releases are approved for production only, so none could come"
    for path, row in _rows(raw, "gates"):
        for index, tier in enumerate(_list(row, "tiers")):
            if row.get("type") in ("approval", "milestone") and tier in TIERS and tier != "production":
                yield (*path, "tiers", index), f"never passes in {tier!r}: it is met on the way to production only"


def _gates(raw: Raw, gate_types: Collection[str]) -> Found:
    thresholds = _keys(raw, "thresholds")
    tiers = {row.get("tier") for _path, row in _rows(raw, "environments")}
    guarded = {
        tier
        for _path, row in _rows(raw, "gates")
        if row.get("type") == "branch_protection"
        for tier in _list(row, "tiers")
    }
    for path, row in _rows(raw, "protected_branches"):
        if row.get("tier") in tiers - guarded:
            yield (
                path,
                f"has no gate of the type branch_protection in the tier {row['tier']!r}, so that nothing would "
                "ask for it",
            )
    for path, row in _rows(raw, "gates"):
        yield from _known(path, row, "type", gate_types, "gate type")
        recorded_by, named = JUDGED_BY.get(str(row.get("evidence")), ""), row.get("threshold")
        if named:
            yield from _known(path, row, "threshold", thresholds, "threshold")
            if isinstance(named, str) and named in thresholds and named != recorded_by:
                yield (*path, "threshold"), f"is judged by {recorded_by or 'no threshold'}"
        if recorded_by and recorded_by not in thresholds:
            yield ("thresholds",), f"says nothing of {recorded_by}, by which {row.get('evidence')} is judged"
        if row.get("type") == "evidence" and not row.get("evidence"):
            yield (*path, "evidence"), "is missing: a gate of evidence names the type of evidence it asks for"
        if row.get("type") != "evidence" and row.get("evidence") in get_args(EvidenceType)[1:]:
            yield (*path, "evidence"), "only a gate of the type evidence asks for evidence"
        for index, tier in enumerate(_list(row, "tiers")):
            if tier in get_args(Tier) and tier not in tiers:
                yield (*path, "tiers", index), f"no environment is of the tier {tier!r}"
    asked = {
        (row.get("type"), tier) for _path, row in _rows(raw, "gates") for tier in _list(row, "tiers") if tier in TIERS
    }
    for path, row in _rows(raw, "environments"):
        if row.get("protected") is True and row.get("tier") in TIERS:
            for kind in ALWAYS_ASKED:
                if (kind, row["tier"]) not in asked:
                    yield (
                        (*path, "protected"),
                        f"needs a gate of the type {kind!r} in the tier {row['tier']!r}; add one to gates",
                    )


def _versions(raw: Raw) -> Found:
    rows = _rows(raw, "versions.meanings")
    for name in ("major", "minor", "patch"):
        if rows and name not in _keys(raw, "versions.meanings"):
            yield ("versions", "meanings"), f"says nothing of {name}"
    seen: set[Any] = set()
    for path, row in rows:
        for index, kind in enumerate(_list(row, "change_types")):
            if isinstance(kind, str) and kind in seen:
                yield (*path, "change_types", index), f"{kind!r} raises two parts of the version"
            seen.add(kind if isinstance(kind, str) else None)


def _plans(raw: Raw, step_types: Collection[str]) -> Found:
    for plan in _PLANS:
        for path, row in _rows(raw, f"plans.{plan}"):
            yield from _known(path, row, "type", step_types, "step type")
            yield from _parameters(path, row, step_types)
            if row.get("type") == "manual" and plan != "deployment":
                yield (*path, "type"), "only a deployment waits for a person; what is verified is a check of this type"


def _triggers(raw: Raw) -> Found:
    # A monitoring check is measured as 1 where it fails and 0 where it passes.
    monitored = {str(row.get("key")) for _path, row in _rows(raw, "checks") if row.get("when") == "monitoring"}
    metrics = _keys(raw, "metrics") | monitored
    for name in sorted(monitored & _keys(raw, "metrics")):
        yield ("metrics",), f"{name!r} is the name of a monitoring check as well"
    for path, row in _rows(raw, "triggers"):
        filled = [name for name in ("metric", "comparison", "limit", "k", "n") if row.get(name)]
        if filled and len(filled) < 5:
            absent = [name for name in ("metric", "comparison", "limit", "k", "n") if name not in filled]
            yield path, f"is half-filled: {', '.join(absent)} missing (a raised trigger has none of the five)"
        if row.get("metric"):
            yield from _known(path, row, "metric", metrics, "metric")
        elif row.get("dry_run"):
            yield (*path, "dry_run"), "only a measured trigger can be a dry run"
        k, n = _whole(row, "k"), _whole(row, "n")
        if k and n and k > n:
            yield (*path, "k"), f"asks for {k} of {n} samples"
        if n and n > MOST_PLACES:
            yield (*path, "n"), f"looks back on more than {MOST_PLACES} samples"
