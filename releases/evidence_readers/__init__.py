"""Readers of evidence from hostile bytes: one file a form, one line a type and form below; for operations and gates.

`read` extracts a report's own values, `evaluate` compares them with thresholds. A missing or empty value
is unknown, never a pass.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import InvalidOperation

from django.utils.translation import gettext as _, gettext_lazy

from releases.evidence_readers import (
    bandit,
    bill_of_materials,
    clover,
    coverage,
    coverage_json,
    dotnet,
    file,
    gatling,
    grype,
    jacoco,
    jmeter,
    junit,
    lcov,
    locust,
    npm_audit,
    performance,
    pip_audit,
    review,
    sarif,
    sarif_severity,
    security_scan,
    semgrep,
    snyk,
    statement,
    trivy,
)
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

__all__ = [
    "FORMS",
    "LABELS",
    "EVIDENCE_TYPES",
    "LARGEST",
    "NAMES",
    "BadEvidence",
    "EvidenceType",
    "Form",
    "Outcome",
    "Reading",
    "Values",
    "check_size",
    "evaluate",
    "evaluate_all",
    "is_named",
    "read",
]

LARGEST = 10 * 1024 * 1024
EVIDENCE_TYPES: tuple[EvidenceType, ...] = (
    junit.KIND,
    coverage.KIND,
    sarif.KIND,
    performance.KIND,
    review.KIND,
    security_scan.KIND,
    statement.KIND,
    file.KIND,
)
# The first matching form of a type reads the file.
FORMS: tuple[Form, ...] = (
    junit.FORM,
    dotnet.XUNIT,
    dotnet.NUNIT,
    clover.FORM,
    coverage.FORM,
    jacoco.FORM,
    lcov.FORM,
    coverage_json.FORM,
    sarif.FORM,
    performance.K6,
    locust.FORM,
    jmeter.FORM,
    gatling.FORM,
    performance.FORM,
    review.FORM,
    sarif_severity.FORM,
    trivy.FORM,
    grype.FORM,
    npm_audit.FORM,
    pip_audit.FORM,
    snyk.FORM,
    semgrep.FORM,
    bandit.FORM,
    bill_of_materials.FORM,
    security_scan.FORM,
    statement.FORM,
    file.FORM,
)
NAMES = tuple(kind.name for kind in EVIDENCE_TYPES)
LABELS = {
    "junit": gettext_lazy("test results"),
    "coverage": gettext_lazy("test coverage"),
    "sarif": gettext_lazy("static analysis"),
    "performance": gettext_lazy("performance measurement"),
    "review": gettext_lazy("code review"),
    "security_scan": gettext_lazy("security scan"),
    "statement": gettext_lazy("statement"),
    "file": gettext_lazy("file"),
}
_BY_NAME = {kind.name: kind for kind in EVIDENCE_TYPES}


@dataclass(frozen=True)
class Evaluated:
    """The common result of several reports: the worst of them, and each one's own result in their order."""

    outcome: Outcome
    total: str
    each: list[Judgement]


def read(kind: str, content: bytes) -> Reading:
    """Read a report of one of NAMES, at most LARGEST bytes. Raises BadEvidence."""
    if kind not in _BY_NAME:
        raise BadEvidence(_unknown_kind(kind))
    check_size(len(content))
    if not content.strip():
        raise BadEvidence(_("The file is empty."))
    document = Document(content)
    forms = [form for form in FORMS if form.kind == kind]
    for form in forms:
        if form.fits(document):
            return form.read(document)
    shown = "; ".join(f"{form.label} ({form.example})" for form in forms)
    text = _("The file is not in a format that Ringi can read as %(kind)s. Upload one of these: %(forms)s.")
    raise BadEvidence(text % {"kind": kind, "forms": shown})


def check_size(size: int) -> None:
    """Refuse a file by its size in bytes, before it is read. Raises BadEvidence."""
    if size > LARGEST:
        raise BadEvidence(_("The file is larger than %(size)d MB.") % {"size": LARGEST // 1024 // 1024})


def is_named(kind: str) -> bool:
    """Tell whether the names of their files distinguish reports of a type."""
    return kind in _BY_NAME and _BY_NAME[kind].named


def evaluate(kind: str, values: Mapping[str, str | int], thresholds: Mapping[str, str | int]) -> Judgement:
    """Compare values with thresholds (key → limit) and say why. A missing limit is unknown."""
    found = _BY_NAME.get(kind)
    if found is None:
        return "unknown", _unknown_kind(kind)
    try:
        return found.evaluate(values, thresholds)
    except KeyError as absent:
        return "unknown", _("The value “%(name)s” is missing.") % {"name": absent.args[0]}
    except (ValueError, InvalidOperation, ZeroDivisionError, TypeError):
        return "unknown", _("The values cannot be compared.")


def evaluate_all(
    kind: str, reports: Sequence[Mapping[str, str | int]], thresholds: Mapping[str, str | int]
) -> Evaluated:
    """Evaluate all reports that count: the worst decides, and the sum of their counts must keep the limit too."""
    each = [evaluate(kind, values, thresholds) for values in reports]
    if not each:
        return Evaluated("unknown", _("no evidence"), [])
    found = _BY_NAME[kind]
    speaking = [i for i, values in enumerate(reports) if not found.says_nothing(values)] or range(len(each))
    outcomes = {each[i][0] for i in speaking}
    total = ""
    if outcomes == {"passed"} and len(reports) > 1 and found.adds:
        whole = {**reports[0], **{name: sum(int(row[name]) for row in reports) for name in found.adds}}
        outcome, total = evaluate(kind, whole, thresholds)
        outcomes.add(outcome)
    worst: Outcome = "failed" if "failed" in outcomes else "unknown" if "unknown" in outcomes else "passed"
    return Evaluated(worst, total, each)


def _unknown_kind(kind: str) -> str:
    return _("“%(kind)s” is not an evidence type. Use one of: %(known)s.") % {"kind": kind, "known": ", ".join(NAMES)}
