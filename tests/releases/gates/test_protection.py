"""The procedure's rules for a protected branch apply to each commit for its tier, checked with real git (V2)."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from releases.models import Procedure
from releases.procedures.document import Procedure as Content, ProcedureFaults
from releases.procedures.load import default

from .asking import alter, ask, git, own_repository
from .test_source import looked

SIGNATURE = {
    "key": "signature",
    "ja": "署名必須",
    "en": "Signature required",
    "origin": "default",
    "default_fields": [],
}


def edition(**changes: Any) -> None:
    """Change sections of the procedure in effect."""
    row = Procedure.objects.get(state="in_effect")
    alter(row, content={**copy.deepcopy(row.content), **changes})


def asking_for_signatures(tier: str) -> None:
    rows = copy.deepcopy(Procedure.objects.get(state="in_effect").content["protected_branches"])
    next(row for row in rows if row["tier"] == tier)["requires"].append(SIGNATURE)
    edition(protected_branches=rows)


def signed_commit(world: Any, repository: Path) -> str:
    """Make a commit of the release's tree with a signature by the known key; return its id."""
    key = world.built.allowed_signers.with_name("release")
    commit = world.built.commits["v1.3.0"]
    words = ["-c", "gpg.format=ssh", "-c", f"user.signingKey={key}", "commit-tree", f"-S{key}", "-p", commit]
    return git(repository, *words, "-m", "signed", f"{commit}^{{tree}}")


def test_production_requires_a_good_signature_of_the_commit_or_its_tag(world: Any, tmp_path: Path) -> None:
    repository = own_repository(world, tmp_path)
    release = world.planned()
    assert ask(world, release, "branch_protection").result == "unknown", "the repository was not read"
    looked(world, release)
    passed = ask(world, release, "branch_protection")
    assert (passed.result, passed.reason) == ("passed", "Signature required: tag, manager@datasets.example")
    git(repository, "tag", "-d", "v1.3.0")
    looked(world, release)
    closed = ask(world, release, "branch_protection")
    assert closed.result == "not_passed" and "Neither the commit nor the release tag that points" in closed.reason
    release = alter(release, commit=signed_commit(world, repository))
    looked(world, release)
    passed = ask(world, release, "branch_protection")
    assert (passed.result, passed.reason) == ("passed", "Signature required: commit, manager@datasets.example")
    alter(world.application, allowed_signers="")
    looked(world, release)
    assert ask(world, release, "branch_protection").result == "not_passed", "a signature by an unknown key"


def test_a_procedure_that_requires_signatures_for_staging_blocks_staging(world: Any, tmp_path: Path) -> None:
    repository = own_repository(world, tmp_path)
    release = world.planned()
    git(repository, "tag", "-d", "v1.3.0")
    looked(world, release)
    assert ask(world, release, "branch_protection", environment="staging").result == "passed"
    asking_for_signatures("staging")
    assert ask(world, release, "branch_protection", environment="staging").result == "not_passed"
    assert ask(world, release, "branch_protection", environment="development").result == "passed", "as that branch says"
    release = alter(release, commit=signed_commit(world, repository))
    looked(world, release)
    assert ask(world, release, "branch_protection", environment="staging").result == "passed"


def test_review_and_tests_are_required_even_without_their_own_gate(world: Any) -> None:
    release = world.planned()
    looked(world, release)
    assert ask(world, release, "branch_protection", environment="development").result == "passed", (
        "their own gates answer"
    )
    gates = [
        row
        for row in Procedure.objects.get(state="in_effect").content["gates"]
        if row["key"] not in ("review", "tests")
    ]
    edition(gates=gates)
    for environment in ("development", "staging"):
        assert ask(world, release, "branch_protection", environment=environment).result != "passed"
    world.evidence("1.3.0")
    for environment in ("development", "staging"):
        assert ask(world, release, "branch_protection", environment=environment).result == "passed"


def test_a_procedure_with_protection_outside_every_gate_is_refused() -> None:
    raw = default().model_dump(mode="json")
    for gate in raw["gates"]:
        if gate["type"] == "branch_protection":
            gate["tiers"] = ["production"]
    with pytest.raises(ProcedureFaults) as refused:
        Content.checked(raw)
    assert [fault.place for fault in refused.value.faults] == ["protected_branches[1]", "protected_branches[2]"]
