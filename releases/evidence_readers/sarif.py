"""SARIF 2.1.0: findings of a static analysis by level, by the standard's look-up (3.27.10 and its references).

An unresolvable level, a result in another file and an unsuccessful run are unknown.
"""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from releases.evidence_readers.base import (
    BadEvidence,
    Document,
    EvidenceType,
    Form,
    Judgement,
    Outcome,
    Reading,
    Values,
)

# The highest level first.
_LEVELS = {"error": "errors", "warning": "warnings", "note": "notes", "none": "none"}
# Parts of a run that decide the meaning of its results.
_EXTERNAL = frozenset({"results", "driver", "extensions", "invocations"})
# Parts of a hierarchical id that are examined.
_DEEPEST = 10
Json = dict[str, Any]


class Unresolved(Exception):
    """A reference without a target, or a result that contradicts itself."""


def read(document: Document) -> Reading:
    """Count the results by level."""
    report = document.object
    if not isinstance(report["runs"], list):
        raise BadEvidence(_("The file is not a SARIF 2.1.0 report."))
    counts = dict.fromkeys((*_LEVELS.values(), "suppressed", "absent", "unresolved", "incomplete"), 0)
    parts, failing = set[str](), set[str]()
    elsewhere = any(_EXTERNAL & set(_dict(one)) for one in _list(report.get("inlineExternalProperties")))
    for run in report["runs"]:
        external = isinstance(run, dict) and _EXTERNAL & set(_dict(run.get("externalPropertyFileReferences")))
        results = run.get("results", [] if external else None) if isinstance(run, dict) else None
        if not isinstance(results, list):
            raise BadEvidence(_("A run of the SARIF report has no list of results."))
        if not isinstance(run.get("invocations", []), list):
            raise BadEvidence(_("A run of the SARIF report has no list of invocations."))
        found = dict.fromkeys(counts, 0)
        known = Run(run)
        found["incomplete"] = int(bool(external) or elsewhere or not known.ended_well())
        for result in results:
            if not isinstance(result, dict):
                raise BadEvidence(_("A result of the SARIF report is not an object."))
            found[known.counted_as(result)] += 1
        name = _name(run)
        parts.add(name)
        if found["errors"] or found["unresolved"] or found["incomplete"]:
            failing.add(name)
        counts = {key: counts[key] + found[key] for key in counts}
    values: Values = {**counts, "runs": len(report["runs"])}
    del values["none"]
    summary = _("%(errors)d errors, %(warnings)d warnings and %(notes)d notes in %(runs)d runs.") % values
    return Reading(values, summary, ", ".join(sorted(parts)), frozenset(parts), frozenset(failing))


