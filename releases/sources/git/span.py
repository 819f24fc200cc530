"""A commit's own data, and its distance from another one."""

from dataclasses import dataclass
from pathlib import Path

from releases.sources.git.facts import resolve
from releases.sources.git.program import read

MOST_COMMITS = 20
_FORM = "--format=%H%x00%s%x00%an%x00%aI"


@dataclass(frozen=True)
class Commit:
    """A commit: its object id, subject, author's name, and when it was written (ISO 8601 with offset)."""

    commit: str
    subject: str
    author: str
    at: str


@dataclass(frozen=True)
class Span:
    """The number of commits that one has and another lacks (ahead), and the reverse (behind). commits: the newest
    MOST_COMMITS of those ahead.
    """

    ahead: int
    behind: int
    commits: tuple[Commit, ...]


def described(repository: Path, commit: str) -> Commit:
    """Read a commit's own data. Raises SourceUnavailable, NoSuchRevision."""
    return _listed(repository, ["--max-count=1", resolve(repository, commit)])[0]


def span(repository: Path, base: str, commit: str) -> Span:
    """Compare a commit with another one. Raises SourceUnavailable, NoSuchRevision."""
    base, commit = resolve(repository, base), resolve(repository, commit)
    counted = read(repository, ["rev-list", "--left-right", "--count", f"{base}...{commit}", "--"])
    behind, ahead = map(int, counted.split())
    return Span(ahead, behind, tuple(_listed(repository, [f"--max-count={MOST_COMMITS}", f"{base}..{commit}"])))


def _listed(repository: Path, arguments: list[str]) -> list[Commit]:
    log = read(repository, ["log", "--no-mailmap", _FORM, *arguments, "--"])
    return [Commit(*(part[:500] for part in line.split("\0"))) for line in log.splitlines() if line.count("\0") == 3]
