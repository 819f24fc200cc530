"""A position in the target's log, and the log from there on: past a rotation, and past a truncation."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_BYTES = 64_000_000
LONGEST_LINE = 4000
# So many bytes before a position distinguish a rewritten file from the one that the position was taken in.
_MARK_BYTES = 256

Position = Mapping[str, Any]


@dataclass
class Rest:
    """What a log holds from a position on.

    pieces: its files, oldest first, with the offset from which each is read. lost: what stood before the position is in
    none of them, so that lines may be missing.
    """

    pieces: list[tuple[Path, int]]
    lost: bool = False


def log_position(path: Path) -> dict[str, Any] | None:
    """Return where a log ends now: {inode, size, mark}; size 0 and no inode where there is no log yet; None where it
    cannot be read.
    """
    try:
        with path.open("rb") as file:
            return position_in(file.fileno(), os.fstat(file.fileno()).st_size)
    except FileNotFoundError:
        return {"inode": None, "size": 0, "mark": ""}
    except OSError:
        return None


def after_start(path: Path, position: Position | None) -> Position | None:
    """Return the position of a start once the service serves: a log that it has restarted is read from there."""
    try:
        if position is not None and rest_of(path, position).lost:
            return position_at(path, 0)
    except OSError:
        pass  # the check says that the log cannot be read
    return position


def position_at(path: Path, size: int) -> dict[str, Any]:
    """Return a position in a file. Raises OSError."""
    with path.open("rb") as file:
        return position_in(file.fileno(), size)


def position_in(descriptor: int, size: int) -> dict[str, Any]:
    """Return a position in an open file: its inode, the offset in bytes, and a digest of what stands before it."""
    return {"inode": os.fstat(descriptor).st_ino, "size": size, "mark": _mark(descriptor, size)}


def rest_of(path: Path, position: Position) -> Rest:
    """Find what was written to a log since a position. Raises OSError, FileNotFoundError where there is no log."""
    if position["inode"] is None or _holds(path, position):
        here = path.stat()
        if position["inode"] in (None, here.st_ino):
            return Rest([(path, int(position["size"]))])
    older = [entry for entry in _beside(path) if _inode(entry) == position["inode"] and _holds(entry, position)]
    if not older and position["size"]:
        older = [entry for entry in _beside(path) if entry.name.startswith(path.name) and _holds(entry, position)]
    if not older:
        return Rest([(path, 0)], lost=True)
    since = older[0].stat().st_mtime_ns
    between = [
        entry
        for entry in _beside(path)
        if entry.name.startswith(path.name) and entry != older[0] and entry.stat().st_mtime_ns >= since
    ]
    pieces = [(entry, 0) for entry in sorted(between, key=lambda entry: entry.stat().st_mtime_ns)]
    return Rest([(older[0], int(position["size"])), *pieces, (path, 0)])


def lines_from(path: Path, start: int) -> Iterator[tuple[str, int]]:
    """Yield the lines of a file from an offset on, at most MOST_BYTES, each with the offset where the next begins.

    After a last line without its end that is the line's own beginning: a later look reads it whole.
    """
    with path.open("rb") as file:
        at = file.seek(start)
        while at - start < MOST_BYTES and (line := file.readline(LONGEST_LINE)):
            whole = line.endswith(b"\n") or len(line) == LONGEST_LINE
            yield line.decode("utf-8", "replace").rstrip("\r\n"), at + len(line) if whole else at
            at += len(line)


def _holds(path: Path, position: Position) -> bool:
    """Tell whether a file holds before the position what stood there when the position was taken."""
    try:
        with path.open("rb") as file:
            long_enough = os.fstat(file.fileno()).st_size >= position["size"]
            return long_enough and _mark(file.fileno(), int(position["size"])) == position["mark"]
    except OSError:
        return False


def _mark(descriptor: int, size: int) -> str:
    start = max(0, size - _MARK_BYTES)
    return hashlib.sha256(os.pread(descriptor, size - start, start)).hexdigest() if size else ""


def _beside(path: Path) -> list[Path]:
    return [entry for entry in path.parent.iterdir() if entry != path and entry.is_file() and not entry.is_symlink()]


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None