def _dict(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _name(run: Json) -> str:
    """Return the identity of a run: its tool, and the category in its automation before the run's own id."""
    name, stated = (
        _dict(_dict(run.get("tool")).get("driver")).get("name"),
        _dict(run.get("automationDetails")).get("id"),
    )
    category = stated.rpartition("/")[0] if isinstance(stated, str) else ""
    return " ".join(part for part in (name if isinstance(name, str) else "", category) if part)


class Run:
    """The rules and notifications that a run describes, found by index, id or guid, and their levels.

    Everything is indexed once: a report may list as many rules as results.
    """

    def __init__(self, run: Json) -> None:
        tool = _dict(run.get("tool"))
        self.extensions = [_dict(one) for one in _list(tool.get("extensions"))]
        self.components = [_dict(tool.get("driver")), *self.extensions]
        self.invocations = [_dict(one) for one in _list(run.get("invocations"))]
        self.lists: dict[str, list[list[Json]]] = {}
        self.known: dict[tuple[str, str, Any], list[tuple[int, Json]]] = {}
        for what in ("rule", "notification"):
            self.lists[what] = [[_dict(one) for one in _list(part.get(f"{what}s"))] for part in self.components]
            for place, described in enumerate(self.lists[what]):
                for one in described:
                    for key in ("id", "guid"):
                        if isinstance(one.get(key), str):
                            self.known.setdefault((what, key, one[key]), []).append((place, one))
        # The level of each invocation for a descriptor, instead of its default; None: it names a missing one.
        self.overrides = {what: [self._overrides(one, what) for one in self.invocations] for what in self.lists}
        self.together: dict[str, dict[int, list[str]]] = {what: {} for what in self.lists}
        for what, rows in self.overrides.items():
            for row in rows:
                for known, level in (row or {}).items():
                    self.together[what].setdefault(known, []).append(level)

    def _overrides(self, invocation: Json, what: str) -> dict[int, str] | None:
        found: dict[int, str] = {}
        for override in map(_dict, _list(invocation.get(f"{what}ConfigurationOverrides"))):
            level, of = _dict(override.get("configuration")).get("level"), override.get("descriptor")
            try:
                for one in self.descriptors({"rule": of, "descriptor": of}, what):
                    if level is not None:
                        found.setdefault(id(one), _known(level))
            except Unresolved:
                return None
        return found

    def ended_well(self) -> bool:
        """Tell whether every invocation succeeded: without an error of its own or of its configuration."""
        for invocation in self.invocations:
            if invocation.get("executionSuccessful") is False or "processStartFailureMessage" in invocation:
                return False
            for kind in ("toolExecutionNotifications", "toolConfigurationNotifications"):
                for notification in map(_dict, _list(invocation.get(kind))):
                    try:
                        if self.level(notification, "notification") == "error":
                            return False
                    except Unresolved:
                        return False
        return True

    def counted_as(self, result: Json) -> str:
        """Return the count of a result."""
        if result.get("baselineState") == "absent":
            return "absent"
        suppressions = _list(result.get("suppressions"))
        if suppressions and all(_dict(one).get("status", "accepted") == "accepted" for one in suppressions):
            return "suppressed"
        kind = result.get("kind", "fail")
        if kind in ("pass", "informational", "notApplicable") and result.get("level", "none") == "none":
            return "none"
        if kind != "fail":
            # The tool itself does not know about `open` and `review`; any other kind contradicts the level.
            return "unresolved"
        try:
            return _LEVELS[self.level(result, "rule")]
        except Unresolved:
            return "unresolved"

    def level(self, of: Json, what: str) -> str:
        """Return the level of a result (what: rule) or a notification. Raises Unresolved, and BadEvidence for no
        level.
        """
        if "level" in of:
            return _known(of["level"])
        index = _dict(of.get("provenance")).get("invocationIndex", -1)
        named = None if index == -1 else self.overrides[what][_checked(index, self.invocations)]
        if index != -1 and named is None or index == -1 and None in self.overrides[what]:
            raise Unresolved
        levels = []
        for one in self.descriptors(of, what):
            # Without an invocation of its own, the highest level of all of them counts.
            stated = (
                self.together[what].get(id(one), []) if named is None else [named[id(one)]] if id(one) in named else []
            )
            if len(stated) < (len(self.invocations) if named is None else 1) or not stated:
                stated = [*stated, _known(_dict(one.get("defaultConfiguration")).get("level", "warning"))]
            levels += stated
        return min(levels or ["warning"], key=list(_LEVELS).index)

    def states_level(self, result: Json, rules: list[Json]) -> bool:
        """Tell whether a result, one of its rules or an invocation states its level, so that no default stands in."""
        by_rule = any(
            "level" in _dict(rule.get("defaultConfiguration")) or id(rule) in self.together["rule"] for rule in rules
        )
        return "level" in result or by_rule

    def descriptors(self, of: Json, what: str) -> list[Json]:
        """Return the descriptors that a result names: one, none, or all with an id. Raises Unresolved for
        a reference to a missing one.
        """
        reference = _dict(of.get("rule" if what == "rule" else "descriptor"))
        index, name = reference.get("index", of.get("ruleIndex", -1)), reference.get("id", of.get("ruleId"))
        place = self._component(reference["toolComponent"]) if "toolComponent" in reference else None
        if index != -1:
            # Without a component an index counts in the driver's list.
            described = self.lists[what][place or 0]
            chosen = described[_checked(index, described)]
            known = chosen.get("id")
            if isinstance(name, str) and isinstance(known, str) and name != known and not name.startswith(f"{known}/"):
                raise Unresolved
            return [chosen]
        if "guid" in reference:
            if same := self._bearing(what, "guid", reference["guid"], place):
                return same
            raise Unresolved
        # A hierarchical id, such as CA1000/1, is described under the part before its last one.
        wanted = name if isinstance(name, str) else ""
        for _part in range(_DEEPEST):
            if same := self._bearing(what, "id", wanted, place):
                return same
            wanted = wanted.rpartition("/")[0]
        if place is not None:
            raise Unresolved
        return []

    def _bearing(self, what: str, key: str, value: Any, place: int | None) -> list[Json]:
        rows = self.known.get((what, key, value), []) if isinstance(value, str) else []
        return [one for where, one in rows if place is None or where == place]

    def _component(self, reference: Any) -> int:
        """Return the place of the referenced component. Raises Unresolved."""
        wanted = _dict(reference)
        if wanted.get("index", -1) != -1:
            return 1 + _checked(wanted["index"], self.extensions)
        keys = [key for key in ("guid", "name") if key in wanted]
        for place, component in enumerate(self.components):
            if all(component.get(key) == wanted[key] for key in keys):
                return place
        raise Unresolved


def _known(level: Any) -> str:
    if not isinstance(level, str) or level not in _LEVELS:
        raise BadEvidence(_("“%(level)s” is not a level of SARIF.") % {"level": str(level)[:40]})
    return level


def _checked(index: Any, rows: list[Any]) -> int:
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(rows):
        raise Unresolved
    return index


def evaluate(values: Mapping[str, str | int], limits: Mapping[str, str | int]) -> Judgement:
    """Compare the errors with their limit."""
    if not int(values["runs"]):
        return "unknown", _("The analysis was not run.")
    outcome: Outcome = "passed" if int(values["errors"]) <= int(limits["static_errors_max"]) else "failed"
    if outcome == "passed" and int(values["incomplete"]):
        return "unknown", _("An analysis run did not complete successfully, or its results are in another file.")
    if outcome == "passed" and int(values["unresolved"]):
        text = _("The level of %(count)d results cannot be determined from the file.")
        return "unknown", text % {"count": int(values["unresolved"])}
    text = _("The analysis found %(errors)d errors; at most %(limit)s are allowed.")
    return outcome, text % {"errors": int(values["errors"]), "limit": limits["static_errors_max"]}


KIND = EvidenceType("sarif", evaluate, adds=("errors",))
FORM = Form(
    "sarif",
    "SARIF 2.1.0",
    '{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "…"}}, "results": []}]}',
    lambda document: document.object.get("version") == "2.1.0" and "runs" in document.object,
    read,
)
