"""An attempt that its target knows and the database does not: after a restore, or a failover that lost the claim."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit.actor import acting
from environments.targets.base import StepFailed
from releases import step_types
from releases.models import Deployment
from releases.worker.context import context_of, facts_of
from releases.worker.executor import run_from
from tests.releases.worker.conftest import TRUE, WORKER, first, row, states
from tests.releases.worker.test_executor import appending


def test_an_effect_that_the_database_forgot_is_not_repeated(
    world: Any, queued: Callable[..., Deployment], tmp_path: Path
) -> None:
    """As after a restore, or a failover that lost the claim: the step is ready, and takes the same fencing token."""
    seen = tmp_path / "seen"
    deployment = queued(row(appending(seen, "once")), row(appending(seen, "next")))
    with acting(WORKER):
        step = first(deployment)
        kind = step_types.by_name(step.step_type)
        forgotten = context_of(step, 1, lambda chunk: None, lambda: None, 60, facts_of(step))
        kind.run(forgotten, kind.parameters(**step.parameters))
        assert seen.read_text().split() == ["once"] and first(deployment).fencing_token == 0
        run_from(step.pk)
    assert seen.read_text().split() == ["once", "next"]
    assert list(first(deployment).attempts.values_list("fencing_token", "outcome", "probe")) == [
        (1, "succeeded", "done")
    ]
    assert world.fresh(deployment).state == "succeeded"


def test_an_uncertain_effect_that_the_database_forgot_awaits_a_person(
    world: Any, queued: Callable[..., Deployment], tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    script = f"open({str(seen)!r}, 'a').write('x'); raise SystemExit(1)"
    deployment = queued(row(["/usr/bin/env", "python3", "-c", script]), row(TRUE))
    with acting(WORKER):
        step = first(deployment)
        kind = step_types.by_name(step.step_type)
        forgotten = context_of(step, 1, lambda chunk: None, lambda: None, 60, facts_of(step))
        with pytest.raises(StepFailed):
            kind.run(forgotten, kind.parameters(**step.parameters))
        run_from(step.pk)
    assert seen.read_text() == "x"
    assert states(deployment)[0] == "outcome_unknown"
