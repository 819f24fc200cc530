"""Reports are read for their own values; hostile, truncated or contradictory ones are refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import translation
from hypothesis import given, settings, strategies as st

from releases.evidence_readers import EVIDENCE_TYPES, FORMS, LARGEST, NAMES, BadEvidence, evaluate, read
from releases.procedures.load import default

LIMITS = default().threshold_values()
BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><testsuite tests="1"><testcase name="&c;"/></testsuite>'
)
FILE_READER = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    b'<testsuite tests="1"><testcase name="t"/><system-out>&a;</system-out></testsuite>'
)


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    with translation.override("en"):
        yield


def _junit(*cases: str, **stated: int) -> bytes:
    attributes = "".join(f' {name}="{value}"' for name, value in stated.items())
    return f'<testsuites><testsuite name="s"{attributes}>{"".join(cases)}</testsuite></testsuites>'.encode()


def _coverage(**attributes: Any) -> bytes:
    text = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in attributes.items())
    document_type = '<!DOCTYPE coverage SYSTEM "http://cobertura.sourceforge.net/xml/coverage-04.dtd">'
    return f'<?xml version="1.0"?>{document_type}<coverage{text}><packages/></coverage>'.encode()


def _sarif(*results: Any, **run: Any) -> bytes:
    return json.dumps({"version": "2.1.0", "runs": [{"results": list(results), **run}]}).encode()


OK, BAD, SKIP = (
    '<testcase name="a" classname="c"/>',
    '<testcase name="b" classname="c"><failure message="no">x</failure></testcase>',
    '<testcase name="d" classname="c"><skipped/></testcase>',
)
ERROR = '<testcase name="e" classname="c"><error message="no">x</error></testcase>'


def _result(kind: str, content: bytes) -> str:
    return evaluate(kind, read(kind, content).values, LIMITS)[0]


@pytest.mark.parametrize(
    "content",
    [
        _junit(OK, tests=2),
        _junit(OK, OK, tests=2, failures=1),
        _junit(OK, tests=-1),
        _junit(OK, tests=1, failures=2),
        _junit(BAD, tests=1, failures=1, skipped=5),
        b'<testsuites tests="1" failures="3"><testsuite><testcase name="a"/></testsuite></testsuites>',
        b"<coverage/>",
        _junit(OK)[:-20],
        BOMB,
        FILE_READER,
        b"\xff\xfe<\x00",
        b'<?xml version="1.0" encoding="shift_jis"?><testsuite name="\x83"/>',
        b'<?xml version="1.0" encoding="martian"?><testsuite/>',
    ],
)
def test_a_truncated_edited_or_hostile_report_is_refused(content: bytes) -> None:
    with pytest.raises(BadEvidence):
        read("junit", content)


@pytest.mark.parametrize(
    ("covered", "valid", "stated", "result"),
    [
        (9, 10, "0.9", "passed"),
        (8999, 10000, "0.8999", "failed"),
        (89999, 100000, "0.9", "failed"),
        (10, 10, "1", "passed"),
        (0, 0, "0", "unknown"),
    ],
)
def test_coverage_is_compared_unrounded(covered: int, valid: int, stated: str, result: str) -> None:
    content = _coverage(lines_valid=valid, lines_covered=covered, line_rate=stated)
    assert _result("coverage", content) == result


def test_a_rate_alone_is_compared_as_written() -> None:
    assert _result("coverage", _coverage(line_rate="0.8999")) == "failed"
    assert _result("coverage", _coverage(line_rate="0.90")) == "passed"
    assert read("coverage", _coverage(line_rate="0.90")).values == {"line_rate": "0.90"}


@pytest.mark.parametrize(
    "attributes",
    [
        {"line_rate": "1.1"},
        {"line_rate": "NaN"},
        {"line_rate": "-0.1"},
        {"line_rate": "1e-999999999"},
        {"line_rate": "९"},
        {"lines_valid": "10", "lines_covered": "11"},
        {"lines_valid": "10", "lines_covered": "5", "line_rate": "0.95"},
        {"lines_valid": "ten", "lines_covered": "5"},
        {},
    ],
)
def test_impossible_coverage_is_refused(attributes: dict[str, str]) -> None:
    with pytest.raises(BadEvidence):
        read("coverage", _coverage(**attributes))


def test_a_coverage_file_of_the_real_tool_is_read() -> None:
    content = b"""<?xml version="1.0" ?>
