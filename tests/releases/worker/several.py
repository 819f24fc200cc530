"""Three targets of one application in an environment, and deployments to them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from audit.actor import acting
from environments.models import DeploymentTarget
from releases.models import Deployment, DeploymentProcess, Step
from releases.operations.approval.decide import approve
from releases.operations.approval.submit import submit
from releases.operations.deployment.enqueue import enqueue
from releases.operations.deployment.request import request
from releases.operations.deployment.schedule import schedule
from releases.operations.release.sign_final_check import sign
from releases.worker.executor import run_from
from tests.releases.gates.asking import alter, make, open_to_programs, walk

from .conftest import WORKER, plan, row

MARK = ["/bin/sh", "-c", 'test ! -e "$RINGI_TARGET_ROOT/broken" && echo x >> "$RINGI_TARGET_ROOT/mark"']
BACK = [
    "/bin/sh",
    "-c",
    'echo "${RINGI_TARGET_ROOT##*/}" >> "$RINGI_TARGET_ROOT/../order"; rm -f "$RINGI_TARGET_ROOT/mark"',
]


class Site:
    """Three targets in an environment of the world: main, b and c, beside each other."""

    def __init__(self, world: Any, tmp_path: Path, environment: str, count: int = 3) -> None:
        self.world, self.environment = world, environment
        self.targets = [world.targets[environment]]
        for name in ("b", "c", "d")[: count - 1]:
            root = tmp_path / environment / name
            root.mkdir(parents=True)
            place = {"application": world.application, "environment": world.environments[environment]}
            group = "web" if name == "b" else ""
            self.targets.append(make(DeploymentTarget, **place, name=name, group=group, root=str(root), options={}))
        for number, target in enumerate(self.targets):
            self.targets[number] = open_to_programs(target, tmp_path)

    def root(self, name: str) -> Path:
        return next(Path(target.root) for target in self.targets if target.name == name)

    def marks(self) -> dict[str, int]:
        """How often the step was made on each target."""
        paths = {target.name: Path(target.root) / "mark" for target in self.targets}
        return {name: len(path.read_text().split()) for name, path in paths.items() if path.exists()}

    def broken(self, name: str, *, on: bool = True) -> None:
        path = self.root(name) / "broken"
        path.touch() if on else path.unlink()

    def process(self, variables: Sequence[dict[str, Any]] = (), **strategy: Any) -> DeploymentProcess:
        content = {"format": 1, "strategy": {"batches": ["1", "100%"], **strategy}, "variables": list(variables)}
        made = make(
            DeploymentProcess,
            application=self.world.application,
            number=1,
            content=content,
            digest="0" * 64,
            reason="x",
            author=self.world.people["developer"],
        )
        return walk(made, "submit", "put_into_effect")

    def queued(
        self, *forward: dict[str, Any], phases: dict[str, list[dict[str, Any]]] | None = None, **strategy: Any
    ) -> Deployment:
        """A deployment to this environment, which takes one without approval, queued."""
        world = self.world
        process = self.process(**strategy) if strategy else None
        laid = plan(*(forward or (row(MARK),))) | (phases or {})
        release = alter(world.planned(), step_plan=laid, process=process)
        world.evidence("1.3.0")
        with world.acting_as("developer"):
            deployment = request(release.pk, environment_id=world.environments[self.environment].pk)
            schedule(deployment.pk)
        with acting(WORKER):
            enqueue(deployment.pk)
        return world.fresh(deployment)

    def approved(
        self, *forward: dict[str, Any], phases: dict[str, list[dict[str, Any]]] | None = None, **strategy: Any
    ) -> Deployment:
        """A deployment to production, approved and queued. phases: of the plan, in place of the usual ones."""
        world = self.world
        process = self.process(**strategy) if strategy else None
        laid = plan(*(forward or (row(MARK),))) | {"rollback": [row(BACK, repeatable=True)]} | (phases or {})
        release = alter(world.tested(), step_plan=laid, process=process)
        with world.acting_as("manager"):
            approval_request = submit(release.pk)
        for name in ("committee_a", "committee_b"):
            with world.acting_as(name):
                approve(approval_request.pk, digest=approval_request.digest)
        for name in ("manager", "operator"):
            with world.acting_as(name):
                sign(release.pk)
        with world.acting_as("operator"):
            deployment = request(release.pk, environment_id=world.environments["production"].pk)
            schedule(deployment.pk)
        with acting(WORKER):
            enqueue(deployment.pk)
        return world.fresh(deployment)


@pytest.fixture
def below(world: Any, tmp_path: Path) -> Site:
    return Site(world, tmp_path, "development")


@pytest.fixture
def production(world: Any, tmp_path: Path) -> Site:
    return Site(world, tmp_path, "production")


def run(deployment: Deployment) -> Deployment:
    """Let one worker take whatever is ready, until nothing is left that it may take."""
    with acting(WORKER):
        for _round in range(30):
            before = seen(deployment)
            for step in deployment.steps.filter(state="ready").order_by("ordinal"):
                run_from(step.pk)
            if seen(deployment) == before:
                break
    return Deployment.objects.get(pk=deployment.pk)


def seen(deployment: Deployment) -> list[tuple[str, str, str]]:
    """Phase, target and state of each step, in order."""
    rows = deployment.steps.order_by("ordinal").values_list("phase", "target__name", "state")
    return [(phase, name or "", state) for phase, name, state in rows]


def step_on(deployment: Deployment, name: str, phase: str = "deployment") -> Step:
    return deployment.steps.filter(phase=phase, target__name=name).earliest("ordinal")
