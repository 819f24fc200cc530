"""A pipeline that deploys by itself waits for its turn, reports, and is taken at its word by no check."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from audit.actor import acting
from audit.clock import now
from audit.models import Event
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from releases.models import Deployment, EmergencyStop, Step
from releases.operations.deployment import decide
from releases.operations.deployment.enqueue import enqueue
from releases.operations.step import resume
from releases.operations.step.report import key_of, report
from releases.reporting import approval_statement
from releases.reporting.evidence_pack.pack import signer
from releases.worker.executor import run_from
from tests.releases.api.conftest import ask, token_for
from tests.releases.gates.asking import alter, make

from .conftest import TRUE, WORKER, expire, first, row, states


def external(**parameters: Any) -> dict[str, Any]:
    return {**row(TRUE), "step_type": "external", "parameters": {"task": "Deploy by the portal", **parameters}}


@pytest.fixture
def waiting(approved_deployment: Callable[..., Deployment]) -> Deployment:
    """A production deployment whose second step waits for the report of CI."""
    deployment = approved_deployment(row(TRUE), external(account="ci", minutes=30), row(TRUE))
    with acting(WORKER):
        enqueue(deployment.pk)
        run_from(first(deployment).pk)  # returns: no worker is held
    return deployment


def second(deployment: Deployment) -> Step:
    return deployment.steps.get(ordinal=2)


def test_the_pipeline_is_told_when_it_may_deploy_and_its_report_lets_the_deployment_go_on(
    world: Any, waiting: Deployment
) -> None:
    assert states(waiting)[:3] == ["succeeded", "running", "pending"] and not second(waiting).owner
    token = token_for(world, world.people["ci"])
    shown = ask("get", f"/ci/deployments/{waiting.pk}", token=token).json()["waits_for"]
    assert (shown["ordinal"], shown["task"], shown["version"]) == (2, "Deploy by the portal", "1.3.0")
    body = {"key": shown["key"], "result": "succeeded", "url": "https://ci.example.org/run/7", "says": "ok"}
    answer = ask("post", f"/ci/deployments/{waiting.pk}/report", body, token=token)
    assert answer.status_code == 200 and answer.json()["waits_for"] is None
    again = ask("post", f"/ci/deployments/{waiting.pk}/report", body, token=token)
    assert again.status_code == 200, "the same report again changes nothing"
    with acting(WORKER):
        assert (second(waiting).lease_until or now()) <= now(), "any worker may go on"
        run_from(second(waiting).pk)
    assert second(waiting).result == {"by": "ci", "url": "https://ci.example.org/run/7", "says": "ok"}
    assert states(waiting) == ["succeeded"] * 4 and world.fresh(waiting).state == "verifying"
    assert Event.objects.filter(kind="operation", operation="step:report").count() == 1


def test_a_reported_failure_fails_the_step_and_a_retry_waits_for_another_report(
    world: Any, waiting: Deployment
) -> None:
    with world.acting_as("ci"):
        report(waiting.pk, key=key_of(second(waiting)), result="failed", says="image not found")
        with pytest.raises(NotPossible, match="waits for a report"):
            report(waiting.pk, key=key_of(second(waiting)), result="succeeded")
    with acting(WORKER):
        run_from(second(waiting).pk)
    assert second(waiting).state == "failed" and "image not found" in second(waiting).failure
    assert world.fresh(waiting).state == "awaiting_decision"
    with world.acting_as("second_operator"):
        resume.retry(second(waiting).pk, reason="it is built now")
    with acting(WORKER):
        run_from(second(waiting).pk)
    assert second(waiting).state == "running" and second(waiting).reported == {}
    with world.acting_as("ci"):
        report(waiting.pk, key=key_of(second(waiting)), result="succeeded")
    with acting(WORKER):
        run_from(second(waiting).pk)
    assert world.fresh(waiting).state == "verifying"


def test_a_report_counts_for_the_step_and_attempt_that_it_names(
    world: Any, approved_deployment: Callable[..., Deployment]
) -> None:
    """The same call again, and one that comes too late, are no report of the step that waits by then."""
    deployment = approved_deployment(external(account="ci"), external(account="ci"))
    token, body = token_for(world, world.people["ci"]), {"result": "succeeded"}
    path = f"/ci/deployments/{deployment.pk}"

    def wait_for(ordinal: int) -> dict[str, str]:
        with acting(WORKER):
            run_from(deployment.steps.get(ordinal=ordinal).pk)
        return {"key": ask("get", path, token=token).json()["waits_for"]["key"]}

    with acting(WORKER):
        enqueue(deployment.pk)
    one = wait_for(1)
    assert ask("post", f"{path}/report", body | one, token=token).status_code == 200
    two = wait_for(1)
    again = ask("post", f"{path}/report", body | one, token=token)
    assert again.status_code == 409 and second(deployment).reported == {}, "the second pipeline has not run"
    expire(alter(second(deployment), started_at=now() - timedelta(days=2)))
    with acting(WORKER):
        run_from(second(deployment).pk)
    with world.acting_as("second_operator"):
        resume.retry(second(deployment).pk, reason="once more")
    three = wait_for(2)
    late = ask("post", f"{path}/report", body | two, token=token)
    assert late.status_code == 409 and second(deployment).reported == {}, "the report of the attempt before"
    assert ask("post", f"{path}/report", body | three, token=token).status_code == 200


def test_without_a_report_in_time_a_person_decides(world: Any, waiting: Deployment, monkeypatch: Any) -> None:
    assert second(waiting).started_at is not None
    long_ago = second(waiting).started_at.replace(year=2025)
    alter(second(waiting), started_at=long_ago)
    expire(second(waiting))
    with acting(WORKER):
        run_from(second(waiting).pk)
    assert (
        second(waiting).state == "outcome_unknown" and "No pipeline has reported within 30" in second(waiting).failure
    )
    with world.acting_as("ci"), pytest.raises(NotPossible):
        report(waiting.pk, key=key_of(second(waiting)), result="succeeded")


def test_only_the_named_service_account_reports(world: Any, waiting: Deployment) -> None:
    for name in ("operator", "second_operator", "administrator"):
        with world.acting_as(name), pytest.raises(NotPermitted):
            report(waiting.pk, key=key_of(second(waiting)), result="succeeded")
    with world.acting_as("ci"):
        with pytest.raises(InvalidInput):
            report(waiting.pk, key=key_of(second(waiting)), result="fine")
        with pytest.raises(InvalidInput):
            report(waiting.pk, key=key_of(second(waiting)), result="succeeded", says="x" * 501)
    assert second(waiting).reported == {}
    assert Client().post(f"/api/v1/ci/deployments/{waiting.pk}/report").status_code == 401


def test_a_stop_ends_the_waiting(world: Any, waiting: Deployment) -> None:
    with world.acting_as("operator"):
        decide.stop(waiting.pk, reason="not tonight")
    assert (world.fresh(waiting).state, second(waiting).state) == ("stopped", "stopped")
    with world.acting_as("ci"), pytest.raises(NotPossible):
        report(waiting.pk, key=key_of(second(waiting)), result="succeeded")


def _verify(folder: Path, approval: Any, **asked: str) -> tuple[int, str]:
    """Let the offline verifier read an approval with the key of the statements."""
    (folder / "approval.json").write_bytes(approval)
    words = {"key": base64.b64encode(signer().public).decode(), "application": "datasets", "environment": "production"}
    line = [word for name, value in (words | asked).items() for word in (f"--{name}", value)]
    script = [sys.executable, "-I", "audit/offline/ringi_verify_approval.py", str(folder / "approval.json")]
    done = subprocess.run([*script, *line], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_job_verifies_the_approval_offline(world: Any, waiting: Deployment, tmp_path: Path) -> None:
    token, commit = token_for(world, world.people["ci"]), waiting.release.commit
    answer = ask("get", f"/ci/deployments/{waiting.pk}/approval", token=token)
    assert answer.status_code == 200
    assert _verify(tmp_path, answer.content, commit=commit) == (
        0,
        f"DEPLOY: datasets 1.3.0 to production, deployment {waiting.pk}\n",
    )
    for asked, said in (
        ({"commit": "0" * 40}, "another commit"),
        ({"commit": commit, "environment": "staging"}, "another environment"),
        ({"commit": commit, "application": "portal"}, "another application"),
        ({"digest": "0" * 64}, "another artefact"),
        ({"commit": commit, "key": base64.b64encode(bytes(31) + b"\x01").decode()}, "DO NOT DEPLOY"),
    ):
        assert said in (found := _verify(tmp_path, answer.content, **asked))[1] and found[0] == 1, found
    envelope = answer.json()
    body = json.loads(base64.b64decode(envelope["payload"]))
    body["predicate"]["environment"] = "staging"
    forged = envelope | {"payload": base64.b64encode(json.dumps(body).encode()).decode()}
    assert _verify(tmp_path, json.dumps(forged).encode(), commit=commit)[1].startswith("DO NOT DEPLOY: the signature")
    assert _verify(tmp_path, b"[]", commit=commit)[0] == 2
    issued, expires = (datetime.fromisoformat(body["predicate"][name]) for name in ("issuedAt", "expiresAt"))
    assert expires - issued == timedelta(minutes=15)


def test_an_approval_ends_with_its_time(world: Any, waiting: Deployment, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(approval_statement, "now", lambda: now() - timedelta(minutes=16))
    old = approval_statement.approval_statement(world.fresh(waiting), world.people["ci"])
    assert _verify(tmp_path, old, commit=waiting.release.commit)[1].startswith("DO NOT DEPLOY: the approval holds from")


def test_only_the_pipeline_that_is_waited_for_gets_an_approval(world: Any, waiting: Deployment) -> None:
    path, token = f"/ci/deployments/{waiting.pk}/approval", token_for(world, world.people["ci"])
    alter(second(waiting), parameters={**second(waiting).parameters, "account": "other"})
    assert ask("get", path, token=token).status_code == 403
    alter(second(waiting), parameters={**second(waiting).parameters, "account": "ci"})
    with world.acting_as("ci"):
        report(waiting.pk, key=key_of(second(waiting)), result="succeeded")
    refused = ask("get", path, token=token)
    assert refused.status_code == 409 and "waits for a report" in refused.json()["detail"]
    assert Client().get(f"/api/v1{path}").status_code == 401


@pytest.mark.parametrize("pauses", [True, False])
def test_no_approval_is_stated_during_an_emergency_stop(world: Any, waiting: Deployment, pauses: bool) -> None:
    """Neither while it pauses the deployment, nor before the deployment has been ended by it."""
    path, token = f"/ci/deployments/{waiting.pk}/approval", token_for(world, world.people["ci"])
    make(EmergencyStop, pauses=pauses, activated_by=world.people["manager"], activated_at=now(), reason="x")
    refused = ask("get", path, token=token)
    assert refused.status_code == 409 and "All production has been" in refused.json()["detail"]
    alter(waiting, previous={**waiting.previous, "deployed_version": {"version": "1.2.0", "commit": "c" * 40}})
    alter(second(waiting), phase="rollback")
    assert ask("get", path, token=token).status_code == 200, "a rollback goes on"


def test_in_a_rollback_the_approval_is_for_the_earlier_commit(world: Any, waiting: Deployment, tmp_path: Path) -> None:
    earlier = {"version": "1.2.0", "commit": "c" * 40}
    alter(waiting, previous={**waiting.previous, "deployed_version": earlier})
    alter(second(waiting), phase="rollback")
    path, token = f"/ci/deployments/{waiting.pk}/approval", token_for(world, world.people["ci"])
    answer = ask("get", path, token=token)
    assert _verify(tmp_path, answer.content, commit="c" * 40)[0] == 0
    assert _verify(tmp_path, answer.content, commit=waiting.release.commit)[0] == 1
    alter(waiting, previous={**waiting.previous, "deployed_version": {}})
    assert "no version to deploy" in ask("get", path, token=token).json()["detail"]


def test_in_a_rollback_the_pipeline_is_told_the_earlier_version(world: Any, waiting: Deployment) -> None:
    alter(waiting, previous={**waiting.previous, "deployed_version": {"version": "1.2.0"}})
    alter(second(waiting), phase="rollback")
    shown = ask("get", f"/ci/deployments/{waiting.pk}", token=token_for(world, world.people["ci"])).json()["waits_for"]
    assert shown["version"] == "1.2.0"
