"""The manual step: it names the person, and no worker ever does it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from environments.targets.base import Probe, StepFailed
from releases.step_types import by_name
from tests.releases.step_types.conftest import Target


def test_a_manual_step_is_never_done_by_a_worker(bare_target: Target) -> None:
    known = by_name("manual")
    parameters = known.parameters(task="Switch the load balancer", person="operator")
    said = known.asks(parameters)
    assert "Switch the load balancer" in said and "operator" in said
    assert known.describe(bare_target.context(), parameters) == [said]
    with pytest.raises(StepFailed, match="load balancer"):
        known.run(bare_target.context(), parameters)
    assert known.probe(bare_target.context(), parameters)[0] is Probe.UNKNOWN
    assert not known.repeats(parameters)


@pytest.mark.parametrize(
    "parameters",
    [
        {"task": "x"},
        {"task": "x", "person": "operator", "role": "operator"},
        {"task": "  ", "person": "operator"},
        {"task": "x", "role": ""},
        {"task": "x", "person": ""},
        {"task": "x", "role": "operator", "minutes": 0},
    ],
)
def test_a_manual_step_names_a_task_and_one_person_or_role(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        by_name("manual").parameters(**parameters)
