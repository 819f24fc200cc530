"""Artefacts of a release: registered by CI, fixed with the scope, approved by digest, promoted unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from audit.refusals import GateNotPassed, InvalidInput, NotPermitted
from releases.admin.pages.deployment_process.page import template_text
from releases.gates.base import Known
from releases.gates.content import document
from releases.gates.evaluation import evaluate
from releases.models import Artefact, Deployment, Release
from releases.operations.application.set_allowed_signers import set_allowed_signers
from releases.operations.artefact.register import register
from releases.operations.release.prepare import lock_scope, reopen_scope
from releases.procedures.document import ProcedureFaults
from tests.releases.gates.asking import alter
from tests.releases.sources.test_artefacts import IMAGE, IMAGE_SIGNATURE, KEY, PAYLOAD

from .test_deployment_processes import made, put, read

ARCHIVE = template_text("static-files").replace("format = 1\n", 'format = 1\nartefact = "archive"\n', 1)


def registered(world: Any, digest: str = "1" * 64, *, who: str = "ci", **given: Any) -> Artefact:
    """Register an artefact of version 1.3.0."""
    values = {"kind": "archive", "reference": "https://files.example.org/app.tar.gz"} | given
    with world.acting_as(who):
        return register(world.application.pk, commit=world.built.commits["v1.3.0"], digest=digest, **values)


def gate_of(world: Any, release: Release, environment: str = "development") -> tuple[str, str]:
    """Return result and reason of the gate of the artefact; "" where it is not asked."""
    answers = evaluate(world.fresh(release), world.environments[environment])
    return next(((a.result, a.reason) for a in answers if a.gate == "artefact"), ("", ""))


def test_a_draft_deploys_the_newest_and_a_locked_scope_keeps_its_own(world: Any) -> None:
    put(world, made(world, ARCHIVE))
    release = world.planned("1.3.0")
    assert gate_of(world, release)[0] == "not_passed" and release.artefact_to_deploy is None
    with world.acting_as("manager"), pytest.raises(InvalidInput, match="No artefact of the type “archive”"):
        lock_scope(release.pk)
    first = registered(world)
    assert world.fresh(release).artefact_to_deploy == first
    second = registered(world, "2" * 64)
    assert world.fresh(release).artefact_to_deploy == second
    with world.acting_as("manager"):
        lock_scope(release.pk)
    third = registered(world, "3" * 64)
    release = world.fresh(release)
    assert (release.artefact, release.artefact_to_deploy) == (second, second), "what was built later does not slip in"
    assert document(release, world.environments["production"])["artefact"] == {
        "kind": "archive",
        "reference": "https://files.example.org/app.tar.gz",
        "digest": "2" * 64,
    }
    assert gate_of(world, release, "production") == (
        "passed",
        f"https://files.example.org/app.tar.gz, SHA-256 {'2' * 12}. "
        "Its signature is not checked: the application has no PEM key.",
    )
    with world.acting_as("manager"):
        reopen_scope(release.pk, reason="the new build is needed")
        lock_scope(release.pk)
    assert world.fresh(release).artefact == third


def test_a_release_of_the_git_tree_has_no_artefact(world: Any) -> None:
    release = world.planned("1.3.0")
    registered(world)
    assert release.artefact_to_deploy is None and gate_of(world, release) == ("", "")
    assert "artefact" not in document(release, world.environments["production"])


def test_the_same_again_changes_nothing(world: Any) -> None:
    first = registered(world)
    assert registered(world, "sha256:" + "1" * 64) == first
    assert registered(world, "2" * 64) != first
    assert registered(world) != first, "an older one that is registered again is the newest"
    assert Artefact.objects.count() == 3


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"digest": "1" * 63}, "must be a SHA-256"),
        ({"kind": "jar"}, "an archive, a file or an image"),
        ({"kind": "image", "reference": "registry.example.org/app:latest"}, "without a tag"),
        ({"reference": "ftp://files.example.org/a"}, "is not an address"),
    ],
)
def test_what_cannot_be_one_is_refused(world: Any, given: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        registered(world, **given)


def test_who_registers(world: Any) -> None:
    with pytest.raises(NotPermitted):
        registered(world, who="auditor")
    with world.acting_as("ci"), pytest.raises(InvalidInput):
        register(world.application.pk, commit="0" * 40, kind="file", reference="https://a.example/a", digest="1" * 64)


def test_a_key_of_the_application_asks_for_a_signature(world: Any) -> None:
    process = template_text("containers")
    put(world, made(world, process))
    release = world.planned("1.3.0")
    image = {"kind": "image", "reference": "127.0.0.1:5055/app"}
    registered(world, IMAGE, **image)
    assert gate_of(world, release)[0] == "passed"
    signers = world.fresh(world.application).allowed_signers
    with world.acting_as("manager"):
        set_allowed_signers(world.application.pk, signers=signers + KEY, reason="images are signed")
    assert gate_of(world, release) == ("not_passed", "The artefact is not signed.")
    signature = {"signature": IMAGE_SIGNATURE, "signed_payload": PAYLOAD}
    with pytest.raises(InvalidInput, match="names another image"):
        registered(world, "4" * 64, **image, **signature)
    registered(world, IMAGE, **image, **signature)
    assert gate_of(world, release)[0] == "passed" and "signed by a key" in gate_of(world, release)[1]
    with world.acting_as("manager"), pytest.raises(InvalidInput, match="no end"):
        set_allowed_signers(world.application.pk, signers=KEY.partition("-----END")[0], reason="cut off")


def test_what_was_verified_before_was_the_same_artefact(world: Any) -> None:
    put(world, made(world, ARCHIVE))
    release = world.planned("1.3.0")
    first = registered(world)
    with world.acting_as("manager"):
        lock_scope(release.pk)
    release = world.fresh(release)
    deployment: Deployment = world.verified_deployment(release, "development")
    place = world.environments["development"].pk
    assert place not in Known(release).verified, "a deployment without the artefact does not count"
    alter(deployment, previous={**deployment.previous, "wanted": {"artefact": first.facts}})
    assert place in Known(world.fresh(release)).verified
    alter(deployment, previous={**deployment.previous, "wanted": {"artefact": first.facts | {"digest": "9" * 64}}})
    assert place not in Known(world.fresh(release)).verified


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            template_text("service").replace("format = 1\n", 'format = 1\nartefact = "image"\n', 1),
            "code_deploy deploys",
        ),
        (template_text("containers").replace('artefact = "image"\n', ""), "container runs a container image"),
        (template_text("containers").replace('"image"', '"jar"'), "artefact"),
    ],
)
def test_steps_that_deploy_something_else_are_refused(world: Any, text: str, fault: str) -> None:
    with pytest.raises(ProcedureFaults, match=fault):
        read(text)


def test_another_process_takes_another_artefact(world: Any) -> None:
    """A release whose scope is locked follows a process that deploys an image: its archive is not deployed by it."""
    put(world, made(world, ARCHIVE))
    release = world.planned("1.3.0")
    registered(world)
    with world.acting_as("manager"):
        lock_scope(release.pk)
    put(world, made(world, template_text("containers")))
    release = world.fresh(release)
    assert (release.artefact, release.artefact_kind) == (None, "image")
    assert gate_of(world, release)[0] == "not_passed"
    image = registered(world, "5" * 64, kind="image", reference="registry.example.org/app")
    assert world.fresh(release).artefact is None, "the scope is locked"
    with world.acting_as("manager"):
        reopen_scope(release.pk, reason="the image is there")
        lock_scope(release.pk)
    assert world.fresh(release).artefact == image


def test_a_gate_that_does_not_pass_stops_the_request(world: Any, tmp_path: Path) -> None:
    from releases.gates.evaluation import require

    put(world, made(world, ARCHIVE))
    release = world.planned("1.3.0")
    with pytest.raises(GateNotPassed, match="No artefact of the type"):
        require(release, world.environments["development"])
