"""CI at the API: by token, within its environments, under the same rules as people."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile

from audit.clock import now
from environments.models import Account, Token
from releases.models import Deployment, Evidence
from tests.releases.gates.asking import alter, walk

from .conftest import token_for

JUNIT = b'<testsuite tests="1" failures="0" errors="0"><testcase name="a"/></testsuite>'


def report(world: Any, **fields: Any) -> dict[str, Any]:
    return {
        "application": "datasets",
        "environment": "development",
        "kind": "junit",
        "test_type": "unit",
        "commit": world.built.commits["v1.3.0"],
        "file": SimpleUploadedFile("junit.xml", JUNIT),
    } | fields


def deployment_body(environment: str, version: str = "1.3.0") -> dict[str, str]:
    return {"application": "datasets", "version": version, "environment": environment, "reason": "merged"}


def test_a_request_without_a_token_is_not_answered(world: Any, call: Callable[..., Any]) -> None:
    for token in (None, "", "ringi_wrong", "Bearer"):
        for method, path, body in (
            ("post", "/ci/deployments", deployment_body("development")),
            ("get", "/ci/deployments/1", None),
            ("get", "/releases/datasets/1.3.0/gates/development", None),
            ("post", "/evidence", report(world)),
        ):
            assert call(method, path, body, token=token).status_code == 401, (token, path)
    assert not Evidence.objects.exists() and not Deployment.objects.exists()


def test_ci_registers_an_artefact_and_reads_it(world: Any, call: Callable[..., Any]) -> None:
    body = {
        "application": "datasets",
        "commit": world.built.commits["v1.3.0"],
        "kind": "image",
        "reference": "registry.example.org/datasets",
        "digest": "sha256:" + "1" * 64,
    }
    made = call("post", "/artefacts", body)
    assert made.status_code == 200 and made.json()["digest"] == "1" * 64 and not made.json()["signed"]
    assert call("post", "/artefacts", body).json()["id"] == made.json()["id"]
    for fields in ({"digest": "latest"}, {"kind": "jar"}, {"reference": "a b"}, {"surprise": 1}, {"commit": "0" * 40}):
        assert call("post", "/artefacts", body | fields).status_code == 422, fields
    assert call("post", "/artefacts", body | {"application": "nothing"}).status_code == 404
    listed = call("get", "/artefacts", {"commit": body["commit"]}).json()["items"]
    assert [row["id"] for row in listed] == [made.json()["id"]]
    assert call("get", "/artefacts", {"commit": "0" * 40}).json()["items"] == []
    release = world.planned()
    assert call("get", f"/releases/{release.pk}").json()["artefact"] is None, "it deploys its Git tree"
    narrow = token_for(world, world.people["ci"], "development")
    other = body | {"digest": "2" * 64}
    assert call("post", "/artefacts", other, token=narrow).status_code == 403, "it decides what production gets"


def test_an_expired_token_grants_no_access(world: Any, call: Callable[..., Any]) -> None:
    """Case 13: also with a deactivated account."""
    world.planned()
    path = "/releases/datasets/1.3.0/gates/development"
    token = Token.objects.get()
    assert call("get", path).status_code == 200
    for fields in ({"revoked_at": now()}, {"expires_at": now() - timedelta(seconds=1)}):
        kept = {name: getattr(token, name) for name in fields}
        alter(token, **fields)
        assert call("get", path).status_code == 401, fields
        alter(token, **kept)
    alter(world.people["ci"], is_active=False)
    assert call("get", path).status_code == 401
    alter(world.people["ci"], is_active=True)
    alter(world.people["ci"], kind=Account.Kind.PERSON)
    assert call("get", path).status_code == 401, "people come with a password and a proof"


def test_a_token_is_limited_to_its_environments(world: Any, call: Callable[..., Any]) -> None:
    """Case 18."""
    release = world.planned()
    narrow = token_for(world, world.people["ci"], "staging")
    deployment = world.verified_deployment(release, "development")
    for method, path, body in (
        ("post", "/ci/deployments", deployment_body("development")),
        ("get", f"/ci/deployments/{deployment.pk}", None),
        ("get", "/releases/datasets/1.3.0/gates/development", None),
        ("post", "/evidence", report(world)),
    ):
        assert call(method, path, body, token=narrow).status_code == 403, path
    assert call("get", f"/ci/deployments/{deployment.pk}").status_code == 200
    assert call("get", "/releases/datasets/1.3.0/gates/staging", token=narrow).status_code == 200
    assert not Evidence.objects.exists()


def test_a_report_uploaded_twice_counts_as_the_newest(world: Any, call: Callable[..., Any]) -> None:
    first, again = (call("post", "/evidence", report(world)) for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 200)
    (one,), (other,) = first.json()["items"], again.json()["items"]
    assert one["digest"] == other["digest"] and one["suite"] == "junit.xml" and one["superseded_by"] is None
    assert again.json()["counted"]["reports"] == [other["id"]]
    listed = call("get", "/evidence").json()["items"]
    assert [(row["id"], row["superseded_by"]) for row in listed] == [(other["id"], None), (one["id"], other["id"])]


def test_one_call_uploads_many_reports_and_lists_those_that_count(world: Any, call: Callable[..., Any]) -> None:
    failing = JUNIT.replace(b"/></testsuite>", b"><failure/></testcase></testsuite>")
    files = [SimpleUploadedFile("a.xml", JUNIT), SimpleUploadedFile("b.xml", failing)]
    answer = call("post", "/evidence", report(world, file=files)).json()
    assert [row["result"] for row in answer["items"]] == ["passed", "failed"]
    assert answer["counted"]["result"] == "failed" and len(answer["counted"]["reports"]) == 2
    assert "2 reports count. Not passed:" in answer["counted"]["summary"] and "b.xml" in answer["counted"]["summary"]
    answer = call("post", "/evidence", report(world, file=SimpleUploadedFile("b.xml", JUNIT))).json()
    assert answer["counted"]["result"] == "passed" and "2 reports count:" in answer["counted"]["summary"]
    broken = [SimpleUploadedFile("a.xml", JUNIT), SimpleUploadedFile("c.xml", b"<testsuite")]
    refused = call("post", "/evidence", report(world, file=broken))
    assert refused.status_code == 422 and "c.xml: " in refused.json()["detail"]
    assert Evidence.objects.count() == 3


def test_a_refusal_is_a_problem_with_its_reasons(world: Any, call: Callable[..., Any]) -> None:
    broken = call("post", "/evidence", report(world, file=SimpleUploadedFile("x", b"<testsuite")))
    assert broken.status_code == 422
    assert broken["content-type"] == "application/problem+json"
    problem = broken.json()
    assert problem["status"] == 422 and problem["title"] == "Validation failed" and problem["reasons"]
    assert problem["type"].endswith("invalid_input") and problem["detail"]
    assert call("post", "/evidence", report(world, application="nothing")).status_code == 404
    assert call("post", "/ci/deployments", deployment_body("moon")).status_code == 404
    assert call("post", "/ci/deployments", deployment_body("development", "9.9.9")).status_code == 404
    assert call("get", "/ci/deployments/987654").status_code == 404
    assert call("post", "/ci/deployments", {"application": "datasets"}).status_code == 422
    assert not Evidence.objects.exists()


def test_ci_deploys_to_development_by_itself(world: Any, call: Callable[..., Any]) -> None:
    world.planned()
    held = call("post", "/ci/deployments", deployment_body("development"))
    assert held.status_code == 409 and "Unit tests" in held.json()["detail"], "without its tests it does not"
    gates = call("get", "/releases/datasets/1.3.0/gates/development").json()
    assert [(gate["gate"], gate["result"]) for gate in gates] == [
        ("tests", "not_passed"),
        ("branch", "passed"),
        ("branch_protection", "passed"),
    ]
    call("post", "/evidence", report(world))
    made = call("post", "/ci/deployments", deployment_body("development"))
    assert made.status_code == 200 and made.json()["state"] == "scheduled"
    deployment = Deployment.objects.get(pk=made.json()["id"])
    assert deployment.scheduled_by == world.people["ci"]
    assert call("get", f"/ci/deployments/{deployment.pk}").json()["release"] == "Datasets 1.3.0"
    assert Deployment.objects.count() == 1, "the held deployment is the one that continued"


def test_ci_does_not_deploy_to_production_without_approval(world: Any, call: Callable[..., Any]) -> None:
    release, _request = world.submitted()
    refused = call("post", "/ci/deployments", deployment_body("production"))
    assert refused.status_code in (403, 409)
    assert not Deployment.objects.filter(environment=world.environments["production"]).exists()
    walk(release, "mark_approved", "complete_final_check")
    with world.acting_as("operator"):
        from releases.operations.deployment.request import request

        deployment = request(release.pk, environment_id=world.environments["production"].pk)
    refused = call("post", "/ci/deployments", deployment_body("production"))
    assert refused.status_code == 409 and "The release has no valid approval" in refused.json()["detail"]
    assert world.fresh(deployment).state == "requested"


def test_ci_starts_an_approved_deployment_to_production(world: Any, call: Callable[..., Any]) -> None:
    release, _request = world.final_checked()
    assert call("post", "/ci/deployments", deployment_body("production")).status_code == 403, (
        "asking for it is a person's"
    )
    with world.acting_as("operator"):
        from releases.operations.deployment.request import request

        request(release.pk, environment_id=world.environments["production"].pk)
    started = call("post", "/ci/deployments", deployment_body("production"))
    assert (started.status_code, started.json()["state"]) == (200, "scheduled")
