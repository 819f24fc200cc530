"""Only deployments to production move a release: a concurrent one in staging leaves its state as it is."""

from __future__ import annotations

from typing import Any

import pytest

from audit.actor import acting
from audit.clock import now
from audit.operation import operation
from releases.models import ApprovalRequest, Deployment, FinalCheck, Release, Rollback
from releases.operations.approval.decide import approve
from releases.operations.approval.submit import submit
from releases.operations.deployment.resolve import resolve
from releases.operations.monitoring.end import _close
from releases.operations.release.sign_final_check import sign
from releases.operations.step.outcome import complete
from tests.releases.gates.asking import COMMAND, alter, make, walk
from tests.scenarios.stock import Stock


def started(stock: Stock, *, at: str = "releasing") -> Any:
    """Return a release whose deployment to production is under way."""
    edges = ["submit", "mark_approved", "complete_final_check", "start", "start_monitoring", "complete"]
    reached = ["in_review", "approved", "final_check_completed", "releasing", "monitoring", "completed"]
    return walk(stock.take(), *edges[: reached.index(at) + 1])


def lower(stock: Stock, release: Any, *edges: str, environment: str = "staging") -> Any:
    """Return a deployment to a lower tier, walked along its edges."""
    deployment = make(
        Deployment,
        release=release,
        application=release.application,
        environment=stock.world.environments[environment],
        requested_by=stock.world.people["operator"],
        previous={"wanted_tree": release.tree},
    )
    return walk(deployment, *edges)


@pytest.mark.parametrize("how", ["previous", "planned", "unknown"])
def test_resolving_a_deployment_in_staging_moves_no_release(stock: Stock, how: str) -> None:
    release = started(stock)
    deployment = alter(lower(stock, release, "schedule", "enqueue", "start", "fail"), previous={})  # empty target
    with stock.world.acting_as("second_operator"):
        resolve(deployment.pk, how=how, reason="looked")
    assert Release.objects.get(pk=release.pk).state == "releasing"


@pytest.mark.parametrize("at", ["releasing", "monitoring", "completed"])
def test_a_rollback_in_staging_rolls_back_no_release(stock: Stock, at: str) -> None:
    release = started(stock, at=at)
    deployment = lower(stock, release, "schedule", "enqueue", "start", "fail", "start_rollback")
    alarm = walk(
        make(Rollback, deployment=deployment, cause="major_failure", raised_at=now()), "assess", "authorise", "start"
    )
    same = dict.fromkeys(("code", "configuration", "data"), "")
    targets = ((Rollback, alarm.pk), (Deployment, deployment.pk), (Release, release.pk))
    with acting(COMMAND), operation("test:restored", *targets) as op:
        op.get(Deployment).measured = {"rollback": same}
        complete(op, op.get(Rollback), op.get(Deployment), op.get(Release))
    assert Deployment.objects.get(pk=deployment.pk).state == "rolled_back"
    assert Release.objects.get(pk=release.pk).state == at


def test_a_rollback_after_monitoring_retracts_published_documents(stock: Stock) -> None:
    """The notes of a release that was rolled back do not stay published; a draft of one is unchanged."""
    release = started(stock, at="completed")
    published, draft = release.documents.order_by("pk")[:2]
    walk(published, "publish")
    walk(draft, "revise")
    deployment = lower(
        stock, release, "schedule", "enqueue", "start", "fail", "start_rollback", environment="production"
    )
    alarm = walk(
        make(Rollback, deployment=deployment, cause="major_failure", raised_at=now()), "assess", "authorise", "start"
    )
    targets = ((Rollback, alarm.pk), (Deployment, deployment.pk), (Release, release.pk))
    with acting(COMMAND), operation("test:restored", *targets) as op:
        op.get(Deployment).measured = {"rollback": dict.fromkeys(("code", "configuration", "data"), "")}
        complete(op, op.get(Rollback), op.get(Deployment), op.get(Release))
    assert Release.objects.get(pk=release.pk).state == "rolled_back"
    assert [stock.world.fresh(row).state for row in (published, draft)] == ["retracted", "draft"]


def test_monitoring_in_staging_completes_no_release(stock: Stock) -> None:
    release = started(stock, at="monitoring")
    deployment = lower(stock, release, "schedule", "enqueue", "start", "start_verification", "start_monitoring")
    with acting(COMMAND), operation("test:close", (Deployment, deployment.pk), (Release, release.pk)) as op:
        _close(op, op.get(Deployment), op.get(Release), None)
    assert Release.objects.get(pk=release.pk).state == "monitoring"


def test_a_release_with_a_manually_completed_rollback_has_an_end(stock: Stock) -> None:
    """Resolved as previous after its monitoring had begun: it was rolled back."""
    release = started(stock, at="monitoring")
    deployment = lower(
        stock,
        release,
        "schedule",
        "enqueue",
        "start",
        "start_verification",
        "start_monitoring",
        "start_rollback",
        "fail_rollback",
        environment="production",
    )
    with stock.world.acting_as("second_operator"):
        resolve(deployment.pk, how="previous", reason="restored by hand")
    assert Release.objects.get(pk=release.pk).state == "rolled_back"
    assert not ApprovalRequest.objects.filter(release=release, state__in=["in_review", "approved"]).exists()


def test_a_second_attempt_has_its_own_final_check(stock: Stock) -> None:
    """The final check of the first attempt neither counts for the next one nor blocks it."""
    world, release = stock.world, stock.take()
    for attempt in (1, 2):
        with world.acting_as("manager"):
            approval_request = submit(release.pk)
        for name in ("committee_a", "committee_b"):
            with world.acting_as(name):
                approve(approval_request.pk, digest=approval_request.digest)
        for name in ("manager", "operator"):
            with world.acting_as(name):
                sign(release.pk)
        assert Release.objects.get(pk=release.pk).state == "final_check_completed"
        assert FinalCheck.objects.filter(release=release).count() == 2 * attempt
        walk(ApprovalRequest.objects.get(pk=approval_request.pk), "use")
        walk(Release.objects.get(pk=release.pk), "start", "abort")
