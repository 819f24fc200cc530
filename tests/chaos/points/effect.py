"""The command that the steps of these tests run on the target: a small effect in two halves, announced in between.

`effect.py TALLY NAME [FOLDER]` appends two lines to a file; `effect.py migrate DATABASE FOLDER` commits two batches,
`effect.py check DATABASE` tells whether they are there; `effect.py serve TALLY` is a service that notes its start.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

BATCHES = 2


def announce(folder: Path) -> None:
    """Say that the effect is half made and wait for a word, the first time only."""
    try:
        os.rename(folder / "armed", folder / "fired")
    except FileNotFoundError:
        return
    with (folder / "inside").open("wb", buffering=0) as inside:
        inside.write(b"%d\n" % os.getpid())
    with (folder / "go").open("rb", buffering=0) as go:
        go.read(1)


def append(tally: Path, name: str, folder: Path | None) -> None:
    """Write that the effect began, and that it ended."""
    for half in ("began", "ended"):
        with tally.open("a") as file:
            file.write(f"{name} {half}\n")
        if half == "began" and folder is not None:
            announce(folder)


def migrate(database: str, folder: Path) -> None:
    """Commit the batches that are missing, one transaction each."""
    import psycopg

    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS batches (batch int)")
        row = connection.execute("SELECT count(*) FROM batches").fetchone()
        assert row is not None
        for batch in range(row[0] + 1, BATCHES + 1):
            connection.execute("INSERT INTO batches VALUES (%s)", [batch])
            announce(folder)


def check(database: str) -> int:
    """Return 0 when all batches are there, else 3."""
    import psycopg

    with psycopg.connect(database) as connection:
        there = connection.execute("SELECT to_regclass('batches') IS NOT NULL").fetchone()
        row = connection.execute("SELECT count(*) FROM batches").fetchone() if there == (True,) else None
    return 0 if row == (BATCHES,) else 3


if __name__ == "__main__":
    words = sys.argv[1:]
    if words[0] == "migrate":
        migrate(words[1], Path(words[2]))
    elif words[0] == "check":
        sys.exit(check(words[1]))
    elif words[0] == "serve":
        with Path(words[1]).open("a") as file:
            file.write("served\n")
        signal.pause()
    else:
        append(Path(words[0]), words[1], Path(words[2]) if len(words) > 2 else None)
