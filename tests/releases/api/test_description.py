"""Unknown paths, faults and the description: every error is a problem, and an anonymous caller gets no description."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from releases.models import Evidence

from .conftest import ask, token_for
from .test_api import deployment_body, report


def is_problem(answer: Any, status: int, kind: str) -> dict[str, Any]:
    """Check the form of RFC 9457 and return the problem."""
    assert (answer.status_code, answer["content-type"]) == (status, "application/problem+json"), answer.content
    found: dict[str, Any] = answer.json()
    assert found["type"] == f"about:blank#{kind}" and found["status"] == status and found["title"] and found["detail"]
    assert found["instance"].startswith("urn:ringi:request:")
    return found


def test_every_error_is_a_problem_document(world: Any, call: Callable[..., Any]) -> None:
    is_problem(call("get", "/nothing"), 404, "not_found")
    is_problem(call("get", "/"), 404, "not_found")
    is_problem(call("get", "/releases/1/gates"), 404, "not_found")
    is_problem(call("put", "/ci/deployments", {}), 405, "method_not_allowed")
    is_problem(call("get", "/releases", token=None), 401, "unauthenticated")
    is_problem(call("get", "/ci/deployments/99"), 404, "not_found")
    faulty = is_problem(call("post", "/ci/deployments", {"application": "datasets"}), 422, "invalid_input")
    assert any("version" in reason for reason in faulty["reasons"]) and faulty["errors"][0]["where"]
    token = token_for(world, world.people["ci"])
    is_problem(ask("post", "/ci/deployments", b"{", token=token, raw=True), 400, "malformed")
    is_problem(ask("post", "/ci/deployments", b"\xff\xfe", token=token, raw=True), 400, "malformed")
    is_problem(
        ask("post", "/ci/deployments", b'{"x": "' + b"a" * 3_000_000 + b'"}', token=token, raw=True),
        413,
        "content_too_large",
    )


def test_a_server_error_reveals_no_internals(
    world: Any, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_args: Any, **_more: Any) -> None:
        raise RuntimeError("password=hunter2")

    world.planned()
    monkeypatch.setattr("releases.api.ci.schedule", broken)
    answer = call(
        "post", "/ci/deployments", deployment_body("development"), **{"X-Request-Id": "trace-7", "Idempotency-Key": "k"}
    )
    problem = is_problem(answer, 500, "internal_error")
    assert b"hunter2" not in answer.content and problem["instance"].endswith("trace-7")
    assert "trace-7" in caplog.text and "hunter2" in caplog.text, "the log has it under the same number"
    again = call("post", "/ci/deployments", deployment_body("development"), **{"Idempotency-Key": "k"})
    assert again.status_code == 500 and again.content == answer.content, "an act of unknown end is not done again"


def test_a_request_is_found_in_the_ledger_by_its_id(world: Any, call: Callable[..., Any]) -> None:
    from audit.models import Event

    world.planned()
    refused = call("post", "/ci/deployments", deployment_body("development"), **{"X-Request-Id": "trace-8"})
    assert is_problem(refused, 409, "gate_not_passed")["instance"].endswith("trace-8")
    assert b"trace-8" in bytes(Event.objects.filter(operation="deployment:schedule").latest("at").bytes)


def test_problems_are_available_in_japanese(world: Any, call: Callable[..., Any]) -> None:
    answer = call("get", "/ci/deployments/99", **{"accept-language": "ja"})
    assert not answer.json()["detail"].isascii() and not answer.json()["title"].isascii()


def test_the_description_is_available_to_tokens_and_people_only(
    world: Any, browsers: Any, call: Callable[..., Any]
) -> None:
    is_problem(Client().get("/api/v1/openapi.json"), 401, "unauthenticated")
    assert Client().get("/api/v1/docs").status_code == 302
    described = call("get", "/openapi.json").json()
    assert described["openapi"].startswith("3.") and "/api/v1/releases/{release_id}" in described["paths"]
    assert described["components"]["securitySchemes"]["TokenBearer"]["scheme"] == "bearer"
    keys = [p["name"] for p in described["paths"]["/api/v1/ci/deployments"]["post"]["parameters"]]
    assert keys == ["Idempotency-Key"]
    reader = browsers("auditor")
    assert reader.get("/api/v1/openapi.json").json() == described
    page = reader.get("/api/v1/docs").content.decode()
    assert "/api/v1/openapi.json" in page and "https://" not in page, "nothing is loaded from elsewhere"


def test_a_session_alone_is_refused_by_every_path(world: Any, browsers: Any) -> None:
    for path in ("/releases", "/deployments", "/permissions?permission=start"):
        assert browsers("manager").get(f"/api/v1{path}").status_code == 401, path


def test_a_too_large_file_becomes_no_evidence(world: Any, call: Callable[..., Any]) -> None:
    file = SimpleUploadedFile("big.xml", b" " * (100 * 1024 * 1024))
    assert "10 MB" in is_problem(call("post", "/evidence", report(world, file=file)), 422, "invalid_input")["detail"]
    assert not Evidence.objects.exists()


def test_evidence_is_accepted_before_the_release_exists_and_listed_by_commit(
    world: Any, call: Callable[..., Any]
) -> None:
    """A test environment's name stands for the environment that the procedure maps it to."""
    answer = call("post", "/evidence", report(world, environment="production_like", test_type="system"))
    (made,) = answer.json()["items"]
    assert made["environment"] == "staging" and made["result"] == "passed" and made["uploaded_by"] == "Ci"
    commit = world.built.commits["v1.3.0"]
    listed = call("get", f"/evidence?commit={commit}&kind=junit").json()["items"]
    assert listed == [made]
    assert call("get", f"/evidence?commit={'0' * 40}").json()["items"] == []
    narrow = token_for(world, world.people["ci"], "development")
    assert ask("get", "/evidence", token=narrow).json()["items"] == []
    assert call("post", "/evidence", report(world, test_type="unti")).status_code == 422
    assert call("post", "/evidence", report(world, kind="file", test_type="")).json()["counted"]["result"] == "unknown"
