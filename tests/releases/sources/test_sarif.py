"""The level of a SARIF result follows the standard's order of look-up; an unresolved level never passes."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from releases.evidence_readers import BadEvidence, evaluate, read
from releases.procedures.load import default

LIMITS = default().threshold_values()
ERROR, NOTE = {"defaultConfiguration": {"level": "error"}}, {"defaultConfiguration": {"level": "note"}}
CODEQL = {
    "driver": {"name": "CodeQL"},
    "extensions": [
        {
            "name": "codeql/python-queries",
            "guid": "g1",
            "rules": [{"id": "py/note", **NOTE}, {"id": "py/sqli", **ERROR}],
        }
    ],
}
LINT = {"driver": {"name": "lint", "rules": [{"id": "N1", **NOTE}, {"id": "CA1000", "guid": "r1", **ERROR}]}}


def sarif(*results: Any, tool: Any = LINT, **run: Any) -> bytes:
    return json.dumps({"version": "2.1.0", "runs": [{"tool": tool, "results": list(results), **run}]}).encode()


def evaluated(content: bytes) -> str:
    return evaluate("sarif", read("sarif", content).values, LIMITS)[0]


@pytest.mark.parametrize(
    ("tool", "result"),
    [
        (CODEQL, {"ruleId": "py/sqli", "rule": {"id": "py/sqli", "index": 1, "toolComponent": {"index": 0}}}),
        (CODEQL, {"rule": {"id": "py/sqli", "toolComponent": {"guid": "g1"}}}),
        (CODEQL, {"rule": {"index": 1, "toolComponent": {"name": "codeql/python-queries"}}}),
        (CODEQL, {"ruleId": "py/sqli"}),
        (LINT, {"ruleIndex": 1}),
        (LINT, {"ruleId": "CA1000", "ruleIndex": 1}),
        (LINT, {"rule": {"id": "CA1000"}}),
        (LINT, {"rule": {"index": 1}}),
        (LINT, {"rule": {"guid": "r1"}}),
        (LINT, {"ruleId": "CA1000/1"}),
        (LINT, {"ruleId": "CA1000/1", "ruleIndex": 1}),
        (LINT, {"ruleId": "N1", "level": "error"}),
        (LINT, {"ruleId": "CA1000", "baselineState": "unchanged"}),
        (LINT, {"ruleId": "CA1000", "suppressions": [{"kind": "external", "status": "underReview"}]}),
        (
            LINT,
            {"ruleId": "CA1000", "suppressions": [{"kind": "inSource"}, {"kind": "external", "status": "rejected"}]},
        ),
    ],
)
def test_an_error_is_found_by_any_reference_to_its_rule(tool: Any, result: Any) -> None:
    assert read("sarif", sarif(result, tool=tool)).values["errors"] == 1
    assert evaluated(sarif(result, tool=tool)) == "failed"


@pytest.mark.parametrize(
    "result",
    [
        {"ruleId": "N1"},
        {"ruleId": "other"},
        {"message": {"text": "x"}},
        {"ruleId": "CA1000", "baselineState": "absent"},
        {"ruleId": "CA1000", "suppressions": [{"kind": "inSource", "status": "accepted"}]},
        {"ruleId": "CA1000", "kind": "pass"},
        {"ruleId": "CA1000", "kind": "notApplicable", "level": "none"},
    ],
)
def test_a_result_below_error_passes(result: Any) -> None:
    assert evaluated(sarif(result)) == "passed"


@pytest.mark.parametrize(
    "result",
    [
        {"ruleIndex": 7},
        {"ruleIndex": "1"},
        {"ruleId": "N1", "ruleIndex": 1},
        {"rule": {"guid": "gone"}},
        {"rule": {"id": "x", "toolComponent": {"index": 3}}},
        {"rule": {"id": "x", "toolComponent": {"name": "gone"}}},
        {"rule": {"id": "x", "toolComponent": {"name": "lint"}}},
        {"ruleId": "N1", "provenance": {"invocationIndex": 4}},
        {"ruleId": "N1", "kind": "open"},
        {"ruleId": "N1", "kind": "review"},
        {"ruleId": "N1", "kind": "pass", "level": "error"},
    ],
)
def test_an_unresolvable_level_is_unknown(result: Any) -> None:
    assert read("sarif", sarif(result)).values["unresolved"] == 1
    assert evaluated(sarif(result)) == "unknown"
    assert evaluated(sarif(result, {"level": "error"})) == "failed"


def test_an_override_of_the_invocation_precedes_the_rules_default() -> None:
    def overriding(level: str, descriptor: Any) -> dict[str, Any]:
        return {"ruleConfigurationOverrides": [{"descriptor": descriptor, "configuration": {"level": level}}]}

    up, down = overriding("error", {"id": "N1"}), overriding("note", {"index": 1})
    for result, invocations, outcome in (
        ({"ruleId": "N1", "provenance": {"invocationIndex": 0}}, [up], "failed"),
        ({"ruleId": "N1"}, [up], "failed"),
        ({"ruleId": "N1"}, [{}, up], "failed"),
        ({"ruleId": "N1", "provenance": {"invocationIndex": 0}}, [{}, up], "passed"),
        ({"ruleId": "CA1000", "provenance": {"invocationIndex": 0}}, [down], "passed"),
        ({"ruleId": "CA1000"}, [down, {}], "failed"),
        ({"ruleId": "N1"}, [overriding("note", {"index": 9})], "unknown"),
    ):
        assert evaluated(sarif(result, invocations=invocations)) == outcome, (result, invocations)


@pytest.mark.parametrize(
    "run",
    [
        {"invocations": [{"executionSuccessful": True}, {"executionSuccessful": False}]},
        {"invocations": [{"executionSuccessful": True, "toolExecutionNotifications": [{"level": "error"}]}]},
        {"invocations": [{"executionSuccessful": True, "toolConfigurationNotifications": [{"level": "error"}]}]},
        {"invocations": [{"toolExecutionNotifications": [{"descriptor": {"id": "crash"}}]}]},
        {"invocations": [{"toolExecutionNotifications": [{"descriptor": {"index": 9}}]}]},
        {"externalPropertyFileReferences": {"results": [{"location": {"uri": "results.sarif-external-properties"}}]}},
        {"externalPropertyFileReferences": {"extensions": [{"location": {"uri": "rules"}}]}},
    ],
)
def test_an_unsuccessful_or_external_sarif_run_is_unknown(run: Any) -> None:
    tool = {"driver": {"name": "lint", "notifications": [{"id": "crash", **ERROR}]}}
    assert evaluated(sarif(tool=tool, **run)) == "unknown"
    warned = {"invocations": [{"executionSuccessful": True, "toolExecutionNotifications": [{"level": "warning"}]}]}
    assert evaluated(sarif(tool=tool, **warned)) == "passed"


def test_results_only_in_an_external_file_are_unknown() -> None:
    run = {"tool": LINT, "externalPropertyFileReferences": {"results": [{"location": {"uri": "x"}}]}}
    assert evaluated(json.dumps({"version": "2.1.0", "runs": [run]}).encode()) == "unknown"
    inline = {
        "version": "2.1.0",
        "runs": [{"tool": LINT, "results": []}],
        "inlineExternalProperties": [{"results": []}],
    }
    assert evaluated(json.dumps(inline).encode()) == "unknown"
    with pytest.raises(BadEvidence, match="no list of results"):
        read("sarif", json.dumps({"version": "2.1.0", "runs": [{"tool": LINT}]}).encode())


def test_a_report_is_identified_by_its_tools_and_categories() -> None:
    one = {"tool": CODEQL, "automationDetails": {"id": "/language:python/4711"}, "results": [{"ruleId": "py/sqli"}]}
    other = {"tool": LINT, "results": []}
    reading = read("sarif", json.dumps({"version": "2.1.0", "runs": [one, other]}).encode())
    assert reading.tool == "CodeQL /language:python, lint"
    assert reading.parts == {"CodeQL /language:python", "lint"} and reading.failing == {"CodeQL /language:python"}


def test_many_rules_and_results_are_read_quickly() -> None:
    rules = [{"id": f"R{n}", **NOTE} for n in range(20_000)]
    results = [{"ruleId": f"R{n}/1"} for n in range(20_000)]
    invocations = [{"ruleConfigurationOverrides": [{"descriptor": {"id": f"R{n}"}}]} for n in range(2_000)]
    content = sarif(*results, tool={"driver": {"name": "l", "rules": rules}}, invocations=invocations)
    begun = time.process_time()
    assert read("sarif", content).values["notes"] == 20_000
    assert time.process_time() - begun < 5
