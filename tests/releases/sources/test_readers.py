"""Reports of the real tools: each reader with a file of its tool, and documents that no reader may pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from releases.evidence_readers import BadEvidence, Reading, evaluate, read

SAMPLES = Path(__file__).parent / "samples"
LIMITS = {"security_findings_max": 0, "coverage_min": "0.90", "performance_ratio_max": "1.20"}


def read_sample(kind: str, name: str) -> Reading:
    return read(kind, (SAMPLES / name).read_bytes())


def read_document(kind: str, document: Any) -> Reading:
    return read(kind, json.dumps(document).encode())


def counts(reading: Reading) -> list[Any]:
    return [reading.values[name] for name in ("critical", "high", "medium", "low", "unrated")]


def outcome(kind: str, reading: Reading) -> str:
    return evaluate(kind, reading.values, LIMITS)[0]


def vulnerable(*severities: str) -> dict[str, Any]:
    return {"Vulnerabilities": [{"VulnerabilityID": f"CVE-{n}", "Severity": s} for n, s in enumerate(severities)]}


def trivy(*results: dict[str, Any]) -> dict[str, Any]:
    return {"SchemaVersion": 2, "ArtifactName": "app:1", "Results": list(results)}


def test_trivy_counts_vulnerabilities_misconfigurations_and_secrets() -> None:
    settings = {"Misconfigurations": [{"Status": "FAIL", "Severity": "HIGH"}, {"Status": "PASS", "Severity": "HIGH"}]}
    found = read_document(
        "security_scan", trivy(vulnerable("CRITICAL", "LOW"), settings, {"Secrets": [{"Severity": "HIGH"}]})
    )
    assert counts(found) == [1, 2, 0, 1, 0] and found.tool == "Trivy" and outcome("security_scan", found) == "failed"
    assert outcome("security_scan", read_document("security_scan", trivy({"Target": "app"}))) == "passed"


def test_a_finding_without_a_severity_never_passes() -> None:
    found = read_document("security_scan", trivy(vulnerable("UNKNOWN")))
    assert counts(found)[-1] == 1 and outcome("security_scan", found) == "unknown"


def test_a_trivy_report_without_a_scan_is_refused() -> None:
    with pytest.raises(BadEvidence, match="nothing that was scanned"):
        read_document("security_scan", {"SchemaVersion": 2, "ArtifactName": "app:1"})


def test_grype_counts_its_matches() -> None:
    matches = [{"vulnerability": {"severity": word}} for word in ("High", "Negligible", "Unknown")]
    found = read_document("security_scan", {"matches": matches, "descriptor": {"name": "grype"}})
    assert counts(found) == [0, 1, 0, 1, 1] and outcome("security_scan", found) == "failed"


def test_npm_audit_is_counted_and_its_error_is_refused() -> None:
    metadata = {"vulnerabilities": {"info": 1, "low": 0, "moderate": 2, "high": 0, "critical": 0, "total": 3}}
    found = read_document("security_scan", {"auditReportVersion": 2, "vulnerabilities": {}, "metadata": metadata})
    assert counts(found) == [0, 0, 2, 1, 0] and outcome("security_scan", found) == "passed"
    with pytest.raises(BadEvidence, match="npm could not audit"):
        read_sample("security_scan", "npm-audit-error.json")


def test_pip_audit_passes_only_when_every_package_was_examined() -> None:
    assert outcome("security_scan", read_sample("security_scan", "pip-audit.json")) == "unknown"
    clean = {"dependencies": [{"name": "jinja2", "version": "3.1.6", "vulns": []}], "fixes": []}
    assert outcome("security_scan", read_document("security_scan", clean)) == "passed"
    clean["dependencies"][0]["vulns"] = [{"id": "PYSEC-2019-217", "fix_versions": ["2.10.1"]}]
    assert outcome("security_scan", read_document("security_scan", clean)) == "unknown"


def test_snyk_counts_an_issue_once_and_a_failed_project_is_refused() -> None:
    issue = {"id": "SNYK-1", "packageName": "a", "severity": "high"}
    project = {"ok": False, "vulnerabilities": [issue, dict(issue)], "packageManager": "npm"}
    assert counts(read_document("security_scan", [project, {"ok": True, "vulnerabilities": []}])) == [0, 1, 0, 0, 0]
    with pytest.raises(BadEvidence, match="could not test"):
        read_document("security_scan", [project, {"ok": False, "error": "no lock file"}])


def test_bandit_counts_its_issues_and_unreadable_files() -> None:
    found = read_sample("security_scan", "bandit.json")
    assert counts(found) == [0, 2, 1, 2, 0] and outcome("security_scan", found) == "failed"
    unread = {"metrics": {}, "results": [], "errors": [{"filename": "x.py", "reason": "syntax error"}]}
    assert outcome("security_scan", read_document("security_scan", unread)) == "unknown"


def test_semgrep_counts_by_level_without_ignored_findings() -> None:
    rows = [{"extra": {"severity": s}} for s in ("ERROR", "WARNING", "INFO", "CRITICAL")]
    rows.append({"extra": {"severity": "ERROR", "is_ignored": True}})
    report = {"results": rows, "errors": [], "paths": {}}
    assert counts(read_document("security_scan", report)) == [1, 1, 1, 1, 0]
    broken = {"results": [], "errors": [{"level": "error"}, {"level": "warn"}], "paths": {}}
    assert outcome("security_scan", read_document("security_scan", broken)) == "unknown"


def test_cyclonedx_counts_the_worst_rating_of_unresolved_findings() -> None:
    rated = {"ratings": [{"severity": "low"}, {"severity": "critical"}]}
    resolved = rated | {"analysis": {"state": "not_affected"}}
    report = {"bomFormat": "CycloneDX", "vulnerabilities": [rated, resolved, {"ratings": []}]}
    assert counts(read_document("security_scan", report)) == [1, 0, 0, 0, 1]


def test_sarif_counts_by_security_severity_or_else_by_level() -> None:
    def rule(name: str, score: str | None) -> dict[str, Any]:
        bag = {"properties": {"security-severity": score}} if score is not None else {}
        return {"id": name, **bag}

    rules = [rule("a", "9.8"), rule("b", "7.0"), rule("c", "4.1"), rule("d", "0.1"), rule("e", None), rule("f", "x")]
    results = [{"ruleId": one["id"], "level": "error"} for one in rules]
    run = {"tool": {"driver": {"name": "CodeQL", "rules": rules}}, "results": results}
    found = read_document("security_scan", {"version": "2.1.0", "runs": [run]})
    assert counts(found) == [1, 2, 1, 1, 1] and found.tool == "CodeQL"
    dangling = {**run, "results": [{"ruleIndex": 99}]}
    assert (
        outcome("security_scan", read_document("security_scan", {"version": "2.1.0", "runs": [dangling]})) == "unknown"
    )
    clean = {**run, "results": []}
    assert outcome("security_scan", read_document("security_scan", {"version": "2.1.0", "runs": [clean]})) == "passed"


@pytest.mark.parametrize("listed", [{"bomFormat": "CycloneDX", "components": []}, {"spdxVersion": "SPDX-2.3"}])
def test_a_list_of_components_is_no_scan(listed: dict[str, Any]) -> None:
    with pytest.raises(BadEvidence, match="no vulnerabilities"):
        read_document("security_scan", listed)


@pytest.mark.parametrize(
    ("name", "covered", "valid", "tool"),
    [("coverage.json", 5, 6, "coverage.py"), ("coverage.lcov", 5, 6, "lcov"), ("clover.xml", 2, 2, "Clover")],
)
def test_coverage_of_each_tool_is_read(name: str, covered: int, valid: int, tool: str) -> None:
    found = read_sample("coverage", name)
    assert (found.values["lines_covered"], found.values["lines_valid"], found.tool) == (covered, valid, tool)


def test_lcov_counts_a_line_once_over_all_parts() -> None:
    part = b"SF:a.py\nDA:1,0\nDA:2,0\nend_of_record\n"
    found = read("coverage", part + part.replace(b"DA:1,0", b"DA:1,7"))
    assert (found.values["lines_covered"], found.values["lines_valid"]) == (1, 2)
    with pytest.raises(BadEvidence):
        read("coverage", b"SF:a.py\nDA:one,0\nend_of_record\n")
    with pytest.raises(BadEvidence):
        read("coverage", b"TN:\nSF:a.py\nend_of_record\n")


def test_jacoco_uses_the_lines_of_the_whole_report() -> None:
    report = b"""<?xml version="1.0"?><!DOCTYPE report PUBLIC "-//JACOCO//DTD Report 1.1//EN" "report.dtd">
    <report name="app"><package name="p"><counter type="LINE" missed="9" covered="1"/></package>
    <counter type="INSTRUCTION" missed="1" covered="1"/><counter type="LINE" missed="1" covered="19"/></report>"""
    assert read("coverage", report).values["line_rate"] == "0.95"
    with pytest.raises(BadEvidence):
        read("coverage", b"<report name='app'><counter type='BRANCH' missed='0' covered='1'/></report>")


def test_locust_milliseconds_become_seconds_with_failures() -> None:
    found = read_sample("performance", "locust_stats.csv")
    assert found.values["measured"] == "0.02" and found.values["failed_share"] == "0.5" and found.tool == "Locust"
    assert outcome("performance", found) == "unknown"  # nothing to compare with


@pytest.mark.parametrize(("failed", "expected"), [(5, "passed"), (6, "unknown"), (99, "unknown")])
def test_times_of_failed_requests_are_no_response_times(failed: int, expected: str) -> None:
    """An overloaded service refuses quickly: its 95th percentile gets better."""
    head, fast, slow = "timeStamp,elapsed,label,responseCode,success\n", "1,2,home,503,false\n", "1,100,home,200,true\n"
    found = read("performance", (head + fast * failed + slow * (100 - failed)).encode())
    assert evaluate("performance", {**found.values, "baseline": "0.1"}, LIMITS)[0] == expected


def test_jmeter_uses_the_95th_percentile_of_its_samples() -> None:
    head = "timeStamp,elapsed,label,responseCode,success\n"
    rows = "".join(f"1,{time},home,200,{'false' if time == 100 else 'true'}\n" for time in range(1, 101))
    found = read("performance", (head + rows).encode())
    assert found.values["measured"] == "0.095" and found.values["failed_share"] == "0.01"
    with pytest.raises(BadEvidence, match="no sample"):
        read("performance", head.encode())


def test_gatling_uses_all_requests_together() -> None:
    stats = {"numberOfRequests": {"total": "388", "ok": "387", "ko": "1"}, "percentiles3": {"total": "16059"}}
    found = read_document("performance", {"type": "GROUP", "stats": stats, "contents": {}})
    assert found.values["measured"] == "16.059" and found.values["requests"] == 388
    assert read_document("performance", stats).values == found.values
    with pytest.raises(BadEvidence, match="Gatling"):
        read_document("performance", {"numberOfRequests": {"total": "0", "ko": "0"}, "percentiles3": {"total": "-"}})


@pytest.mark.parametrize(("crossed", "fine"), [({"ok": False}, {"ok": True}), (True, False)])
def test_a_crossed_k6_threshold_fails_at_any_times(crossed: Any, fine: Any) -> None:
    def summary(state: Any) -> dict[str, Any]:
        return {
            "metrics": {
                "http_req_duration": {"p(95)": 10, "thresholds": {"p(95)<500": state}},
                "checks": {"rate": 1, "thresholds": {"rate>0.9": fine}},
            },
            "baseline_seconds": "0.01",
        }

    assert outcome("performance", read_document("performance", summary(crossed))) == "failed"
    assert outcome("performance", read_document("performance", summary(fine))) == "passed"


BANDIT_EMPTY = json.loads((SAMPLES / "bandit-empty.json").read_bytes())
NPM_EMPTY = {
    "auditReportVersion": 2,
    "vulnerabilities": {},
    "metadata": {"vulnerabilities": {"high": 0, "total": 0}, "dependencies": {"prod": 1, "total": 0}},
}
COMPONENTS = {"bomFormat": "CycloneDX", "components": [{"name": "openssl"}], "vulnerabilities": []}


@pytest.mark.parametrize(
    "document",
    [
        BANDIT_EMPTY,
        NPM_EMPTY,
        {"dependencies": [], "fixes": []},
        {"results": [], "errors": [], "paths": {"scanned": []}},
        {"ok": True, "vulnerabilities": [], "dependencyCount": 0},
        trivy(
            {"Target": "OS Packages", "Class": "license"}, {"Target": "Loose File License(s)", "Class": "license-file"}
        ),
        COMPONENTS,
    ],
    ids=["bandit", "npm audit", "pip-audit", "Semgrep", "Snyk", "Trivy, licences only", "Trivy, components only"],
)
def test_a_scan_that_examined_nothing_is_refused(document: Any) -> None:
    """An empty folder, the wrong folder, an empty list of requirements: no finding, and no look."""
    with pytest.raises(BadEvidence, match=r"nothing that was scanned|no vulnerabilities"):
        read_document("security_scan", document)


def test_a_scan_without_findings_that_examined_something_passes() -> None:
    clean: list[Any] = [
        BANDIT_EMPTY | {"metrics": {"./app.py": {"loc": 1}, "_totals": {"loc": 1}}},
        {"results": [], "errors": [{"level": "info"}], "paths": {"scanned": ["app.py"]}},
        {"ok": True, "vulnerabilities": [], "dependencyCount": 3},
        trivy({"Target": "app", "Class": "license"}, {"Target": "app (debian 13.2)", "Class": "os-pkgs"}),
    ]
    for document in clean:
        assert outcome("security_scan", read_document("security_scan", document)) == "passed"


def test_a_part_of_a_file_that_semgrep_could_not_read_never_passes() -> None:
    found = read_sample("security_scan", "semgrep-partial.json")
    assert counts(found) == [0, 0, 0, 0, 1] and outcome("security_scan", found) == "unknown"


def test_a_finding_in_sarif_whose_level_nothing_states_has_no_severity() -> None:
    found = read_sample("security_scan", "gitleaks.sarif")
    assert counts(found) == [0, 0, 0, 0, 1] and outcome("security_scan", found) == "unknown"


def test_snyk_counts_the_applications_in_a_container() -> None:
    inside = {
        "ok": False,
        "targetFile": "/app/package-lock.json",
        "vulnerabilities": [{"id": "S-2", "severity": "high"}],
    }
    image = {
        "ok": True,
        "vulnerabilities": [],
        "packageManager": "deb",
        "dependencyCount": 90,
        "applications": [inside],
    }
    assert counts(read_document("security_scan", image)) == [0, 1, 0, 0, 0]


def test_a_system_without_security_updates_was_not_examined() -> None:
    image = trivy({"Target": "app (debian 9.13)", "Class": "os-pkgs"}) | {
        "Metadata": {"OS": {"Family": "debian", "Name": "9.13", "EOSL": True}}
    }
    assert outcome("security_scan", read_document("security_scan", image)) == "unknown"


def test_a_truncated_trace_file_is_refused() -> None:
    whole = (SAMPLES / "coverage.lcov").read_bytes()
    for end in (whole.rindex(b"LH:"), whole.rindex(b"DA:"), whole.rindex(b"end_of_record")):
        with pytest.raises(BadEvidence, match="incomplete"):
            read("coverage", whole[:end])
    for times in (b"9" * 5000, b"--1"):
        with pytest.raises(BadEvidence):
            read("coverage", b"SF:a.py\nDA:1," + times + b"\nend_of_record\n")


def test_a_refusal_lists_the_readable_forms() -> None:
    with pytest.raises(BadEvidence) as refused:
        read_document("security_scan", {"findings": []})
    assert "Trivy JSON" in str(refused.value) and '"matches"' in str(refused.value)
