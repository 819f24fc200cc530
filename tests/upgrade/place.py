"""What the maker of a dump and the test that restores it share: the folder of its targets, and PostgreSQL's
programs.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

# Roots of targets stand in the database: the same folder when a dump is made and when it is restored.
FOLDER = Path("/tmp/ringi-upgrade")
DUMPS = Path(__file__).parent / "dumps"
EFFECT = FOLDER / "effects.txt"


def program(name: str) -> str | None:
    """Return a program of PostgreSQL's, beside its servers or the machine's own; None where there is none."""
    beside = Path(os.environ.get("POSTGRES_BIN", "")) / name
    return str(beside) if beside.is_file() else shutil.which(name)


def emptied() -> Path:
    """Replace the folder by an empty one with the roots of the targets."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    for name in ("development", "staging", "production"):
        (FOLDER / "targets" / name).mkdir(parents=True)
    return FOLDER
