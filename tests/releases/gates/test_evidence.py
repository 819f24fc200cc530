"""Evidence counts for a tree and is compared unrounded; missing evidence does not pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from audit.refusals import InvalidInput, NotPermitted
from releases.gates.base import Known
from releases.gates.evaluation import evaluate
from releases.gates.evidence import count_with, matrix
from releases.models import Evidence, Procedure
from releases.operations.artefact.register import register
from releases.operations.evidence.upload import upload
from releases.procedures.document import Procedure as Content

from .asking import alter, ask, git, mark_deployed, own_repository

JUNIT = (
    b'<testsuite tests="2" failures="%d" errors="0"><testcase name="a"/><testcase name="b">%s</testcase></testsuite>'
)
GREEN, RED = JUNIT % (0, b""), JUNIT % (1, b"<failure/>")


def given(
    world: Any,
    kind: str,
    *contents: bytes,
    where: str = "staging",
    commit: str = "",
    test_type: str = "",
    suite: str = "",
    name: str = "",
) -> Any:
    """Upload files as CI, all under one name; return the last."""
    with world.acting_as("ci"):
        return upload(
            world.application.pk,
            environment_id=world.environments[where].pk,
            kind=kind,
            commit=commit or world.built.commits["v1.3.0"],
            files=[(name, content) for content in contents],
            test_type=test_type,
            suite=suite,
        )[-1]


def coverage(covered: int, valid: int) -> bytes:
    return f'<coverage line-rate="{covered / valid}" lines-covered="{covered}" lines-valid="{valid}"/>'.encode()


def test_coverage_is_compared_unrounded(world: Any) -> None:
    release = world.planned()
    assert ask(world, release, "coverage").result == "unknown", "no evidence is not a pass"
    for covered, valid, result in (
        (8999, 10000, "not_passed"),
        (9, 10, "passed"),
        (89999, 100000, "not_passed"),
        (1, 1, "passed"),
    ):
        given(world, "coverage", coverage(covered, valid))
        assert ask(world, release, "coverage").result == result, (covered, valid)


def test_the_newest_evidence_counts(world: Any) -> None:
    release = world.planned()
    given(world, "junit", GREEN, where="development", test_type="unit")
    assert ask(world, release, "tests", environment="development").result == "passed"
    given(world, "junit", RED, where="development", test_type="unit")
    assert ask(world, release, "tests", environment="development").result == "not_passed"


def test_tests_are_required_per_type_and_environment(world: Any) -> None:
    release = world.planned()
    given(world, "junit", GREEN, where="development", test_type="unit")
    assert ask(world, release, "tests", environment="staging").result == "passed"
    answer = ask(world, release, "tests")
    assert answer.result == "not_passed"
    assert all(name in answer.reason for name in ("Integration", "System", "Acceptance"))
    assert "Unit" not in answer.reason and "(Staging): no evidence" in answer.reason
    for name in ("integration", "system"):
        given(world, "junit", GREEN, test_type=name)
    given(world, "junit", GREEN, where="development", test_type="acceptance")
    assert "Acceptance" in ask(world, release, "tests").reason, "in the wrong environment it does not count"
    given(world, "junit", GREEN, test_type="acceptance")
    assert ask(world, release, "tests").result == "passed"


@pytest.mark.parametrize(
    ("gate", "kind", "bad", "good"),
    [
        (
            "review",
            "review",
            {"reviewer": "B", "decision": "changes_requested"},
            {"reviewer": "B", "decision": "approved"},
        ),
        (
            "security_scan",
            "security_scan",
            {"tool": "s", "critical": 0, "high": 1, "medium": 0, "low": 0},
            {"tool": "s", "critical": 0, "high": 0, "medium": 9, "low": 9},
        ),
        (
            "performance",
            "performance",
            {"tool": "k", "measured": "1.2001", "baseline": "1"},
            {"tool": "k", "measured": "1.2", "baseline": "1"},
        ),
        (
            "static_analysis",
            "sarif",
            {"version": "2.1.0", "runs": [{"results": [{"level": "error", "message": {"text": "x"}}]}]},
            {"version": "2.1.0", "runs": [{"results": [{"level": "warning", "message": {"text": "x"}}]}]},
        ),
    ],
)
def test_each_evidence_type_passes_and_fails(world: Any, gate: str, kind: str, bad: Any, good: Any) -> None:
    release = world.planned()
    assert ask(world, release, gate).result == "unknown"
    given(world, kind, json.dumps(bad).encode())
    assert ask(world, release, gate).result == "not_passed"
    given(world, kind, json.dumps(good).encode())
    assert ask(world, release, gate).result == "passed"


def test_a_failing_type_is_not_hidden_by_one_of_the_same_name(world: Any) -> None:
    """An organisation may call several test types alike: each report is counted."""
    release = world.planned()
    world.evidence("1.3.0")
    procedure = Procedure.objects.get(state="in_effect")
    content = json.loads(json.dumps(procedure.content))
    for row in content["testing"]["types"]:
        row["ja"] = row["en"] = "Tests"
    for test_type in ("integration", "system", "acceptance"):
        given(world, "junit", RED, test_type=test_type)
        known = Known(world.fresh(release))
        known.content = Content.model_validate(content)
        found = evaluate(known.release, world.environments["production"], known=known)
        (answer,) = [one for one in found if one.gate == "tests"]
        assert answer.result == "not_passed" and answer.reason.startswith("Tests (Staging): ")
        given(world, "junit", GREEN, test_type=test_type)


def test_evidence_counts_for_every_commit_with_the_same_tree_and_no_other(world: Any, tmp_path: Path) -> None:
    repository = own_repository(world, tmp_path)
    tree = world.built.trees["v1.3.0"]
    twin = git(repository, "commit-tree", tree, "-m", "the same tree", "-p", world.built.commits["v1.2.0"])
    git(repository, "update-ref", "refs/heads/twin", twin)
    release = world.planned()
    given(world, "coverage", coverage(1, 1), commit=world.built.commits["v1.3.0-beta.1"])
    assert ask(world, release, "coverage").result == "unknown", "another tree's evidence"
    given(world, "coverage", coverage(1, 1), commit=twin)
    assert ask(world, release, "coverage").result == "passed"
    assert ask(world, alter(release, tree=""), "coverage").result == "unknown"


def test_a_branch_names_no_commit_that_was_tested(world: Any, tmp_path: Path) -> None:
    """Between the test and its upload somebody pushes: the report would count for what nobody has tested."""
    repository = own_repository(world, tmp_path)
    git(repository, "update-ref", "refs/heads/main", world.built.commits["v1.3.0"])
    release = world.planned()
    with pytest.raises(InvalidInput, match="branch"):
        given(world, "coverage", coverage(1, 1), commit="main")
    with pytest.raises(InvalidInput, match="branch"), world.acting_as("ci"):
        register(world.application.pk, commit="main", kind="file", reference="https://x.example/a", digest="a" * 64)
    given(world, "coverage", coverage(1, 1), commit="v1.3.0")
    assert ask(world, release, "coverage").result == "passed"


def test_an_unreadable_file_becomes_no_evidence(world: Any) -> None:
    for kind, content in (
        ("junit", b""),
        ("coverage", b"<coverage"),
        ("coverage", b'<coverage line-rate="7"/>'),
        ("junit", GREEN),  # without its type
        ("no such kind", b"{}"),
        ("review", b"[]"),
    ):
        with pytest.raises(InvalidInput):
            given(world, kind, content)
    with pytest.raises(InvalidInput):
        given(world, "coverage", coverage(1, 1), commit="0" * 40)
    assert not Evidence.objects.exists()


def test_only_permitted_persons_upload(world: Any) -> None:
    for name in ("operator", "committee_a", "auditor", "outsider"):
        with world.acting_as(name), pytest.raises(NotPermitted):
            upload(
                world.application.pk,
                environment_id=world.environments["staging"].pk,
                kind="coverage",
                commit="v1.3.0",
                files=[("", coverage(1, 1))],
            )


def test_evidence_may_come_before_its_release(world: Any) -> None:
    given(world, "coverage", coverage(1, 1))
    assert ask(world, world.planned(), "coverage").result == "passed"


def test_an_unknown_test_type_is_refused(world: Any) -> None:
    with pytest.raises(InvalidInput, match="unit, integration"):
        given(world, "junit", GREEN, test_type="unti")
    with pytest.raises(InvalidInput):
        given(world, "file", b"x", test_type="unti")
    assert not Evidence.objects.exists()


def test_a_commit_author_cannot_provide_its_review(world: Any) -> None:
    """The author neither uploads it nor is named as the reviewer; the address, the name and the account count."""
    release = world.planned()
    statement = {"reviewer": "Somebody Else", "decision": "approved"}

    def hand(name: str, **fields: str) -> Any:
        with world.acting_as(name):
            return upload(
                world.application.pk,
                environment_id=world.environments["staging"].pk,
                kind="review",
                commit=world.built.commits["v1.3.0"],
                files=[("", json.dumps(statement | fields).encode())],
            )

    with pytest.raises(NotPermitted, match="another person"):
        hand("developer")
    for reviewer in ("developer", "Developer", "DEVELOPER@datasets.example", "Dev <developer@datasets.example>"):
        with pytest.raises(NotPermitted, match="wrote a part of this change and cannot review it"):
            hand("ci", reviewer=reviewer)
    assert not Evidence.objects.exists() and ask(world, release, "review").result == "unknown"
    hand("tester")
    assert ask(world, release, "review").result == "passed"


def test_a_time_without_its_own_baseline_is_compared_with_the_deployed_version(world: Any) -> None:
    release = world.planned()
    time = {"response_time_seconds": "0.13"}
    given(world, "performance", json.dumps(time).encode())
    answer = ask(world, release, "performance")
    assert answer.result == "unknown" and "baseline" in answer.reason
    mark_deployed(world, "1.2.0")
    before = {"response_time_seconds": "0.10", "baseline_seconds": "0.10"}
    given(world, "performance", json.dumps(before).encode(), commit=world.built.commits["v1.2.0"])
    assert ask(world, release, "performance").result == "not_passed"
    given(world, "performance", json.dumps({"response_time_seconds": "0.12"}).encode())
    assert ask(world, release, "performance").result == "passed"


def test_a_time_is_compared_with_one_of_the_same_tool_and_environment(world: Any) -> None:
    """A slower machine, another tool, or a test of which every request failed, is no baseline."""
    mark_deployed(world, "1.2.0")
    release = world.planned()
    k6 = {"metrics": {"http_req_duration": {"p(95)": 500}}}
    given(world, "performance", json.dumps(k6).encode(), name="load.json")
    before: dict[str, Any] = {"commit": world.built.commits["v1.2.0"]}
    slow = {"metrics": {"http_req_duration": {"p(95)": 9000}}}
    given(world, "performance", json.dumps({"response_time_seconds": "9"}).encode(), **before)
    given(world, "performance", json.dumps(slow).encode(), name="load.json", where="development", **before)
    slow["metrics"]["http_req_failed"] = {"rate": 1}
    given(world, "performance", json.dumps(slow).encode(), name="load.json", **before)
    answer = ask(world, release, "performance")
    assert answer.result == "unknown" and "baseline" in answer.reason
    fast = {"metrics": {"http_req_duration": {"p(95)": 100}}}
    row = given(world, "performance", json.dumps(fast).encode(), name="load.json", **before)
    assert ask(world, release, "performance").result == "not_passed"
    assert count_with(Evidence.objects.exclude(commit=row.commit).get()).result == "failed", "the API says the same"


def test_the_matrix_shows_each_type_in_each_test_environment(world: Any) -> None:
    release = world.planned()
    given(world, "junit", GREEN, where="development", test_type="unit")
    given(world, "junit", RED, test_type="integration")
    rows = {row.test_type: {cell.test_environment: cell for cell in row.cells} for row in matrix(release)}
    assert list(rows) == ["unit", "integration", "system", "acceptance"]
    assert list(rows["unit"]) == ["development", "staging", "production_like"]
    assert {(t, p) for t, cells in rows.items() for p, cell in cells.items() if cell.required} == {
        ("unit", "development"),
        ("integration", "staging"),
        ("system", "production_like"),
        ("acceptance", "production_like"),
    }
    assert rows["unit"]["development"].result == "passed" and rows["unit"]["staging"].result == "unknown"
    assert rows["integration"]["staging"].result == "failed" and not rows["system"]["production_like"].evidence
    assert len(rows["integration"]["staging"].evidence) == 1
    assert all(cell.sentence and cell.label for cells in rows.values() for cell in cells.values())
