"""The files of the tree as the tests of the architecture read them: text and syntax tree, by path from the root."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
APPS = ("audit", "environments", "releases", "config")
SAMPLE = "releases/demo/sample/"


@cache
def tracked() -> tuple[str, ...]:
    """Return the paths that git holds or would take; without git every file that is not generated."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        found = listed.stdout.splitlines()
    else:
        found = [
            path.relative_to(ROOT).as_posix()
            for path in ROOT.rglob("*")
            if path.is_file()
            and not any(
                part in (".venv", "var", "__pycache__") or (part.startswith(".") and part != ".ci")
                for part in path.relative_to(ROOT).parts
            )
        ]
    return tuple(sorted(name for name in found if (ROOT / name).is_file()))


def python(*under: str) -> list[str]:
    """Return the Python files below folders, the sample application left out."""
    return [
        name
        for name in tracked()
        if name.endswith(".py") and name.startswith(under or ("",)) and not name.startswith(SAMPLE)
    ]


@cache
def tree(name: str) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse((ROOT / name).read_text(encoding="utf-8"), filename=name)


def imports(name: str) -> Iterator[str]:
    """Return every module that a file imports, also inside functions; a name taken from one counts as a module too."""
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
