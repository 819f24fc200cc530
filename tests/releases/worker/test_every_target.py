"""A deployment to several targets and its rollback end well only where every target was measured."""

from __future__ import annotations

import pytest

from audit.actor import acting
from audit.refusals import GateNotPassed
from releases.models import Deployment, Rollback
from releases.operations.deployment.verify import verify
from releases.operations.rollback import decide as rollbacks
from releases.operations.rollback.start import start_rollback
from releases.operations.step import resume
from releases.queries.step_plan import manual_checks
from tests.releases.gates.asking import alter, walk

from .conftest import TRUE, WORKER, row
from .several import MARK, Site, below as below, production as production, run, step_on

OTHER = (
    'test "${RINGI_TARGET_ROOT##*/}" != c || { mkdir -p "$RINGI_TARGET_ROOT/releases/x"; '
    'echo other > "$RINGI_TARGET_ROOT/releases/x/f"; ln -sfn releases/x "$RINGI_TARGET_ROOT/current"; }'
)
CHANGE = row(["/bin/sh", "-c", OTHER])
ONCE = row(TRUE) | {"on": "first"}
CODE = {**row(TRUE), "step_type": "configuration_update", "parameters": {"direction": "deployment"}}
BACK = {**CODE, "parameters": {"direction": "rollback"}}


def _verified(site: Site, deployment: Deployment) -> Deployment:
    confirmed = tuple(check.key for check in manual_checks(deployment.content, "deployment"))
    with site.world.acting_as("second_operator"):
        return verify(deployment.pk, confirmed=confirmed)


@pytest.mark.parametrize("name", ["main", "b"])
def test_a_target_whose_last_check_was_skipped_was_not_measured(production: Site, name: str) -> None:
    check = row(["/bin/sh", "-c", 'test ! -e "$RINGI_TARGET_ROOT/broken"'], required=False)
    production.broken(name)
    deployment = run(production.approved(row(TRUE), phases={"verification": [check]}))
    assert deployment.state == "awaiting_decision"
    with production.world.acting_as("second_operator"):
        resume.skip(step_on(deployment, name, "verification").pk, reason="it is slow today")
    deployment = run(deployment)
    assert deployment.state == "verifying"
    with pytest.raises(GateNotPassed, match=f"Not measured after the last check: {name}"):
        _verified(production, deployment)


def test_a_target_without_a_check_of_its_own_is_measured_and_compared(below: Site) -> None:
    deployment = run(below.queued(CODE, phases={"verification": [ONCE]}))
    assert deployment.state == "succeeded"
    assert set(deployment.measured["verification"]["targets"]) == {"main", "b", "c"}


def test_a_target_without_a_check_of_its_own_and_with_other_code_is_no_success(below: Site) -> None:
    deployment = run(below.queued(CODE, CHANGE, phases={"verification": [ONCE]}))
    assert deployment.state == "failed"
    assert "differ" in step_on(deployment, "main", "verification").failure


def _rolled_back(site: Site, deployment: Deployment) -> tuple[Deployment, Rollback]:
    with site.world.acting_as("second_operator"):
        alarm = rollbacks.raise_(deployment.pk, cause=deployment.content.rollback.reasons[0].key, note="it is wrong")
    walk(alter(alarm, facts={**alarm.facts, "rows_total": 0}), "assess", "authorise")
    with acting(WORKER):
        start_rollback(alarm.pk)
    return run(deployment), Rollback.objects.get(pk=alarm.pk)


def test_a_rollback_of_one_target_leaves_the_others_and_is_not_complete(production: Site) -> None:
    phases = {"rollback": [BACK | {"on": "first"}]}
    deployment, alarm = _rolled_back(production, run(production.approved(CODE, row(MARK), phases=phases)))
    assert (deployment.state, alarm.state) == ("rollback_failed", "failed")
    failure = step_on(deployment, "main", "rollback").failure
    assert "differ" in failure and '"other": "b", "parts": "configuration"' in failure
