"""Helpers that evaluate one gate and prepare its rows: changes through operations, and the test's own repository."""

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
    """Let a target's programs write folders of a test, and read files installed beside the interpreter."""
    settings = type(target)._default_manager.get(pk=target.pk).options
    given = {"read": [sys.prefix], "write": [str(path) for path in paths]}
    return alter(target, options={**settings, "programs": given})


def make(model: Any, **fields: Any) -> Any:
    """Make a row through the operation; a deployment pins a procedure, as its request does."""
    if model is Deployment:
        release = fields["release"]
        fields.setdefault("procedure", release.procedure or Procedure.objects.of(release.application))
    with acting(COMMAND), operation("test:make") as op:
        row = model._default_manager.create(**fields)
        op.about(row)
    return row


def shown(row: Any) -> str:
    """Return the digest of a row as its page shows it now."""
    fresh = type(row)._default_manager.get(pk=row.pk)
    return {Rollback: confirm_late.digest_of, Document: review.digest_of, ChecklistItem: sign.digest_of}[type(row)](
        fresh
    )


def communicated(rollback: Rollback) -> None:
    """Let a person state that everybody was notified of a prepared rollback."""
    entry = {"by": None, "name": "Manager", "at": datetime.now(UTC).isoformat(), "stated": "by telephone", "act": ""}
    row = Rollback.objects.get(pk=rollback.pk)
    done = dict.fromkeys(("notify_stakeholders", "notify_users", "share_plan"), entry)
    alter(row, facts={**row.facts, "communication": done})


def ask(world: Any, release: Any, gate: str, *, environment: str = "production", at: datetime | None = None) -> Answer:
    """Return one gate's result, by the gate's key."""
    found = evaluate(world.fresh(release), world.environments[environment], at)
    (answer,) = [a for a in found if a.gate == gate]
    return answer


def git(repository: Path, *arguments: str, words: str = "") -> str:
    """Run git on a bare repository, as the developer, without any user's configuration. words: its standard input."""
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    for role in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{role}_NAME": "Developer", f"GIT_{role}_EMAIL": "developer@datasets.example"}
    done = subprocess.run(
        ["git", f"--git-dir={repository}", *arguments],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        input=words,
    )
    return done.stdout.strip()


def own_repository(world: Any, folder: Path) -> Path:
    """Give the application a copy of the sample's repository that the test may change."""
    path = folder / "own.git"
    shutil.copytree(world.built.path, path)
    world.application = alter(world.application, repository=str(path))
    return path


def walk(row: Any, *edges: str) -> Any:
    """Move a row along edges of its state machine, one operation each; return it fetched again."""
    for edge in edges:
        with acting(COMMAND), operation("test:walk", (type(row), row.pk)) as op:
            getattr(op.get(type(row)), edge)()
    return type(row)._default_manager.get(pk=row.pk)


def mark_deployed(world: Any, version: str, *, environment: str = "production") -> Any:
    """Record that a version is deployed, as if it had been registered; return the deployed version."""
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
