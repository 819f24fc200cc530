"""Is the proof there, and does it hold? No evidence is not a pass (R2, G1, G2)."""

from __future__ import annotations

from django.utils.translation import gettext as _

from environments.models import Environment
from releases.gates.base import Answer, Question, failed, passed, unknown
from releases.models import Evidence
from releases.procedures.parts import Gate
from releases.sources import evidence as reading


def required_types(question: Question) -> list[tuple[str, str]]:
    """Return the (test type, environment slug) pairs whose results are due before a run in the environment asked.

    That is every required cell of the test matrix whose environment comes earlier in the order of promotion; for the
    first environment, its own.
    """
    orders = dict(Environment.objects.values_list("slug", "order"))
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
        reasons = []
        for test_type, slug in required_types(question):
            verdict, sentence = _judge(question, "junit", test_type=test_type, environment=slug)
            if verdict != "pass":
                reasons.append(f"{test_type} ({slug}): {sentence}")
        return failed(gate, "; ".join(reasons), "evidence") if reasons else passed(gate, "", "evidence")
    verdict, sentence = _judge(question, gate.evidence)
    return {"pass": passed, "fail": failed}.get(verdict, unknown)(gate, sentence, "evidence")


def _judge(question: Question, kind: str, *, test_type: str = "", environment: str = "") -> tuple[str, str]:
    rows = Evidence.objects.filter(application=question.release.application, tree=question.release.tree, kind=kind)
    if test_type:
        rows = rows.filter(test_type=test_type, environment__slug=environment)
    newest = rows.order_by("-at", "-pk").first()
    if newest is None:
        return "unknown", _("no evidence")
    return reading.judge(kind, newest.values, question.procedure.threshold_values())
