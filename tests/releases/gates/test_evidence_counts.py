"""The reports that count: the newest of each tool and suite, and the worst of those decides."""

from __future__ import annotations

import json
from typing import Any

import pytest

from audit.models import Event
from audit.refusals import InvalidInput
from releases.models import Evidence
from releases.operations.evidence.upload import MOST_BYTES, MOST_FILES, check_amount

from .asking import ask
from .test_evidence import GREEN, RED, coverage, given

SHARD = (
    b'<testsuites><testsuite name="pytest" tests="1" failures="%d"><testcase classname="tests.%s" '
    b'name="t">%s</testcase></testsuite></testsuites>'
)


def sarif(tool: str, level: str | None = None, *, category: str = "") -> bytes:
    deployment: dict[str, Any] = {
        "tool": {"driver": {"name": tool}},
        "results": [] if level is None else [{"level": level, "message": {"text": "x"}}],
    }
    if category:
        deployment["automationDetails"] = {"id": f"{category}/"}
    return json.dumps({"version": "2.1.0", "runs": [deployment]}).encode()


def test_a_clean_report_of_another_tool_hides_no_errors(world: Any) -> None:
    release = world.planned()
    given(world, "sarif", sarif("bandit", "error"))
    given(world, "sarif", sarif("ruff"))
    assert ask(world, release, "static_analysis").result == "not_passed"
    given(world, "sarif", sarif("bandit"))
    assert ask(world, release, "static_analysis").result == "passed"


def test_a_shard_that_passes_hides_no_shard_that_fails(world: Any) -> None:
    release = world.planned()
    given(world, "junit", SHARD % (1, b"a", b"<failure/>"), where="development", test_type="unit")
    given(world, "junit", SHARD % (0, b"b", b""), where="development", test_type="unit")
    assert ask(world, release, "tests", environment="development").result == "not_passed"
    given(world, "junit", SHARD % (0, b"a", b""), where="development", test_type="unit")
    assert ask(world, release, "tests", environment="development").result == "passed"


def test_a_report_uploaded_again_counts_again(world: Any) -> None:
    release = world.planned()
    for content, result in ((RED, "not_passed"), (GREEN, "passed"), (RED, "not_passed"), (GREEN, "passed")):
        given(world, "junit", content, where="development", test_type="unit")
        assert ask(world, release, "tests", environment="development").result == result


def test_a_clean_report_is_superseded_by_its_own_suite_only(world: Any) -> None:
    first = given(world, "junit", SHARD % (0, b"a", b""), where="development", test_type="unit")
    other = given(world, "junit", SHARD % (0, b"b", b""), where="development", test_type="unit")
    again = given(world, "junit", SHARD % (0, b"a", b""), where="development", test_type="unit")
    counting = Evidence.objects.counting(world.application.pk, first.tree)
    assert [row.pk for row in counting] == [again.pk, other.pk]
    assert world.fresh(first).superseded_by_id == again.pk
    uploads = [row.contents["after"] for row in Event.objects.filter(operation="evidence:upload", kind="operation")]
    assert [first.pk] in [details["superseded"] for details in uploads], "the ledger says what was superseded"


def test_a_failed_test_counts_until_its_rerun(world: Any) -> None:
    """A rerun of the failed test clears it; a rerun of another one does not."""
    release = world.planned()
    case = b'<testcase classname="c" name="%s">%s</testcase>'
    whole = b"<testsuite>" + case % (b"a", b"") + case % (b"b", b"<failure/>") + b"</testsuite>"
    for content, result in (
        (whole, "not_passed"),
        (b"<testsuite>" + case % (b"a", b"") + b"</testsuite>", "not_passed"),
        (b"<testsuite>" + case % (b"b", b"") + b"</testsuite>", "passed"),
    ):
        given(world, "junit", content, where="development", test_type="unit")
        assert ask(world, release, "tests", environment="development").result == result


def test_a_test_that_is_skipped_in_the_rerun_still_counts_as_failed(world: Any) -> None:
    release = world.planned()
    case = b'<testcase classname="c" name="%s">%s</testcase>'
    for fault, result in ((b"<failure/>", "not_passed"), (b"<skipped/>", "not_passed"), (b"", "passed")):
        content = b"<testsuite>" + case % (b"a", b"") + case % (b"b", fault) + b"</testsuite>"
        given(world, "junit", content, where="development", test_type="unit")
        assert ask(world, release, "tests", environment="development").result == result, fault


def trivy(artefact: str, *severities: str) -> bytes:
    found = [{"VulnerabilityID": f"CVE-{number}", "Severity": word} for number, word in enumerate(severities)]
    results = [{"Target": artefact, "Class": "os-pkgs", "Vulnerabilities": found}]
    return json.dumps({"SchemaVersion": 2, "ArtifactName": artefact, "Results": results}).encode()


def jacoco(module: str, covered: int) -> bytes:
    counter = f'<counter type="LINE" missed="{10 - covered}" covered="{covered}"/>'
    return f'<report name="{module}"><package name="shop/{module}">{counter}</package>{counter}</report>'.encode()


def cobertura(file: str, covered: int) -> bytes:
    inner = f'<packages><package name="."><classes><class filename="{file}"/></classes></package></packages>'
    return f'<coverage lines-covered="{covered}" lines-valid="10">{inner}</coverage>'.encode()


