"""Asking one gate, and setting up what it reads: rows changed through the operation, a repository of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audit.actor import Actor, acting
from audit.operation import operation
from releases.gates.base import Answer
from releases.gates.evaluation import evaluate
from releases.models import ChecklistItem, Deployment, Document, Procedure, Rollback
from releases.operations.checklist import sign
from releases.operations.document import review
from releases.operations.rollback import confirm_late

COMMAND = Actor(account_id=None, name="tests", kind="command", channel="command")


def alter(row: Any, **fields: Any) -> Any:
    """Set fields of a row through the operation; return it fetched again."""
    with acting(COMMAND), operation("test:alter", (type(row), row.pk)) as op:
        for name, value in fields.items():
            setattr(op.get(type(row)), name, value)
    return type(row)._default_manager.get(pk=row.pk)


def open_to_programs(target: Any, *paths: object) -> Any:
    """Let programs of a target write folders of a test, and read what is installed beside the interpreter."""
    settings = type(target)._default_manager.get(pk=target.pk).options
    given = {"read": [sys.prefix], "write": [str(path) for path in paths]}
    return alter(target, options={**settings, "programs": given})


def make(model: Any, **fields: Any) -> Any:
    """Make a row through the operation; a deployment pins a procedure, as its request does."""
    if model is Deployment:
        fields.setdefault("procedure", fields["release"].procedure or Procedure.objects.get(state="in_effect"))
    with acting(COMMAND), operation("test:make") as op:
        row = model._default_manager.create(**fields)
        op.about(row)
    return row


def shown(row: Any) -> str:
    """Return the digest of what a page shows of a row now."""
    fresh = type(row)._default_manager.get(pk=row.pk)
    return {Rollback: confirm_late.digest_of, Document: review.digest_of, ChecklistItem: sign.digest_of}[type(row)](
        fresh
    )


def communicated(rollback: Rollback) -> None:
    """Let everybody have been told that a rollback is prepared, as a person states it."""
    entry = {"by": None, "name": "Manager", "at": datetime.now(UTC).isoformat(), "stated": "by telephone", "act": ""}
    row = Rollback.objects.get(pk=rollback.pk)
    done = dict.fromkeys(("notify_stakeholders", "notify_users", "share_plan"), entry)
    alter(row, facts={**row.facts, "communication": done})


def ask(world: Any, release: Any, gate: str, *, environment: str = "production", at: datetime | None = None) -> Answer:
    """Return one gate's answer, by the gate's key."""
    found = evaluate(world.fresh(release), world.environments[environment], at)
    (answer,) = [a for a in found if a.gate == gate]
    return answer


def git(repository: Path, *arguments: str, words: str = "") -> str:
    """Run git on a bare repository, as the developer, with nobody's configuration. words: what it reads."""
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    for role in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{role}_NAME": "Developer", f"GIT_{role}_EMAIL": "developer@datasets.example"}
    done = subprocess.run(
        ["git", f"--git-dir={repository}", *arguments],
        env=environment, check=True, capture_output=True, text=True, input=words,
    )  # fmt: skip
    return done.stdout.strip()


def own_repository(world: Any, folder: Path) -> Path:
    """Give the application a copy of the sample's repository that the test may change."""
    path = folder / "own.git"
    shutil.copytree(world.built.path, path)
    world.application = alter(world.application, repository=str(path))
    return path


def walk(row: Any, *edges: str) -> Any:
    """Take a row along edges of its machine, an operation each; return it fetched again."""
    for edge in edges:
        with acting(COMMAND), operation("test:walk", (type(row), row.pk)) as op:
            getattr(op.get(type(row)), edge)()
    return type(row)._default_manager.get(pk=row.pk)


def in_force(world: Any, version: str, *, environment: str = "production") -> Any:
    """Say that a version is in force, as if it had been adopted; return the pointer."""
    from releases.models import DeployedVersion, Release

    release = make(
        Release,
        application=world.application,
        version=version,
        title=version,
        author=world.people["operator"],
        tag=f"v{version}",
        commit=world.built.commits[f"v{version}"],
        tree=world.built.trees[f"v{version}"],
    )
    walk(release, "mark_imported")
    return make(
        DeployedVersion,
        application=world.application,
        environment=world.environments[environment],
        release=release,
        configuration=world.configurations[environment],
        code=release.tree,
        configuration_digest="c" * 64,
        since=datetime.now(UTC),
        basis="registered",
    )
