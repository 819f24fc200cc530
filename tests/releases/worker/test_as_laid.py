"""A verification ends with a look at code and configuration: they are what the deployment's own steps laid there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from environments.targets.base import StepFailed
from releases.models import Deployment
from releases.worker.as_laid import demand_as_laid
from tests.releases.gates.asking import alter

from .conftest import TRUE, row, states
from .test_still_serving import work

CODE = {**row(["x"]), "step_type": "code_deploy", "parameters": {}}
CONFIGURATION = {**row(["x"]), "step_type": "configuration_update", "parameters": {}}


def changes(path: Path) -> dict[str, Any]:
    """Return a step that adds a line to a file, as a hot fix on the host would."""
    return row([sys.executable, "-c", f"open({str(path)!r}, 'a').write('# later')"])


@pytest.mark.parametrize("during", ["deployment", "verification"])
@pytest.mark.parametrize("part", ["code", "configuration"])
def test_what_changed_after_it_was_laid_fails_the_verification(
    queued: Callable[..., Deployment], world: Any, part: str, during: str
) -> None:
    root = Path(world.targets["development"].root)
    change = changes(root / "current" / "app.py" if part == "code" else root / "shared" / "config.env")
    own, checks = ((change,), ()) if during == "deployment" else ((), (change,))
    deployment = queued(CODE, CONFIGURATION, *own, verify=(*checks, row(TRUE)))
    work(deployment)
    last = deployment.steps.order_by("ordinal").last()
    assert last.state == "failed", [(step.state, step.failure) for step in deployment.steps.all()]
    number = 1 if part == "code" else 2
    assert last.failure == f"The {part} on {last.target.name} has changed since step {number}."
    assert "verification" not in world.fresh(deployment).measured, "it cannot be verified"


def test_code_and_configuration_that_stay_are_verified(queued: Callable[..., Deployment], world: Any) -> None:
    deployment = queued(CODE, CONFIGURATION, row(TRUE), verify=(row(TRUE),))
    work(deployment)
    assert set(states(deployment)) == {"succeeded"}, [step.failure for step in deployment.steps.all()]
    assert world.fresh(deployment).measured["verification"]["code"]


def test_code_that_is_laid_again_counts_as_laid_last(queued: Callable[..., Deployment], world: Any) -> None:
    """A process may lay twice, or stop a container before it starts one: the last step of each part is compared."""
    root = Path(world.targets["development"].root)
    deployment = queued(CODE, changes(root / "current" / "app.py"), CODE, verify=(row(TRUE),))
    work(deployment)
    assert set(states(deployment)) == {"succeeded"}, [step.failure for step in deployment.steps.all()]
    first, _change, second, last = deployment.steps.order_by("ordinal")
    measured = {last.target.name: world.fresh(deployment).measured["verification"]}
    alter(first, result={"code": "0" * 40})
    demand_as_laid(last, measured)
    alter(second, result={"code": "1" * 40})
    with pytest.raises(StepFailed, match="since step 3"):
        demand_as_laid(last, measured)