@pytest.mark.parametrize(
    ("gate", "kind", "bad", "other", "good"),
    [
        (
            "security_scan",
            "security_scan",
            trivy("registry:5000/shop/web:1.3.0-17", "CRITICAL"),
            trivy("registry:5000/shop/worker:1.3.0-17"),
            trivy("registry:5000/shop/web:1.3.0-18"),
        ),
        (
            "security_scan",
            "security_scan",
            sarif("CodeQL", "error", category="/language:java"),
            sarif("CodeQL", category="/language:python"),
            sarif("CodeQL", category="/language:java"),
        ),
        ("coverage", "coverage", jacoco("stock", 1), jacoco("cart", 10), jacoco("stock", 9)),
        ("coverage", "coverage", cobertura("stock.py", 1), cobertura("cart.py", 10), cobertura("stock.py", 9)),
        (
            "coverage",
            "coverage",
            b"SF:stock.c\nDA:1,0\nend_of_record\n",
            b"SF:cart.c\nDA:1,1\nend_of_record\n",
            b"SF:stock.c\nDA:1,1\nend_of_record\n",
        ),
    ],
    ids=["Trivy", "SARIF", "JaCoCo", "Cobertura", "lcov"],
)
def test_a_clean_report_of_another_part_hides_none(
    world: Any, gate: str, kind: str, bad: bytes, other: bytes, good: bytes
) -> None:
    """The jobs of a repository with several modules or images upload their reports under one file name."""
    release = world.planned()
    for content, result in ((bad, "not_passed"), (other, "not_passed"), (good, "passed")):
        given(world, kind, content, name="report")
        assert ask(world, release, gate).result == result


def test_files_with_other_names_are_other_suites_unless_a_suite_is_given(world: Any) -> None:
    release = world.planned()
    where = {"where": "development", "test_type": "unit"}
    given(world, "junit", RED, name="python-3.11.xml", **where)
    given(world, "junit", GREEN, name="python-3.12.xml", **where)
    answer = ask(world, release, "tests", environment="development")
    assert answer.result == "not_passed"
    assert "2 reports count. Not passed: python-3.11.xml: 1 of 2 tests failed; at most 0 may fail." in answer.reason
    given(world, "junit", GREEN, name="python-3.11.xml", **where)
    assert ask(world, release, "tests", environment="development").result == "passed"
    given(world, "junit", RED, name="x.xml", suite="windows", **where)
    assert ask(world, release, "tests", environment="development").result == "not_passed"
    given(world, "junit", GREEN, name="y.xml", suite="windows", **where)
    assert ask(world, release, "tests", environment="development").result == "passed"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("TEST-tests.Shop-20261128053512.xml", "TEST-tests.Shop-20261128061107.xml"),
        ("junit_2026-11-28T05-35-12.xml", "junit_2026-11-28T06-11-07.xml"),
        ("report-1780000000.xml", "report-1780000999.xml"),
    ],
)
def test_a_time_in_a_file_name_makes_no_other_suite(world: Any, first: str, second: str) -> None:
    given(world, "junit", RED, name=first, test_type="unit")
    made = given(world, "junit", GREEN, name=second, test_type="unit")
    assert list(Evidence.objects.counting(world.application.pk, made.tree)) == [made]


def test_sharded_reports_of_one_call_count_together(world: Any) -> None:
    """Files of one call do not supersede each other, and a class's skipped tests do not count against the others."""
    release = world.planned()
    where = {"where": "development", "test_type": "unit"}
    skipped = b'<testsuite name="C"><testcase classname="C" name="t"><skipped/></testcase></testsuite>'
    given(world, "junit", SHARD % (1, b"a", b"<failure/>"), SHARD % (0, b"b", b""), skipped, **where)
    assert ask(world, release, "tests", environment="development").result == "not_passed"
    given(world, "junit", SHARD % (0, b"a", b""), SHARD % (0, b"b", b""), skipped, **where)
    assert ask(world, release, "tests", environment="development").result == "passed"
    assert Evidence.objects.counting(world.application.pk, release.tree).count() == 3
    given(world, "junit", b"<testsuite/>", name="crashed.xml", **where)
    answer = ask(world, release, "tests", environment="development")
    assert answer.result == "not_passed" and "crashed.xml: No test was run." in answer.reason


def test_one_unreadable_file_refuses_the_call_by_name(world: Any) -> None:
    with pytest.raises(InvalidInput, match=r"junit\.xml: The file is not well-formed XML"):
        given(world, "junit", GREEN, b"<testsuite", name="junit.xml", test_type="unit")
    assert not Evidence.objects.exists()
    for sizes in ([], [1] * (MOST_FILES + 1), [MOST_BYTES, 1]):
        with pytest.raises(InvalidInput, match="1 to 1000 files"):
            check_amount(sizes)


def test_each_environment_and_each_reviewer_counts(world: Any) -> None:
    release = world.planned()
    given(world, "coverage", coverage(8, 10), where="development")
    given(world, "coverage", coverage(10, 10), where="staging")
    assert ask(world, release, "coverage").result == "not_passed"
    for reviewer, result, outcome in (
        ("A", "changes_requested", "not_passed"),
        ("B", "approved", "not_passed"),
        ("A", "approved", "passed"),
    ):
        statement = json.dumps({"reviewer": reviewer, "decision": result}).encode()
        given(world, "review", statement, name=f"{reviewer}-{result}.json")
        assert ask(world, release, "review").result == outcome


def test_a_limit_holds_for_all_reports_together(world: Any) -> None:
    from releases.evidence_readers import evaluate_all

    report = {"tests": 9, "failures": 4, "errors": 0, "skipped": 0}
    assert evaluate_all("junit", [report], {"failed_tests_max": 5}).outcome == "passed"
    both = evaluate_all("junit", [report, report], {"failed_tests_max": 5})
    assert (both.outcome, both.total) == ("failed", "8 of 18 tests failed; at most 5 may fail.")
