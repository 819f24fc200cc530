"""Deployments over HTTP: CI deploys to development and staging by itself, to production only what is approved (E3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError

from releases.models import Deployment, Step, StepOutput
from tests.releases.gates.asking import alter, make, walk

from .conftest import ask, token_for


def asked(environment: str, **more: Any) -> dict[str, Any]:
    return {"application": "datasets", "version": "1.3.0", "environment": environment} | more


def test_ci_requests_and_starts_in_development_and_staging(world: Any, call: Callable[..., Any]) -> None:
    release = world.planned()
    world.evidence("1.3.0")
    with world.acting_as("manager"):
        from releases.operations.release.prepare import lock_scope

        lock_scope(release.pk)
    for environment in ("development", "staging"):
        made = call("post", "/deployments", asked(environment, reason="merged"))
        assert (made.status_code, made.json()["state"]) == (200, "requested")
        started = call("post", f"/deployments/{made.json()['id']}/start", {})
        if environment == "staging":
            assert started.status_code == 409 and "Development" in started.json()["detail"], "not before the one before"
            world.verified_deployment(release, "development")
            started = call("post", f"/deployments/{made.json()['id']}/start", {})
        assert (started.status_code, started.json()["state"]) == (200, "scheduled"), started.json()
        assert started.json()["scheduled_by"] == "Ci"
        walk(Deployment.objects.get(pk=made.json()["id"]), "cancel")


def test_a_call_that_lost_the_database_midway_does_not_say_that_it_changed_nothing(
    world: Any, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(deployment_id: int, *, reason: str) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    from releases.operations.release.prepare import lock_scope

    release = world.planned()
    world.evidence("1.3.0")
    with world.acting_as("manager"):
        lock_scope(release.pk)
    monkeypatch.setattr("releases.api.ci.schedule", lost)
    answer = call("post", "/ci/deployments", asked("development"))
    assert answer.status_code == 503 and Deployment.objects.filter(state="requested").exists()
    assert "Check whether the request took effect" in answer.json()["detail"]


def test_ci_starts_only_approved_deployments_to_production(world: Any, call: Callable[..., Any]) -> None:
    release, _request = world.submitted()
    assert call("post", "/deployments", asked("production")).status_code in (403, 409)
    walk(release, "mark_approved", "complete_final_check")
    assert call("post", "/deployments", asked("production")).status_code == 403, "asking for it is a person's"
    with world.acting_as("operator"):
        from releases.operations.deployment.request import request

        deployment = request(release.pk, environment_id=world.environments["production"].pk)
    refused = call("post", f"/deployments/{deployment.pk}/start", {})
    assert refused.status_code == 409 and "The release has no valid approval" in refused.json()["detail"]
    assert world.fresh(deployment).state == "requested"


def test_ci_starts_an_approved_deployment_to_production(world: Any, call: Callable[..., Any]) -> None:
    release, _request = world.final_checked()
    with world.acting_as("operator"):
        from releases.operations.deployment.request import request

        deployment = request(release.pk, environment_id=world.environments["production"].pk)
    started = call("post", f"/deployments/{deployment.pk}/start", {"reason": "the hour has come"})
    assert (started.status_code, started.json()["state"]) == (200, "scheduled")
    for verb, body in (("cancel", {"reason": "r"}), ("stop", {"reason": "r"})):
        assert call("post", f"/deployments/{deployment.pk}/{verb}", body).status_code == 403, "CI starts, and no more"
    for verb in ("verify", "fail", "resolve"):
        refused = call("post", f"/deployments/{deployment.pk}/{verb}", {"reason": "r"})
        assert refused.json()["type"] == "about:blank#signature_required", verb


def test_a_scheduled_start_keeps_its_zone(world: Any, call: Callable[..., Any]) -> None:
    world.planned()
    world.evidence("1.3.0")
    deployment = call("post", "/deployments", asked("development")).json()["id"]
    path = f"/deployments/{deployment}/schedule"
    assert call("post", path, {"at": "2027-01-20T01:00:00"}).status_code == 422, "a time without a zone is none"
    past = call("post", path, {"at": "2001-01-20T01:00:00+09:00"})
    assert past.status_code == 422 and "past" in past.json()["detail"]
    assert call("post", path, {}).status_code == 422


@pytest.fixture
def logged(world: Any) -> Any:
    """A deployment in development with a step that has output and a check that was measured."""
    deployment = world.verified_deployment(world.planned(), "development")
    fields = {"deployment": deployment, "label_ja": "確認", "label_en": "Check", "parameters": {}}
    step = make(Step, phase="deployment", ordinal=1, step_type="command", failure="secret place", **fields)
    alter(step, started_at=deployment.created_at)
    check = make(Step, phase="verification", ordinal=2, step_type="http", **fields)
    alter(check, result={"result": "passed", "value": "200", "limit": "200"})
    make(StepOutput, step=step, fencing_token=1, text="one\n")
    make(StepOutput, step=step, fencing_token=1, text="two\n")
    return deployment


def test_a_deployment_shows_steps_checks_and_to_permitted_readers_its_log(
    world: Any, logged: Any, managing: str
) -> None:
    ci = ask("get", f"/deployments/{logged.pk}", token=token_for(world, world.people["ci"])).json()
    assert [step["step_type"] for step in ci["steps"]] == ["command", "http"]
    assert ci["checks"][0] | {"label": ""} == {
        "ordinal": 2,
        "label": "",
        "state": "pending",
        "result": "passed",
        "value": "200",
        "limit": "200",
    }
    assert ci["log"] is None and ci["steps"][0]["failure"] is None, "reading the log is a right of its own"
    full = ask("get", f"/deployments/{logged.pk}", token=managing).json()
    assert full["log"] == "one\ntwo\n" and full["steps"][0]["failure"] == "secret place"


def test_deployments_are_listed_in_the_readable_environments(world: Any, call: Callable[..., Any]) -> None:
    release = world.planned()
    deployments = {name: world.verified_deployment(release, name) for name in ("development", "staging")}
    assert [row["id"] for row in call("get", "/deployments").json()["items"]] == [
        deployments["staging"].pk,
        deployments["development"].pk,
    ]
    narrow = token_for(world, world.people["ci"], "staging")
    assert [row["environment"] for row in ask("get", "/deployments", token=narrow).json()["items"]] == ["staging"]
    assert ask("get", "/deployments?environment=development", token=narrow).status_code == 403
    assert ask("get", f"/deployments/{deployments['development'].pk}", token=narrow).status_code == 403
    found = call("get", f"/deployments?environment=development&state=succeeded&release={release.pk}").json()["items"]
    assert [row["id"] for row in found] == [deployments["development"].pk]


def test_windows_are_listed_with_the_reason_and_the_next_ones(world: Any, call: Callable[..., Any]) -> None:
    answer = call("get", "/windows?application=datasets&environment=production").json()
    assert answer["open"] and answer["zone"] == "Asia/Tokyo", "the world has an extra window around now"
    assert len(answer["next"]) == 24
    starts = [row["starts_at"] for row in answer["next"]]
    assert starts == sorted(set(starts)) and all(row["ends_at"] > row["starts_at"] for row in answer["next"])
    from audit.clock import now
    from environments.models import ChangeWindow

    for row in ChangeWindow.objects.all():
        alter(row, cancelled_at=now())
    closed = call("get", "/windows?application=datasets&environment=production").json()
    assert not closed["open"] and closed["reason"] and closed["next"] == []


def test_an_environment_without_windows_is_open_until_a_freeze_or_rule_is_set(
    world: Any, call: Callable[..., Any]
) -> None:
    from datetime import time, timedelta

    from audit.clock import now
    from environments.operations.freeze.lift import lift
    from environments.operations.window.create_freeze import freeze
    from releases.operations.window.set_rule import set_rule

    path, pk = "/windows?application=datasets&environment=staging", world.environments["staging"].pk
    answer = call("get", path).json()
    assert answer["open"] and answer["reason"] == "No window is needed here."
    ends = now() + timedelta(hours=1)
    with world.acting_as("manager"):
        row = freeze(pk, name="quiet", starts_at=now() - timedelta(minutes=1), ends_at=ends, reason="audit")
    answer = call("get", path).json()
    assert not answer["open"] and "quiet" in answer["reason"]
    with world.acting_as("manager"):
        lift(row.pk, reason="over early")
        set_rule(
            pk, name="nights", rrule="FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=1", start=time(1), length_minutes=9, reason="x"
        )
    answer = call("get", path).json()
    assert not answer["open"] and answer["next"]


def test_the_account_endpoint_lists_its_rights_and_reasons(world: Any, call: Callable[..., Any]) -> None:
    start = call("get", "/permissions?permission=start&environment=production").json()
    assert start["allowed"] and start["levels"] == ["ci_after_approval"] and start["roles"] == ["ci"]
    request = call("get", "/permissions?permission=request&environment=production").json()
    assert not request["allowed"] and "Deployment after approval" in request["reason"]
    narrow = token_for(world, world.people["ci"], "staging")
    beyond = ask("get", "/permissions?permission=start&environment=production", token=narrow).json()
    assert (
        not beyond["allowed"]
        and "This token does not cover" in beyond["reason"]
        and beyond["token_environments"] == ["staging"]
    )
    assert call("get", "/permissions?permission=upload_evidence").json()["allowed"]
    assert call("get", "/permissions?permission=fly").status_code == 422
