"""Is the proof there, and does it hold? No evidence is not a pass (R2, G1, G2)."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import get_language
from django.utils.translation import gettext as _

from environments.models import Environment
from releases.gates.base import Answer, Known, Question, failed, passed, unknown
from releases.models import Evidence, InForce, Release
from releases.procedures.parts import Gate
from releases.sources import evidence as reading


@dataclass(frozen=True)
class Cell:
    """One cell of the test matrix: what its newest report says. `required`: asked for before production."""

    test_environment: str
    environment: str
    label: str
    required: bool
    verdict: str
    sentence: str
    evidence: Evidence | None


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
    content, newest = known.content, _newest(known)
    language = get_language() or "ja"
    required = {(cell.type, cell.test_environment) for cell in content.testing.matrix if cell.required}
    limits = content.threshold_values()
    rows = []
    for test_type in content.testing.types:
        cells = []
        for place in content.testing.environments:
            found = newest.get((test_type.key, place.environment))
            verdict, sentence = (
                reading.judge("junit", found.values, limits) if found is not None else ("unknown", _("no evidence"))
            )
            needed = (test_type.key, place.key) in required
            cells.append(Cell(place.key, place.environment, place.label(language), needed, verdict, sentence, found))
        rows.append(TypeRow(test_type.key, test_type.label(language), cells))
    return rows


def required_types(question: Question) -> list[tuple[str, str]]:
    """Return the (test type, environment slug) pairs whose results are due before a run in the environment asked.

    That is every required cell of the test matrix whose environment comes earlier in the order of promotion; for the
    first environment, its own.
    """
    orders = question.known.orders
    first = min(orders.values(), default=0)
    limit = question.environment.order
    mapped = {e.key: e.environment for e in question.procedure.testing.environments}
    due = []
    for cell in question.procedure.testing.matrix:
        slug = mapped[cell.test_environment]
        order = orders.get(slug, 0)
        if cell.required and (order < limit or order == limit == first):
            due.append((cell.type, slug))
    return due


def ask(question: Question, gate: Gate) -> Answer:
    """Judge the newest evidence for the release's tree; tests per required cell of the matrix."""
    if not question.release.tree:
        return unknown(gate, _("The commit is not known yet."), "evidence")
    if gate.evidence == "junit":
        reasons, newest = [], _newest(question.known)
        types = {one.key: one.label(get_language() or "ja") for one in question.procedure.testing.types}
        places = {place.slug: str(place) for place in question.known.environments}
        for test_type, slug in required_types(question):
            verdict, sentence = _verdict(question, "junit", newest.get((test_type, slug)))
            if verdict != "pass":
                reasons.append(f"{types[test_type]} ({places.get(slug, slug)}): {sentence}")
        return failed(gate, "; ".join(reasons), "evidence") if reasons else passed(gate, "", "evidence")
    found = next((row for row in question.known.evidence if row.kind == gate.evidence), None)
    verdict, sentence = _verdict(question, gate.evidence, found)
    return {"pass": passed, "fail": failed}.get(verdict, unknown)(gate, sentence, "evidence")


def _newest(known: Known) -> dict[tuple[str, str], Evidence]:
    """Return (test type, environment slug) → the newest test report for a release's tree."""
    found: dict[tuple[str, str], Evidence] = {}
    for row in known.evidence:
        if row.kind == "junit":
            found.setdefault((row.test_type, row.environment.slug), row)
    return found


def _verdict(question: Question, kind: str, found: Evidence | None) -> tuple[str, str]:
    if found is None:
        return "unknown", _("no evidence")
    values = dict(found.values)
    if kind == "performance" and "baseline" not in values:
        values |= _baseline(question)
    return reading.judge(kind, values, question.procedure.threshold_values())


def _baseline(question: Question) -> dict[str, str]:
    """Return the time measured for what is in force in production, where a report names no baseline of its own."""
    pointer = (
        InForce.objects.filter(application=question.release.application, environment__tier=Environment.Tier.PRODUCTION)
        .select_related("release")
        .first()
    )
    if pointer is None or pointer.release is None or not pointer.release.tree:
        return {}
    before = next((row for row in Known(pointer.release).evidence if row.kind == "performance"), None)
    return {"baseline": before.values["measured"]} if before is not None else {}
