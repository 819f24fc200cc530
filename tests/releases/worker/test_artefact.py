"""A worker deploys what CI has built: fetched by digest, laid, measured, recorded, and brought back."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit.actor import acting
from environments.targets.measured import measure
from releases.models import DeployedVersion, Deployment, Procedure
from releases.operations.artefact.register import register
from releases.operations.deployment.enqueue import enqueue
from releases.operations.deployment.request import request
from releases.operations.deployment.schedule import schedule
from releases.operations.deployment_process.create import create
from releases.operations.step.claim import recorded
from releases.procedures.process import Process
from releases.queries.procedure_types import procedure_types
from releases.queries.release_artefact import code_wanted, version_of
from releases.queries.target_spec import spec_of
from releases.worker.dry_run import dry_run
from releases.worker.executor import run_from
from tests.releases.gates.asking import open_to_programs

from .conftest import WORKER

TEXT = """
format = 1
artefact = "archive"
triggers = []
[[plans.deployment]]
key = "wait"
en = "Wait"
type = "command"
parameters.argv = ["/bin/true"]
estimate_seconds = 1
required = true
[[plans.deployment]]
key = "files"
en = "Deploy the files"
type = "code_deploy"
parameters.direction = "deployment"
estimate_seconds = 1
required = true
[[plans.rollback]]
key = "files_back"
en = "Put the earlier files back"
type = "code_deploy"
parameters.direction = "rollback"
estimate_seconds = 1
required = true
[[checks]]
key = "there"
en = "There"
when = "deployment"
maintenance = "after"
type = "command"
parameters.argv = ["/bin/cat", "{tree}/page.html"]
required = true
[[checks]]
key = "back"
en = "Back"
when = "rollback"
maintenance = "after"
type = "command"
parameters.argv = ["/bin/true"]
required = true
"""


def built(text: str) -> bytes:
    """Return an archive with one page."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        member = tarfile.TarInfo("page.html")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


@pytest.fixture
def released(world: Any, tmp_path: Path, settings: Any) -> Callable[[str], Deployment]:
    """Return a function: an archive with this page is registered, and a deployment to development is queued."""
    settings.ARTEFACT_FOLDER = str(tmp_path / "built")
    (tmp_path / "built").mkdir()
    open_to_programs(world.targets["development"], tmp_path)
    procedure = Procedure.objects.get(state="in_effect").document
    with world.acting_as("developer"):
        process = Process.from_toml(TEXT, procedure, **procedure_types())
        create(application_id=world.application.pk, content=process, reason="what CI has built")
    release = world.planned()
    world.evidence("1.3.0")

    def queue(page: str) -> Deployment:
        content = built(page)
        digest = hashlib.sha256(content).hexdigest()
        path = tmp_path / "built" / f"{digest[:8]}.tar.gz"
        path.write_bytes(content)
        with world.acting_as("ci"):
            register(world.application.pk, commit=release.commit, kind="archive", reference=str(path), digest=digest)
        with world.acting_as("developer"):
            requested = request(release.pk, environment_id=world.environments["development"].pk)
            schedule(requested.pk)
        with acting(WORKER):
            enqueue(requested.pk)
        return world.fresh(requested)

    return queue


def _run(world: Any, deployment: Deployment) -> Deployment:
    with acting(WORKER):
        run_from(deployment.steps.get(state="ready").pk)
    return world.fresh(deployment)


def _pointer(world: Any) -> DeployedVersion:
    found = DeployedVersion.established(world.application, world.environments["development"])
    assert found is not None
    return found


def test_an_archive_is_deployed_and_the_next_build_of_the_same_commit(world: Any, released: Any) -> None:
    deployment = _run(world, released("first build"))
    assert [step.failure for step in deployment.steps.all()] == [""] * 3
    assert deployment.state == "succeeded"
    root = Path(world.targets["development"].root)
    assert (root / "current" / "page.html").read_text() == "first build"
    pointer = _pointer(world)
    step = deployment.steps.get(step_type="code_deploy")
    assert pointer.artefact is not None and pointer.artefact.digest == step.result["artefact"]
    assert pointer.code == step.result["code"] == measure(spec_of(world.targets["development"]), {}).code
    assert code_wanted(world.application, deployment.previous["wanted"]) == pointer.code
    before = version_of(recorded(pointer))
    assert before is not None and (before.tree, before.digest) == (pointer.code, pointer.artefact.digest)

    deployment = _run(world, released("second build"))
    assert deployment.state == "succeeded"
    assert (root / "current" / "page.html").read_text() == "second build"
    assert deployment.previous["deployed_version"]["artefact"]["digest"] == before.digest
    assert _pointer(world).artefact != pointer.artefact and len(list((root / "releases").iterdir())) == 2


def test_an_artefact_that_is_gone_fails_before_anything_is_changed(world: Any, released: Any, settings: Any) -> None:
    deployment = released("never fetched")
    for path in Path(settings.ARTEFACT_FOLDER).iterdir():
        path.unlink()
    deployment = _run(world, deployment)
    first = deployment.steps.order_by("ordinal").first()
    assert deployment.state == "failed" and first is not None
    assert first.state == "failed" and "cannot be read" in first.failure
    assert not (Path(world.targets["development"].root) / "current").exists()


def test_an_artefact_with_other_content_is_never_laid(world: Any, released: Any, settings: Any) -> None:
    deployment = released("as approved")
    for path in Path(settings.ARTEFACT_FOLDER).iterdir():
        path.write_bytes(built("exchanged meanwhile"))
    deployment = _run(world, deployment)
    assert deployment.state == "failed"
    assert "is registered" in deployment.steps.order_by("ordinal").first().failure
    assert not (Path(world.targets["development"].root) / "releases").exists()


def test_the_dry_run_names_the_archive_and_fetches_nothing(world: Any, released: Any, settings: Any) -> None:
    deployment = released("page")
    lines = [line for step in dry_run(deployment.release, deployment.environment) for line in step.lines]
    artefact = deployment.release.artefact_to_deploy
    assert artefact is not None
    assert any(line == f"fetch {artefact.reference} and compare it with SHA-256 {artefact.digest}" for line in lines)
    assert not (Path(settings.STATE_DIR) / "artefacts" / artefact.digest).exists()
