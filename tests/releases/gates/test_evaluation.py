"""All gates together: every type has an evaluator, unknown never passes, all reasons are named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from audit.refusals import GateNotPassed
from releases.gates.base import Answer
from releases.gates.evaluation import GATES, blockers, evaluate, require
from releases.models import Procedure


def test_every_gate_of_the_procedure_is_evaluated(world: Any) -> None:
    release = world.planned()
    content = Procedure.objects.get(state="in_effect").document
    for slug, environment in world.environments.items():
        found = evaluate(release, environment)
        assert [a.gate for a in found] == [gate.key for gate in content.gates_for(environment)], slug
        assert all(isinstance(a, Answer) and (a.result == "passed" or a.reason) for a in found), slug
    optional = {"rollback_rehearsal", "attestation"}
    assert {gate.type for gate in content.gates} == {gate.name for gate in GATES} - optional


def test_unknown_never_passes(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even when it is the only one that is not passed."""
    from releases.gates import evaluation

    release, where = world.planned(), world.environments["development"]
    results = {"passed": 0, "unknown": 1, "not_passed": 1}
    for result, closed in results.items():
        answer = (lambda said: lambda context, gate: Answer(gate.key, said, "why", "", "", "", gate.type))(result)
        monkeypatch.setattr(evaluation, "GATES", tuple(replace(gate, ask=answer) for gate in GATES))
        assert bool(blockers(release, where)) == bool(closed), result
        if closed:
            with pytest.raises(GateNotPassed):
                require(release, where)
        else:
            require(release, where)


def test_a_gate_type_without_evaluator_does_not_pass(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 22: a gate without an evaluator is not passed."""
    from releases.gates import evaluation

    release = world.planned()
    monkeypatch.setattr(evaluation, "GATES", GATES[1:])
    with pytest.raises(KeyError):
        require(release, world.environments["production"])


def test_every_failed_gate_is_named_at_once(world: Any) -> None:
    release = world.planned()
    with pytest.raises(GateNotPassed) as closed:
        require(release, world.environments["production"])
    assert len(closed.value.reasons) == len(blockers(release, world.environments["production"])) >= 10


def test_lower_tiers_ask_for_less(world: Any) -> None:
    release = world.planned()
    asked = {slug: {a.gate for a in evaluate(release, row)} for slug, row in world.environments.items()}
    assert asked["development"] == {"tests", "branch", "branch_protection"}
    assert asked["staging"] == {"review", "tests", "branch", "branch_protection", "promotion"}
    assert asked["production"] > asked["staging"]
