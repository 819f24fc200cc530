"""The files for outsiders start with Python 3.9 and nothing else."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from audit import offline

FILES = sorted(path for path in Path(offline.__file__).parent.glob("*.py") if path.name != "__init__.py")
# Names of the standard library that came after 3.9 and that a tool may put in by itself.
LATER = {("datetime", "UTC"), ("typing", "Self"), ("typing", "assert_never"), ("enum", "StrEnum")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_is_written_for_python_3_9(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"), feature_version=(3, 9))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    assert not {(node.module, one.name) for node in imports for one in node.names} & LATER
    modules = {str(node.module).partition(".")[0] for node in imports}
    beside = {one.stem for one in FILES} | {"audit"}
    assert modules - beside <= sys.stdlib_module_names


@pytest.mark.parametrize("version", ["3.9", "3.10", "3.11"])
def test_it_starts_with_an_older_python(version: str) -> None:
    found = shutil.which(f"python{version}")
    if found is None or subprocess.run([found, "-c", ""], capture_output=True, timeout=30).returncode:
        pytest.skip(f"no Python {version} on this machine")
    for path in FILES:
        done = subprocess.run([found, path, "--help"], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, (path.name, done.stderr)
