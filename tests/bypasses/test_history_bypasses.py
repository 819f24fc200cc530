"""Ways round approval by the history of a repository: what the authors of a release are read from."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from audit.clock import now
from audit.refusals import NotPermitted
from environments.models import Account
from releases.gates import authorship
from releases.models import DeployedVersion, Deployment, Release
from releases.operations.evidence.upload import upload
from releases.operations.release.refresh_from_git import refresh_from_git
from tests.releases.gates.asking import alter, git, make, mark_deployed, own_repository, walk

WHO = "{role} X <{address}> 1700000000 +0000"


def written(repository: Path, tree: str, parent: str, address: str) -> str:
    """Write a commit of a person and return its id."""
    people = [WHO.format(role=role, address=address) for role in ("author", "committer")]
    return git(
        repository,
        "hash-object",
        "-t",
        "commit",
        "-w",
        "--stdin",
        words="\n".join([f"tree {tree}", f"parent {parent}", *people, "", "words", ""]),
    )


@pytest.mark.parametrize("recorded", ["wanted", "deployed_version"])
def test_the_author_of_a_reverted_commit_does_not_approve_its_return(world: Any, tmp_path: Path, recorded: str) -> None:
    """A commit and its revert are deployed together. A branch from the commit itself brings it back, and all that this
    branch has beside the deployed version was written by another person.
    """
    repository, built = own_repository(world, tmp_path), world.built
    alter(world.people["committee_b"], git_addresses=["b@datasets.example"])
    first = built.commits["v1.2.0"]
    own = written(repository, built.trees["v1.3.0"], first, "b@datasets.example")
    reverted = written(repository, built.trees["v1.2.0"], own, "b@datasets.example")
    branched = written(repository, built.trees["v1.3.0"], own, "developer@datasets.example")
    git(repository, "branch", "kept", reverted)
    git(repository, "branch", "returned", branched)
    pointer = mark_deployed(world, "1.2.0")
    deployed = alter(pointer.release, commit=reverted, version="1.2.1")
    planned = alter(world.planned(), commit=branched, tree=built.trees["v1.3.0"])
    # The last one: a part of production has the release already.
    for brought, days, previous in (
        (deployed, 2, {recorded: {"commit": first}}),
        (planned, 1, {"wanted": {"commit": branched}}),
    ):
        deployment = make(
            Deployment,
            release=brought,
            application=world.application,
            environment=world.environments["production"],
            requested_by=world.people["operator"],
            started_at=now() - timedelta(days=days),
            previous=previous,
        )
        walk(deployment, "schedule", "enqueue", "start", "start_verification", "start_monitoring", "succeed")
    assert DeployedVersion.in_production(world.application).commit == reverted
    with world.acting_as("manager"):
        refresh_from_git(planned.pk)
    author = Account.objects.get(username="committee_b")
    assert author.is_among(authorship.excluded(Release.objects.get(pk=planned.pk)))
    with world.acting_as("tester"), pytest.raises(NotPermitted, match="cannot review it"):
        upload(
            world.application.pk,
            environment_id=world.environments["staging"].pk,
            kind="review",
            commit=branched,
            files=[("", json.dumps({"reviewer": author.username, "decision": "approved"}).encode())],
        )
