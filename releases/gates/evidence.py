"""The gates of evidence: it exists and it passes. Missing evidence does not pass (R2, G1, G2)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import get_language

from environments.language import labelled, noted
from environments.models import Application
from environments.targets.words import gettext as _
from releases import evidence_readers as reading
from releases.evidence_readers.performance import shows_no_time
from releases.gates.base import Answer, GateContext, Known, not_passed, passed, unknown
from releases.models import DeployedVersion, Evidence, Procedure, Release
from releases.procedures.parts import Gate

# The most reports that a message names.
MOST_NAMED = 5
# Values of a report of which more are worse, and of which fewer are.
FAULTS = ("failures", "errors", "skipped", "critical", "high", "unrated", "unresolved", "incomplete")
PROOF = ("tests", "line_rate")


@dataclass(frozen=True)
class Cell:
    """One cell of the test matrix: what its reports say. `required`: asked for before production."""

    test_environment: str
    environment: str
    label: str
    required: bool
    result: str
    sentence: str
    evidence: list[Evidence]


@dataclass(frozen=True)
class Count:
    """The common result of the reports that count, and each of them (report, outcome, sentence), the newest first."""

    result: str
    sentence: str
    reports: Sequence[tuple[Evidence, str, str]]


@dataclass(frozen=True)
class TypeRow:
    """One test type with a cell for each test environment, in the procedure's order."""

    __test__ = False
    test_type: str
    label: str
    cells: list[Cell]


def matrix(release: Release, known: Known | None = None) -> list[TypeRow]:
    """Return test type × test environment for a release's tree; the same words as the gate's. Pages call it."""
    known = known or Known(release)
    content, reports = known.content, _by_cell(known)
    language = get_language() or "ja"
    required = {(cell.type, cell.test_environment) for cell in content.testing.matrix if cell.required}
    limits = content.threshold_values()
    rows = []
    for test_type in content.testing.types:
        cells = []
        for place in content.testing.environments:
            found = reports[test_type.key, place.environment]
            said = count("junit", found, limits)
            needed = (test_type.key, place.key) in required
            label = place.label(language)
            cells.append(Cell(place.key, place.environment, label, needed, said.result, said.sentence, found))
        rows.append(TypeRow(test_type.key, test_type.label(language), cells))
    return rows


def required_types(context: GateContext) -> list[tuple[str, str]]:
    """Return the (test type, environment slug) pairs whose results are due before a run in the environment asked.

    That is every required cell of the test matrix whose environment comes earlier in the order of promotion; for the
    first environment, its own.
    """
    orders = context.known.orders
    first = min(orders.values(), default=0)
    limit = context.environment.order
    mapped = {e.key: e.environment for e in context.procedure.testing.environments}
    due = []
    for cell in context.procedure.testing.matrix:
        slug = mapped[cell.test_environment]
        order = orders.get(slug, 0)
        if cell.required and (order < limit or order == limit == first):
            due.append((cell.type, slug))
    return due


def ask(context: GateContext, gate: Gate) -> Answer:
    """Evaluate the evidence that counts for the release's tree; tests per required cell of the matrix."""
    if not context.release.tree:
        return unknown(gate, _("The commit is not known yet."), "evidence")
    limits = context.procedure.threshold_values()
    if gate.evidence == "junit":
        reports = _by_cell(context.known)
        types = {one.key: one.label(get_language() or "ja") for one in context.procedure.testing.types}
        places = {place.slug: str(place) for place in context.known.environments}
        due = required_types(context)
        if not due:
            return unknown(gate, _("The release procedure requires no test before this environment."), "evidence")
        counted = [(kind, slug, count("junit", reports[kind, slug], limits)) for kind, slug in due]
        missing = [row for row in counted if row[2].result != "passed"]
        reason = " ".join(
            labelled(noted(types[kind], places.get(slug, slug)), said.sentence)
            for kind, slug, said in missing or counted
        )
        return not_passed(gate, reason, "evidence") if missing else passed(gate, reason, "evidence")
    found = [row for row in context.known.evidence if row.kind == gate.evidence]
    said = count(gate.evidence, found, limits, _baselines(gate.evidence, context.release.application))
    return {"passed": passed, "failed": not_passed}.get(said.result, unknown)(gate, said.sentence, "evidence")


