"""Response time against a baseline: k6's summary, or a plain JSON with both times in seconds."""

from collections.abc import Mapping
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
    seconds_of,
    words_of,
)

_DURATION, _SHARE, _COUNT = "http_req_duration", "http_req_failed", "http_reqs"
_QUANTILE = "p(95)"
# The share of requests that the 95th percentile leaves out. More failed ones, as fast as a refusal is, decide it.
_LEFT_OUT = Decimal("0.05")


def read(document: Document) -> Reading:
    """Return the measured time, and the baseline where the statement names one."""
    statement = document.object
    if "response_time_seconds" in statement:
        values: Values = {"measured": seconds_of(statement["response_time_seconds"], "response_time_seconds")}
        if statement.get("tool") is not None:
            values["tool"] = words_of(statement, "tool")
    else:
        values = {
            "tool": words_of(statement, "tool"),
            "measured": seconds_of(statement.get("measured"), "measured"),
            "baseline": seconds_of(statement.get("baseline"), "baseline"),
        }
    return _reading(statement, values)


def measured(tool: str, quantile: Any, requests: Any, failures: Any) -> Reading:
    """Return the reading of a load test: the 95th percentile in milliseconds, all requests and failed ones.

    The baseline is the same tool's measurement of the version in production. Raises BadEvidence.
    """
    try:
        made, failed = int(str(requests)), int(str(failures))
        seconds = Decimal(str(quantile)) / 1000
    except (ValueError, ArithmeticError):
        made, failed, seconds = -1, 0, Decimal(0)
    if not 0 <= failed <= made or not made < 10**11:
        raise BadEvidence(_("The report of %(tool)s has no request counts and response times.") % {"tool": tool})
    share = f"{Decimal(failed) / made:.6f}".rstrip("0").rstrip(".") if made else "0"
    values: Values = {"tool": tool, "requests": made, "failed_share": share}
    return _reading({}, values | {"measured": seconds_of(seconds, "95 %")})


def _reading(statement: dict[str, Any], values: Values) -> Reading:
    if "baseline_seconds" in statement:
        values["baseline"] = seconds_of(statement["baseline_seconds"], "baseline_seconds")
    if "baseline" in values:
        text = _("The measured time is %(measured)s s; the baseline is %(baseline)s s.")
    else:
        text = _("The measured time is %(measured)s s; the file contains no baseline.")
    return Reading(values, text % values, str(values.get("tool", "")))


def _k6(statement: dict[str, Any]) -> Values:
    """Return the 95th percentile of k6's summary (milliseconds there), from either of its two forms."""
    found = {name: _numbers(statement["metrics"].get(name)) for name in (_DURATION, _SHARE, _COUNT)}
    quantile = found[_DURATION].get(_QUANTILE)
    if quantile is None:
        text = _("The summary of %(tool)s has no %(name)s of the response time.")
        raise BadEvidence(text % {"tool": "k6", "name": _QUANTILE})
    values: Values = {"tool": "k6", "measured": seconds_of(quantile / 1000, _QUANTILE)}
    count = found[_COUNT].get("count")
    if count is not None:
        if count != int(count):
            raise BadEvidence(_("“%(name)s” is not a count: %(text)s.") % {"name": _COUNT, "text": str(count)[:40]})
        values["requests"] = int(count)
    failed = found[_SHARE].get("rate", found[_SHARE].get("value"))
    if failed is not None:
        if failed > 1:
            raise BadEvidence(_("A share of “%(text)s” is not between 0 and 1.") % {"text": str(failed)[:40]})
        values["failed_share"] = f"{failed:.6f}".rstrip("0").rstrip(".")
    crossed = sum(_crossed(metric) for metric in statement["metrics"].values())
    return values | ({"thresholds_crossed": crossed} if crossed else {})


def _crossed(metric: Any) -> int:
    """Return how many of a metric's own thresholds were crossed.

    handleSummary writes {"ok": false} for a crossed one, --summary-export writes true.
    """
    thresholds = metric.get("thresholds") if isinstance(metric, dict) else None
    results = thresholds.values() if isinstance(thresholds, dict) else ()
    return sum(one is True or (isinstance(one, dict) and one.get("ok") is not True) for one in results)


def _numbers(metric: Any) -> dict[str, Decimal]:
    """Return a metric's numbers: in `values` (handleSummary), or beside each other (--summary-export)."""
    if metric is None:
        return {}
    if not isinstance(metric, dict):
        raise BadEvidence(_("A metric of the summary is not an object."))
    inner = metric.get("values", metric)
    if not isinstance(inner, dict):
        raise BadEvidence(_("A metric of the summary is not an object."))
    numbers: dict[str, Decimal] = {}
    for name, value in inner.items():
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            number = Decimal(value)
            if not number.is_finite() or not 0 <= number < 10**12 or (number and number.adjusted() < -18):
                text = _("“%(name)s” is not a number of zero or more: %(text)s.")
                raise BadEvidence(text % {"name": name, "text": str(value)[:40]})
            numbers[name] = number
    return numbers


def shows_no_time(values: Mapping[str, str | int]) -> str:
    """Return why the measured time says nothing about the version; empty for one that does."""
    if values.get("requests") == 0:
        return _("No request was made.")
    share = Decimal(values.get("failed_share", 0))
    if share >= 1:
        return _("Every request failed, so the response times cannot be evaluated.")
    if share > _LEFT_OUT:
        text = _("%(share)s %% of the requests failed, so the 95th percentile is no response time.")
        return text % {"share": f"{share:.1%}".removesuffix("%")}
    return ""


def evaluate(values: Mapping[str, str | int], limits: Mapping[str, str | int]) -> Judgement:
    """Compare the ratio of both times with its limit, unrounded."""
    if int(values.get("thresholds_crossed", 0)):
        text = _("%(count)s of the test's own thresholds were crossed.")
        return "failed", text % {"count": values["thresholds_crossed"]}
    if fault := shows_no_time(values):
        return "unknown", fault
    if "baseline" not in values:
        return "unknown", _("There is no baseline to compare with.")
    ratio = Fraction(Decimal(values["measured"])) / Fraction(Decimal(values["baseline"]))
    return "passed" if ratio <= Fraction(Decimal(limits["performance_ratio_max"])) else "failed", _(
        "The measured time is %(ratio)s times the baseline; at most %(limit)s times is allowed."
    ) % {"ratio": f"{float(ratio):.3f}", "limit": limits["performance_ratio_max"]}


KIND = EvidenceType("performance", evaluate)
K6 = Form(
    "performance",
    "k6 summary",
    '{"metrics": {"http_req_duration": {"p(95)": …}}}',
    lambda document: isinstance(document.object.get("metrics"), dict),
    lambda document: _reading(document.object, _k6(document.object)),
)
FORM = Form(
    "performance",
    "statement",
    '{"response_time_seconds": "0.12", "baseline_seconds": "0.10"}',
    lambda document: "response_time_seconds" in document.object or "measured" in document.object,
    read,
)