<coverage version="7.6" timestamp="1" lines-valid="40" lines-covered="39" line-rate="0.975"
 branches-covered="0" branches-valid="0" branch-rate="0" complexity="0">
<sources><source>.</source></sources><packages/></coverage>"""
    assert read("coverage", content).values == {"lines_covered": 39, "lines_valid": 40, "line_rate": "0.975"}


def test_sarif_is_counted_by_level_with_the_rules_default() -> None:
    rules = {"driver": {"name": "lint", "rules": [{"id": "E1", "defaultConfiguration": {"level": "error"}}]}}
    results = [
        {"ruleId": "E1"},
        {"level": "error"},
        {"level": "warning"},
        {"ruleId": "other"},
        {"level": "note"},
        {"level": "error", "suppressions": [{"kind": "inSource"}]},
        {"level": "error", "suppressions": [{"kind": "external", "status": "rejected"}]},
        {"kind": "pass"},
    ]
    reading = read("sarif", _sarif(*results, tool=rules))
    assert reading.values == {
        "errors": 3,
        "warnings": 2,
        "notes": 1,
        "suppressed": 1,
        "absent": 0,
        "unresolved": 0,
        "incomplete": 0,
        "runs": 1,
    }
    assert _result("sarif", _sarif({"level": "error"})) == "failed"
    assert _result("sarif", _sarif({"level": "warning"})) == "passed"


def test_an_unfinished_analysis_does_not_pass() -> None:
    assert _result("sarif", b'{"version": "2.1.0", "runs": []}') == "unknown"
    assert _result("sarif", _sarif(invocations=[{"executionSuccessful": False}])) == "unknown"


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b'{"version": "2.0.0", "runs": []}',
        b'{"version": "2.1.0", "runs": [{}]}',
        b'{"version": "2.1.0", "runs": [{"results": [{"level": "dire"}]}]}',
        b'{"version": "2.1.0", "runs": [{"results": [{"level": ["error"]}]}]}',
        b'{"version": "2.1.0", "version": "2.1.0", "runs": []}',
        b'{"version": "2.1.0", "runs": NaN}',
        b'{"version": "2.1.0", "runs": [{"results": [], "invocations": 5}]}',
        b"[" * 100_000,
        b'{"version": "2.1.0", "runs": ' + b"9" * 5000 + b"}",
        '{"version": "2.1.0", "runs": [], "x": "検査"}'.encode("shift_jis"),
    ],
)
def test_a_document_that_is_not_sarif_is_refused(content: bytes) -> None:
    with pytest.raises(BadEvidence):
        read("sarif", content)


def test_statements_of_people_and_tools_are_evaluated() -> None:
    assert _result("review", b'{"reviewer": "Sato", "decision": "approved"}') == "passed"
    assert _result("review", b'{"reviewer": "Sato", "decision": "changes_requested"}') == "failed"
    scan = {"tool": "scanner", "critical": 0, "high": 0, "medium": 4, "low": 9}
    assert _result("security_scan", json.dumps(scan).encode()) == "passed"
    assert _result("security_scan", json.dumps({**scan, "high": 1}).encode()) == "failed"
    assert _result("performance", b'{"tool": "load", "measured": 0.12, "baseline": "0.1"}') == "passed"
    assert _result("performance", b'{"tool": "load", "measured": 0.1201, "baseline": 0.1}') == "failed"


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("review", b'{"reviewer": "Sato", "decision": "fine"}'),
        ("review", b'{"reviewer": " ", "decision": "approved"}'),
        ("review", b"[]"),
        ("security_scan", b'{"tool": "t", "critical": 0, "high": 0, "medium": 0}'),
        ("security_scan", b'{"tool": "t", "critical": false, "high": 0, "medium": 0, "low": 0}'),
        ("security_scan", b'{"tool": "t", "critical": -1, "high": 0, "medium": 0, "low": 0}'),
        ("performance", b'{"tool": "t", "measured": NaN, "baseline": 1}'),
        ("performance", b'{"tool": "t", "measured": "NaN", "baseline": 1}'),
        ("performance", b'{"tool": "t", "measured": 1, "baseline": 0}'),
        ("performance", b'{"tool": "t", "measured": 1e-99999999, "baseline": 1}'),
        ("performance", b'{"tool": "t", "measured": 1e99999999, "baseline": 1}'),
        ("horoscope", b"{}"),
    ],
)
def test_an_ambiguous_statement_is_refused(kind: str, content: bytes) -> None:
    with pytest.raises(BadEvidence):
        read(kind, content)


def test_size_and_emptiness_are_refused_for_every_type() -> None:
    for kind in NAMES:
        for content in (b"", b" \n", b" " * LARGEST + b"xx"):
            with pytest.raises(BadEvidence):
                read(kind, content)


def test_a_whole_report_above_the_limit_is_refused() -> None:
    whole = _junit(OK)
    assert read("junit", whole + b" " * (LARGEST - len(whole))).values["tests"] == 1
    with pytest.raises(BadEvidence, match="larger than 10 MB"):
        read("junit", whole + b" " * (LARGEST - len(whole) + 1))


def test_a_missing_limit_or_value_is_unknown() -> None:
    assert evaluate("coverage", {"line_rate": "1"}, {})[0] == "unknown"
    assert evaluate("junit", {}, LIMITS)[0] == "unknown"
    assert evaluate("horoscope", {}, LIMITS)[0] == "unknown"
    assert evaluate("coverage", {"line_rate": "much"}, LIMITS)[0] == "unknown"


@given(kind=st.sampled_from([name for name in NAMES if name != "file"]), content=st.binary(min_size=1, max_size=200))
@settings(max_examples=200, deadline=None)
def test_random_bytes_are_refused_without_another_exception(kind: str, content: bytes) -> None:
    with pytest.raises(BadEvidence):
        read(kind, content)


SARIF_KEYS = (
    "tool driver rules results level ruleId kind id suppressions rule ruleIndex toolComponent index guid "
    "provenance invocationIndex extensions ruleConfigurationOverrides descriptor configuration "
    "toolExecutionNotifications invocations defaultConfiguration status"
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(SARIF_KEYS.split()), inner, max_size=5),
    max_leaves=20,
)


@given(
    run=st.fixed_dictionaries(
        {"results": st.lists(JSON, max_size=3)},
        optional={"tool": JSON, "invocations": JSON, "externalPropertyFileReferences": JSON},
    )
)
@settings(max_examples=300, deadline=None)
def test_a_sarif_run_of_any_shape_is_read_or_refused(run: Any) -> None:
    content = json.dumps({"version": "2.1.0", "runs": [run]}).encode()
    try:
        reading = read("sarif", content)
    except BadEvidence:
        return
    assert evaluate("sarif", reading.values, LIMITS)[0] in ("passed", "failed", "unknown")


def test_every_type_is_registered_once_under_its_file() -> None:
    assert len(set(NAMES)) == len(EVIDENCE_TYPES)
    for kind in EVIDENCE_TYPES:
        assert kind.evaluate.__module__ == f"releases.evidence_readers.{kind.name}"
        forms = [form for form in FORMS if form.kind == kind.name]
        assert forms and len({form.label for form in forms}) == len(forms)


@pytest.mark.parametrize("kind", [name for name in NAMES if name != "file"])
def test_a_file_of_unknown_form_is_refused_with_the_known_forms(kind: str) -> None:
    for content in (b"neither", b'{"neither": 1}', b"<neither/>", b"[]"):
        with pytest.raises(BadEvidence) as refused:
            read(kind, content)
        for form in FORMS:
            if form.kind == kind:
                assert form.label in str(refused.value) and form.example in str(refused.value)


@pytest.mark.parametrize("kind", NAMES)
def test_deep_nesting_is_refused_without_a_crash(kind: str) -> None:
    deep = 100_000
    for content in (b"<a>" * deep + b"</a>" * deep, b"[" * deep + b"]" * deep, b'{"a":' * deep + b"1" + b"}" * deep):
        if kind == "file":
            assert read(kind, content).values == {"bytes": len(content)}
            continue
        with pytest.raises(BadEvidence):
            read(kind, content)


K6_NEW = {
    "metrics": {
        "http_req_duration": {"type": "trend", "contains": "time", "values": {"avg": 90.1, "p(95)": 120.0}},
        "http_reqs": {"type": "counter", "values": {"count": 1000, "rate": 33.3}},
        "http_req_failed": {"type": "rate", "values": {"rate": 0.002, "passes": 2, "fails": 998}},
    }
}
K6_OLD = {
    "metrics": {
        "http_req_duration": {"avg": 90.1, "p(95)": 120.0, "thresholds": {"p(95)<500": False}},
        "http_reqs": {"count": 1000, "rate": 33.3},
        "http_req_failed": {"value": 0.002, "passes": 2, "fails": 998},
    }
}


@pytest.mark.parametrize("summary", [K6_NEW, K6_OLD])
def test_both_forms_of_the_k6_summary_are_read(summary: Any) -> None:
    reading = read("performance", json.dumps(summary).encode())
    assert reading.values == {"tool": "k6", "measured": "0.12", "requests": 1000, "failed_share": "0.002"}
    assert evaluate("performance", reading.values, LIMITS)[0] == "unknown", "a summary alone has no baseline"
    for baseline, result in (("0.1", "passed"), (0.1, "passed"), ("0.0999", "failed")):
        assert _result("performance", json.dumps({**summary, "baseline_seconds": baseline}).encode()) == result


def test_plain_times_are_compared_unrounded() -> None:
    for measured, result in (("1.2", "passed"), (1.2, "passed"), ("1.200001", "failed"), (0.4, "passed")):
        content = json.dumps({"response_time_seconds": measured, "baseline_seconds": 1})
        assert _result("performance", content.encode()) == result, measured
    assert _result("performance", b'{"response_time_seconds": 1}') == "unknown"


def test_a_load_test_without_requests_or_answers_is_refused() -> None:
    for metric, values in (("http_reqs", {"count": 0}), ("http_req_failed", {"rate": 1})):
        summary = {"metrics": {**K6_OLD["metrics"], metric: values}, "baseline_seconds": 1}
        assert _result("performance", json.dumps(summary).encode()) == "unknown", metric


@pytest.mark.parametrize(
    "content",
    [
        b'{"metrics": {}}',
        b'{"metrics": {"http_req_duration": 5}}',
        b'{"metrics": {"http_req_duration": {"values": []}}}',
        b'{"metrics": {"http_req_duration": {"p(95)": -1}}}',
        b'{"metrics": {"http_req_duration": {"p(95)": 1e400}}}',
        b'{"metrics": {"http_req_duration": {"p(95)": Infinity}}}',
        b'{"metrics": {"http_req_duration": {"p(95)": 0}}}',
        b'{"metrics": {"http_req_duration": {"p(95)": true}}}',
        b'{"metrics": {"http_req_duration": {"p(95)": 9}, "http_reqs": {"count": 1.5}}}',
        b'{"metrics": {"http_req_duration": {"p(95)": 9}, "http_req_failed": {"rate": 1.1}}}',
        b'{"response_time_seconds": "1", "baseline_seconds": -1}',
        b'{"response_time_seconds": "1", "baseline_seconds": null}',
        b'{"response_time_seconds": [1]}',
        b'{"response_time_seconds": 1, "tool": "a\\u0000b"}',
    ],
)
def test_invalid_times_are_refused(content: bytes) -> None:
    with pytest.raises(BadEvidence):
        read("performance", content)


def test_names_are_kept_as_written() -> None:
    statement = {"reviewer": "佐藤\u3000太郎", "decision": "approved"}
    assert read("review", json.dumps(statement).encode()).values["reviewer"] == "佐藤\u3000太郎"
    for name in ("a\x00b", "\ud800", "a\nb"):
        with pytest.raises(BadEvidence):
            read("review", json.dumps({**statement, "reviewer": name}).encode())


def test_a_plain_file_is_kept_and_passes_no_gate() -> None:
    reading = read("file", bytes(range(256)))
    assert reading.values == {"bytes": 256} and evaluate("file", reading.values, LIMITS)[0] == "unknown"


def test_a_gate_of_the_procedure_reads_no_plain_file() -> None:
    from typing import get_args

    from releases.procedures.values import EvidenceType

    # A statement is read by the gate `attestation`.
    assert set(get_args(EvidenceType)) - {""} == set(NAMES) - {"file", "statement"}
