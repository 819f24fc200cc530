"""Files that a span of commits adds or changes, and their content at its end; nothing is checked out."""

from collections.abc import Callable
from pathlib import Path

from releases.sources.git.facts import resolve
from releases.sources.git.program import read, run

LONGEST_FILE = 1_000_000


def changed_files(
    repository: Path, base: str | None, commit: str, wanted: Callable[[str], bool], most: int = 500
) -> dict[str, str | None]:
    """Return path → content of the files that `commit` adds to `base` or changes (base None: all its files), by path.

    wanted: selects the paths to read. None stands for a file that is too long, no text, or beyond the first `most`.
    Raises SourceUnavailable, NoSuchRevision.
    """
    commit = resolve(repository, commit)
    if base is None:
        listing = read(repository, ["ls-tree", "-r", "-z", "--name-only", commit])
    else:
        span = [resolve(repository, base), commit]
        listing = read(repository, ["diff", "--name-only", "-z", "--no-renames", "--diff-filter=AM", *span, "--"])
    paths = sorted(path for path in listing.split("\0") if path and wanted(path))
    return {path: _content(repository, commit, path) if at < most else None for at, path in enumerate(paths)}


def _content(repository: Path, commit: str, path: str) -> str | None:
    found = run(repository, ["cat-file", "blob", f"{commit}:{path}"])
    if found.returncode or len(found.stdout) > LONGEST_FILE:
        return None
    try:
        return found.stdout.decode()
    except UnicodeDecodeError:
        return None
