"""A process goes on with the version of the code that it began with, whatever the link to the code leads to later."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from config import one_version

SWITCH = "import os; os.unlink('link'); os.symlink('new', 'link')"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two versions of a small program, and a link that leads to the old one."""
    for name in ("old", "new"):
        config = tmp_path / name / "config"
        config.mkdir(parents=True)
        shutil.copy(one_version.__file__, config)
        (config / "__init__.py").touch()
        (config / "log.py").write_text(f"VERSION = {name!r}")
        (config / "wsgi.py").write_text("from config.one_version import keep; keep(); from config.log import VERSION")
        (config.parent / "later.py").write_text(f"VERSION = {name!r}")
    (tmp_path / "link").symlink_to("old")
    return tmp_path


def printed(folder: Path, *lines: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(folder / "link"), "PYTHONDONTWRITEBYTECODE": "1"}
    argv = [sys.executable, "-c", "\n".join(lines)]
    return subprocess.run(argv, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout.strip()


def test_a_process_goes_on_with_the_code_that_it_began_with(folder: Path) -> None:
    begun = "from config.one_version import keep; keep()"
    assert printed(folder, begun, SWITCH, "import later; print(later.VERSION)") == "old"


def test_a_web_process_takes_nothing_over(folder: Path) -> None:
    """gunicorn's first process has loaded a module for its log, and its children begin with it."""
    begun = "import config.log"
    assert printed(folder, begun, SWITCH, "import config.wsgi; print(config.wsgi.VERSION)") == "new"
