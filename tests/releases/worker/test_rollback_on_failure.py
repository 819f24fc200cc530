"""A rollback pre-authorised for a failed deployment starts when a step or a check has failed, and only then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import translation

from audit.actor import acting
from audit.models import Event
from audit.refusals import NotPossible
from releases.gates.content import document
from releases.jobs import prepare_rollback
from releases.models import DecisionRequest, Deployment, Rollback
from releases.models.release import preauthorisation_words
from releases.operations.deployment.enqueue import enqueue
from releases.operations.rollback import decide as rollbacks
from releases.operations.step import resume
from releases.queries.rollback_causes import cause_of, raiser_of, seen_of
from releases.worker.executor import run_from
from tests.releases.gates.asking import alter

from .conftest import TRUE, WORKER, first, jobs, row, states
from .test_three_attempts import die

AGREED = {"on": True, "rows": 10, "on_failure": True}


@pytest.fixture
def failing(world: Any, approved_deployment: Callable[..., Deployment]) -> Callable[..., Deployment]:
    """Return a function: a deployment to production with this plan and pre-authorisation, worked on until it stops."""

    def make(*forward: dict[str, Any], agreed: dict[str, Any] = AGREED, **options: Any) -> Deployment:
        deployment = approved_deployment(*forward, **options)
        alter(
            deployment.approval_request,
            document={**deployment.approval_request.document, "rollback_pre_authorised": agreed},
        )
        with acting(WORKER):
            enqueue(deployment.pk)
            run_from(first(deployment).pk)
        return world.fresh(deployment)

    return make


def test_the_rollback_starts_after_a_failed_step(world: Any, failing: Callable[..., Deployment]) -> None:
    deployment = failing(row(["/bin/false"]))
    alarm = Rollback.objects.get(deployment=deployment)
    assert ("releases.jobs.prepare_rollback", {"rollback_id": alarm.pk}) in jobs("production")
    assert (alarm.cause, alarm.critical, alarm.raised_by) == ("failed_step", True, None)
    prepare_rollback(alarm.pk)
    assert (world.fresh(deployment).state, world.fresh(alarm).state) == ("rolled_back", "reporting")
    assert states(deployment) == ["failed", "cancelled", "succeeded", "succeeded"]
    assert DecisionRequest.objects.get(deployment=deployment).answer == "rollback:start"
    assert Event.objects.filter(kind="operation", operation="rollback:apply_pre_authorisation").count() == 1


def test_the_rollback_starts_after_a_failed_verification(world: Any, failing: Callable[..., Deployment]) -> None:
    deployment = failing(row(TRUE), verify=(row(["/bin/false"]),))
    alarm = Rollback.objects.get(deployment=deployment)
    assert alarm.cause == "failed_check"
    prepare_rollback(alarm.pk)
    assert world.fresh(deployment).state == "rolled_back"


def test_the_rollback_names_the_failure(world: Any, failing: Callable[..., Deployment]) -> None:
    alarm = Rollback.objects.get(deployment=failing(row(["/bin/false"])))
    assert cause_of(alarm) == "A step of the deployment failed"
    assert (seen_of(alarm), raiser_of(alarm)) == ("This step failed: Command", "the failure of a step")
    with translation.override("ja"):
        assert seen_of(alarm) == "失敗したステップ：命令"


@pytest.mark.parametrize("agreed", [{"on": True, "rows": 10}, AGREED | {"on_failure": False}, AGREED | {"on": False}])
def test_a_failure_without_the_approval_asks(
    world: Any, failing: Callable[..., Deployment], agreed: dict[str, Any]
) -> None:
    deployment = failing(row(["/bin/false"]), agreed=agreed)
    assert deployment.state == "awaiting_decision" and not Rollback.objects.exists()
    assert DecisionRequest.objects.get(deployment=deployment).answered_at is None


def test_a_step_that_may_be_skipped_asks(world: Any, failing: Callable[..., Deployment]) -> None:
    assert failing(row(["/bin/false"], required=False)).state == "awaiting_decision"
    assert not Rollback.objects.exists()


def test_an_unknown_outcome_asks(world: Any, approved_deployment: Callable[..., Deployment]) -> None:
    deployment = approved_deployment(row(TRUE))
    alter(
        deployment.approval_request,
        document={**deployment.approval_request.document, "rollback_pre_authorised": AGREED},
    )
    with acting(WORKER):
        enqueue(deployment.pk)
        die(first(deployment), 3)
        run_from(first(deployment).pk)
    assert (world.fresh(deployment).state, states(deployment)[0]) == ("awaiting_decision", "outcome_unknown")
    assert not Rollback.objects.exists()


def test_more_lost_rows_than_approved_ask(world: Any, failing: Callable[..., Deployment]) -> None:
    deployment = failing(row(["/bin/false"]))
    alarm = Rollback.objects.get(deployment=deployment)
    with acting(WORKER):
        assert not rollbacks.pre_authorise(alarm.pk, rows={"dataset": 11})
        assert not rollbacks.pre_authorise(alarm.pk, rows={}, fault="the dump of this deployment is missing")
    assert (world.fresh(alarm).state, world.fresh(deployment).state) == ("raised", "awaiting_decision")
    assert DecisionRequest.objects.get(deployment=deployment).answered_at is None


def test_a_decision_to_continue_ends_the_alarm(world: Any, failing: Callable[..., Deployment]) -> None:
    deployment = failing(row(["/bin/false"]))
    alarm = Rollback.objects.get(deployment=deployment)
    with world.acting_as("second_operator"):
        resume.retry(first(deployment).pk, reason="repaired")
    assert (world.fresh(alarm).state, world.fresh(deployment).state) == ("dismissed", "running")
    prepare_rollback(alarm.pk)
    assert world.fresh(deployment).state == "running"


def test_an_authorised_rollback_prevents_continuing(world: Any, failing: Callable[..., Deployment]) -> None:
    deployment = failing(row(["/bin/false"]))
    with acting(WORKER):
        assert rollbacks.pre_authorise(Rollback.objects.get(deployment=deployment).pk, rows={})
    with world.acting_as("second_operator"), pytest.raises(NotPossible, match="about to start"):
        resume.retry(first(deployment).pk, reason="repaired")


def test_an_emergency_stop_does_not_prevent_the_rollback(world: Any, failing: Callable[..., Deployment]) -> None:
    from releases.operations.emergency_stop.activate import activate

    deployment = failing(row(["/bin/false"]))
    with world.acting_as("operator"):
        activate(reason="something is wrong")
    prepare_rollback(Rollback.objects.get(deployment=deployment).pk)
    assert world.fresh(deployment).state == "rolled_back"


def test_the_pre_authorisation_is_part_of_the_approval_and_shown_in_words(world: Any) -> None:
    release, production = world.planned(), world.environments["production"]
    before = document(release, production)
    release = alter(release, rollback_pre_authorised=True, data_loss_limit=5)
    assert release.preauthorisation_words == "yes, up to 5 rows: after a critical alarm"
    release = alter(release, rollback_on_failure=True)
    after = document(release, production)
    assert (
        after["rollback_pre_authorised"]
        == {"on": True, "rows": 5, "on_failure": True}
        != before["rollback_pre_authorised"]
    )
    said = preauthorisation_words(after["rollback_pre_authorised"])
    assert said.endswith("and when a required step or check of the production deployment fails")
