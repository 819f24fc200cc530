"""All gates together: every kind has an answerer, unknown never passes, all reasons are named."""

from __future__ import annotations

from typing import Any

import pytest

from audit.refusals import GateClosed
from releases.gates.ask import GATES, answers, blockers, require
from releases.gates.base import Answer
from releases.models import Procedure


def test_every_gate_of_the_procedure_is_answered(world: Any) -> None:
    release = world.planned()
    content = Procedure.objects.get(state="in_effect").document
    for slug, environment in world.environments.items():
        found = answers(release, environment)
        assert [a.gate for a in found] == [gate.key for gate in content.gates_for(environment.tier)], slug
        assert all(isinstance(a, Answer) and (a.verdict == "pass" or a.reason) for a in found), slug
    assert {gate.kind for gate in content.gates} == {name for name, _ask in GATES} - {"rehearsal"}  # for who wants it


def test_unknown_never_passes(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even when it is the only one that is not passed."""
    from releases.gates import ask

    release, where = world.planned(), world.environments["development"]
    verdicts = {"pass": 0, "unknown": 1, "fail": 1}
    for verdict, closed in verdicts.items():
        answer = (lambda said: lambda question, gate: Answer(gate.key, said, "why", "", "", "", gate.kind))(verdict)
        monkeypatch.setattr(ask, "GATES", tuple((name, answer) for name, _ask in GATES))
        assert bool(blockers(release, where)) == bool(closed), verdict
        if closed:
            with pytest.raises(GateClosed):
                require(release, where)
        else:
            require(release, where)


def test_a_kind_without_answerer_lets_nothing_pass(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 22: what nobody answers does not fall through to allowed."""
    from releases.gates import ask

    release = world.planned()
    monkeypatch.setattr(ask, "GATES", GATES[1:])
    with pytest.raises(KeyError):
        require(release, world.environments["production"])


def test_every_closed_gate_is_named_at_once(world: Any) -> None:
    release = world.planned()
    with pytest.raises(GateClosed) as closed:
        require(release, world.environments["production"])
    assert len(closed.value.reasons) == len(blockers(release, world.environments["production"])) >= 10


def test_lower_tiers_ask_for_less(world: Any) -> None:
    release = world.planned()
    asked = {slug: {a.gate for a in answers(release, row)} for slug, row in world.environments.items()}
    assert asked["development"] == {"tests", "branch", "protection"}
    assert asked["staging"] == {"review", "tests", "branch", "protection", "promotion"}
    assert asked["production"] > asked["staging"]
