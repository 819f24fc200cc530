"""Coverage XML (Cobertura): covered and valid lines, compared unrounded."""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from django.utils.translation import gettext as _

from releases.evidence_readers.base import (
    BadEvidence,
    Document,
    EvidenceType,
    Form,
    Judgement,
    Reading,
    Values,
    count_of,
)

_ROUNDING = Fraction(1, 2000)
_PLAIN_SHARE = re.compile(r"[0-9]{1,3}(\.[0-9]{0,30})?", re.ASCII)


def read(document: Document) -> Reading:
    """Return the lines, or the rate where the report has only that."""
    root = document.root
    assert root is not None
    valid, covered = count_of(root, "lines-valid"), count_of(root, "lines-covered")
    rate, files = _share(root.get("line-rate")), {one.get("filename", "") for one in root.iter("class")}
    if valid is None or covered is None:
        if rate is None:
            raise BadEvidence(_("The report contains no line coverage."))
        return Reading({"line_rate": str(rate)}, _("Line coverage: %(rate)s.") % {"rate": rate}, "", _parts("", files))
    if rate is not None and 0 < valid >= covered and abs(Fraction(rate) - Fraction(covered, valid)) > _ROUNDING:
        text = _("The report contradicts itself: a rate of %(rate)s, but %(covered)d of %(valid)d lines.")
        raise BadEvidence(text % {"rate": rate, "covered": covered, "valid": valid})
    return lines(covered, valid, files=files)


def lines(covered: Any, valid: Any, tool: str = "", files: Iterable[str] = ()) -> Reading:
    """Return the reading of covered lines and all lines. Raises BadEvidence for invalid counts.

    files: the report's files or modules; a report of other ones does not supersede it.
    """
    try:
        counts = [int(str(count)) if not isinstance(count, bool) else -1 for count in (covered, valid)]
    except ValueError:
        counts = [-1]
    if any(not 0 <= count < 10**11 for count in counts):
        raise BadEvidence(_("The report contains no line coverage."))
    if counts[0] > counts[1]:
        raise BadEvidence(_("The report covers more lines than there are."))
    values: Values = {"lines_covered": counts[0], "lines_valid": counts[1]}
    if counts[1]:
        values["line_rate"] = str(Decimal(counts[0]) / Decimal(counts[1]))
    summary = _("%(lines_covered)d of %(lines_valid)d lines are covered.") % values
    return Reading(values, summary, tool, _parts(tool, files))


def _parts(tool: str, files: Iterable[str]) -> frozenset[str]:
    return frozenset(f"{tool} {file}" for file in files)


def _share(text: str | None) -> Decimal | None:
    if text is None:
        return None
    # Digits only: an exponent could write a number that fills the memory in an exact comparison.
    share = Decimal(text) if _PLAIN_SHARE.fullmatch(text) else None
    if share is None or share > 1:
        raise BadEvidence(_("A coverage of “%(text)s” is not between 0 and 1.") % {"text": text[:40]})
    return share


def evaluate(values: Mapping[str, str | int], limits: Mapping[str, str | int]) -> Judgement:
    """Compare the rate with its limit, unrounded: 0.89996 stays below 0.9 in any notation."""
    if values.get("lines_valid") == 0:
        return "unknown", _("No line was counted.")
    if "lines_valid" in values:
        rate = Fraction(int(values["lines_covered"]), int(values["lines_valid"]))
    else:
        rate = Fraction(Decimal(values["line_rate"]))
    return "passed" if rate >= Fraction(Decimal(limits["coverage_min"])) else "failed", _(
        "The coverage is %(rate)s; at least %(limit)s is required."
    ) % {"rate": values["line_rate"], "limit": limits["coverage_min"]}


KIND = EvidenceType("coverage", evaluate)
FORM = Form(
    "coverage",
    "Cobertura XML",
    '<coverage lines-valid="…" lines-covered="…">',
    lambda document: document.root is not None and document.root.tag == "coverage",
    read,
)
