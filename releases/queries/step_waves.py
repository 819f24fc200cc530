"""Steps over several targets: batch after batch, in a batch beside each other, on one target one after the other.

Consecutive steps that run on the same targets form a section. Each batch of a section, and each run of steps that are
made once, is a wave: it begins when the wave before it is over. A deployment to one target has no waves (0).
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from django.utils.translation import gettext_noop

from environments.models import DeploymentTarget
from releases.models import Deployment, Step
from releases.procedures.process import Process, Strategy, with_values
from releases.step_types import ONCE

type Row = Mapping[str, Any]
ROLLED = ("deployment", "rollback")
BACK = ("rollback", "rollback_verification")
BLOCKING = frozenset({"failed", "outcome_unknown", "on_hold"})
PAUSE = {
    "step_type": "wait",
    "label_ja": "次のバッチまでの待機",
    "label_en": gettext_noop("Pause before the next batch"),
    "required": True,
}


class NoSuchTargets(Exception):
    """A step runs on a group that has no target in an environment; the argument is the group."""


@dataclass(frozen=True)
class Laid:
    """One step on one target. wave: its place in the order (0: there is one target only). batch: from 1; 0: once. row:
    the step of the plan, with the values that the variables of the process have on this target.
    """

    phase: str
    wave: int
    batch: int
    target: DeploymentTarget
    row: Row


def place_of(row: Row) -> str:
    """Return where a step of a plan runs: `each` target, the `first` one, or those of a group, by its key."""
    return "first" if row["step_type"] in ONCE else str(row.get("on") or "each")


def lay_out(
    rows: Iterable[tuple[str, Row]],
    targets: Sequence[DeploymentTarget],
    process: Process | None,
    touched: Collection[int] | None = None,
) -> list[Laid]:
    """Return the steps of phases on all targets, in order. Raises NoSuchTargets.

    process: the deployment process, for its strategy and its variables. touched: of a rollback, the targets on which a
    step has begun; only these have steps, the newest batch first.
    """
    strategy = (process.strategy if process is not None else None) or Strategy()
    laid = _laid_out(rows, targets, strategy, touched)
    if process is None or not process.variables:
        return laid
    values = {target.pk: process.values_in(target.environment.slug, target.name, target.group) for target in targets}
    return [
        replace(one, row={**one.row, "parameters": with_values(one.row["parameters"], values[one.target.pk])})
        for one in laid
    ]


def _laid_out(
    rows: Iterable[tuple[str, Row]],
    targets: Sequence[DeploymentTarget],
    strategy: Strategy,
    touched: Collection[int] | None,
) -> list[Laid]:
    if len(targets) == 1:
        return [Laid(phase, 0, 0, targets[0], row) for phase, row in rows]
    found: list[Laid] = []
    wave = 0
    for (phase, place), pairs in groupby(rows, key=lambda one: (one[0], place_of(one[1]))):
        section = [row for _phase, row in pairs]
        if place == "first":
            if touched is not None and targets[0].pk not in touched:
                section = [row for row in section if row["step_type"] in ONCE]
            wave += 1
            found += [Laid(phase, wave, 0, targets[0], row) for row in section]
            continue
        chosen = [target for target in targets if place in ("each", target.group)]
        if not chosen:
            raise NoSuchTargets(place)
        batches = _batches(chosen, strategy.batches if phase in ROLLED else ("100%",))
        if touched is not None:
            batches = [[target for target in batch if target.pk in touched] for batch in reversed(batches)]
            batches = [batch for batch in batches if batch]
        for number, batch in enumerate(batches, 1):
            if number > 1 and strategy.pause_seconds and phase == Step.Phase.DEPLOYMENT:
                wave += 1
                found.append(Laid(phase, wave, 0, targets[0], pause(strategy)))
            wave += 1
            found += [Laid(phase, wave, number, target, row) for target in batch for row in section]
    return found


def pause(strategy: Strategy) -> dict[str, Any]:
    """Return the step between two batches."""
    seconds = strategy.pause_seconds
    return {**PAUSE, "parameters": {"seconds": seconds}, "estimate_seconds": seconds}


def _batches(targets: Sequence[DeploymentTarget], sizes: Sequence[str]) -> list[list[DeploymentTarget]]:
    """Split targets into batches; the last size holds for all that is left. A share is one of all, rounded up."""
    left, found = list(targets), []
    for number in range(len(targets)):
        size = sizes[min(number, len(sizes) - 1)]
        count = math.ceil(len(targets) * int(size[:-1]) / 100) if size.endswith("%") else int(size)
        found.append(left[:count])
        left = left[count:]
        if not left:
            break
    return found


def strategy_of(deployment: Deployment) -> Strategy:
    """Return how the batches of a deployment are made."""
    return (deployment.process.document.strategy if deployment.process is not None else None) or Strategy()


def blocked(steps: Iterable[Step]) -> list[Step]:
    """Return the steps that have failed, have an unknown outcome or are on hold, in order."""
    return [step for step in steps if step.state in BLOCKING]


def halted(steps: Sequence[Step], most_failures: int) -> bool:
    """Tell whether no further step of a phase begins: more targets are blocked than may be, or a step on which all
    others depend: one that is made once, or one of a rollback.
    """
    out = {step.target_id for step in blocked(steps)}
    if any(step.phase in BACK or not step.batch for step in blocked(steps)):
        return True
    once = any(not step.batch and step.target_id in out and step.state not in Step.FINISHED for step in steps)
    return bool(out) and (once or len(out) > most_failures)


def next_steps(steps: Sequence[Step]) -> list[Step]:
    """Return the pending steps of a phase whose turn it is; a blocked target is left behind."""
    out = {step.target_id for step in blocked(steps)}
    left = [step for step in steps if step.state not in Step.FINISHED and step.target_id not in out]
    wave = min((step.wave for step in left), default=0)
    first: dict[int | None, Step] = {}
    for step in left:
        if step.wave == wave:
            first.setdefault(step.target_id, step)
    return [step for step in first.values() if step.state == "pending"]


def phase_of(deployment: Deployment, phase: str, but: Step | None = None) -> list[Step]:
    """Return the steps of a phase in order; but: one that is not saved yet, in place of its row."""
    rows = deployment.steps.filter(phase=phase).order_by("ordinal")
    return [but if but is not None and row.pk == but.pk else row for row in rows]


def others_run(step: Step) -> bool:
    """Tell whether a step of the same deployment runs on another target."""
    if not step.wave:
        return False
    return Step.objects.filter(deployment=step.deployment_id, state="running").exclude(pk=step.pk).exists()


def touched_by(deployment: Deployment) -> set[int]:
    """Return the targets on which a step of a deployment has begun."""
    forward = deployment.steps.exclude(phase__in=BACK).filter(fencing_token__gt=0)
    return {pk for pk in forward.values_list("target", flat=True) if pk is not None}