def count(
    kind: str, found: Sequence[Evidence], limits: Mapping[str, str | int], baselines: Sequence[Evidence] = ()
) -> Count:
    """Evaluate reports that count together: the worst decides, and the message names each that does not pass.

    baselines: performance reports of the deployed version in production, for those that name no baseline of their own.
    """
    values = [row.values if kind != "performance" else _with_baseline(row, baselines) for row in found]
    evaluated = reading.evaluate_all(kind, values, limits)
    reports = [(row, outcome, sentence) for row, (outcome, sentence) in zip(found, evaluated.each, strict=True)]
    wrong = [(row, sentence) for row, outcome, sentence in reports if outcome != "passed"]
    if not reports:
        said = evaluated.total
    elif len(reports) == 1:
        said = _named(reports[0][0], reports[0][2])
    elif evaluated.outcome == "passed":
        text = _("%(count)d reports count: %(names)s.")
        said = text % {"count": len(reports), "names": _some([row.source or str(row) for row in found])}
    else:
        listed = _some([_named(row, sentence) for row, sentence in wrong]) or evaluated.total
        said = _("%(count)d reports count. Not passed: %(reports)s") % {"count": len(reports), "reports": listed}
    return Count(evaluated.outcome, said, reports)


def worse_since(known: Known, moment: datetime) -> list[str]:
    """Return the reports that came in after a moment and say worse than what counted before, in words: one that does
    not pass, or that has more faults, fewer tests or less coverage than the one it replaced.
    """
    later = [row for row in known.evidence if row.at > moment]
    limits = known.content.threshold_values()
    return [
        labelled(row, row.summary)
        for row in later
        if count(row.kind, [row], limits, _baselines(row.kind, known.release.application)).result != "passed"
        or _worse(_counted_at(row, moment), row.values)
    ]


def _counted_at(row: Evidence, moment: datetime) -> Mapping[str, str | int]:
    """Return the values of the report that counted at a moment in the place of one that came in later."""
    before: Evidence | None = row
    while before is not None and before.at > moment:
        before = Evidence.objects.filter(superseded_by=before).defer("content").order_by("-pk").first()
    return before.values if before is not None else {}


def _worse(before: Mapping[str, str | int], after: Mapping[str, str | int]) -> bool:
    rises = {
        name: float(after[name]) - float(before[name]) for name in (*FAULTS, *PROOF) if name in before and name in after
    }
    return any(rise > 0 if name in FAULTS else rise < 0 for name, rise in rises.items())


def count_with(row: Evidence) -> Count:
    """Return the result for a report's type (of tests: its test type and environment) by the procedure in effect."""
    found = Evidence.objects.counting(row.application_id, row.tree).filter(kind=row.kind)
    if row.kind == "junit":
        found = found.filter(test_type=row.test_type, environment=row.environment_id)
    procedure = Procedure.objects.of(row.application)
    limits = procedure.document.threshold_values() if procedure is not None else {}
    return count(row.kind, list(found), limits, _baselines(row.kind, row.application))


def _named(row: Evidence, sentence: str) -> str:
    return labelled(row.source, sentence) if row.source else sentence


def _some(texts: list[str]) -> str:
    """Return the first few texts and how many more there are."""
    rest = _("and %(count)d more") % {"count": len(texts) - MOST_NAMED}
    return "; ".join(texts if len(texts) <= MOST_NAMED else [*texts[:MOST_NAMED], rest])


def _by_cell(known: Known) -> defaultdict[tuple[str, str], list[Evidence]]:
    """Return (test type, environment slug) → the test reports that count for a release's tree."""
    found: defaultdict[tuple[str, str], list[Evidence]] = defaultdict(list)
    for row in known.evidence:
        if row.kind == "junit":
            found[row.test_type, row.environment.slug].append(row)
    return found


def _baselines(kind: str, application: Application) -> list[Evidence]:
    """Return the performance reports of the deployed version in production that show a time; none for another type."""
    before = DeployedVersion.in_production(application) if kind == "performance" else None
    if before is None:
        return []
    rows = Evidence.objects.counting(before.application_id, before.tree).filter(kind=kind)
    return [row for row in rows if not shows_no_time(row.values)]


def _with_baseline(row: Evidence, baselines: Sequence[Evidence]) -> dict[str, str | int]:
    """Return a report's values with the time that the same tool measured before in the same environment: of the same
    suite, or the only one.
    """
    alike = [one for one in baselines if (one.tool, one.environment_id) == (row.tool, row.environment_id)]
    same = [before for before in alike if before.suite == row.suite] or alike
    if "baseline" in row.values or not same or (same[0].suite != row.suite and len(same) > 1):
        return dict(row.values)
    return {**row.values, "baseline": same[0].values["measured"]}
