"""A commit's own data, and its distance from another one."""

from dataclasses import dataclass
from pathlib import Path

from django.utils.translation import gettext as _

from releases.sources.git.facts import resolve
from releases.sources.git.program import SourceUnavailable, read, run

MOST_COMMITS = 20
MOST_LISTED = 500
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


def heads(repository: Path) -> list[tuple[str, Commit]]:
    """Return (branch, its newest commit) of every branch, by the time of that commit, the newest first.
    Raises SourceUnavailable.
    """
    form = "%(refname:lstrip=2)%00%(objectname)%00%(contents:subject)%00%(authorname)%00%(authordate:iso-strict)"
    lines = read(repository, ["for-each-ref", "--sort=-committerdate", f"--format={form}", "refs/heads"]).splitlines()
    rows = (line.split("\0") for line in lines if line.count("\0") == 4)
    return [(name, Commit(*(part[:500] for part in parts))) for name, *parts in rows]


def span(repository: Path, base: str, commit: str) -> Span:
    """Compare a commit with another one. Raises SourceUnavailable, NoSuchRevision."""
    base, commit = resolve(repository, base), resolve(repository, commit)
    counted = read(repository, ["rev-list", "--left-right", "--count", f"{base}...{commit}", "--"])
    behind, ahead = map(int, counted.split())
    return Span(ahead, behind, tuple(_listed(repository, [f"--max-count={MOST_COMMITS}", f"{base}..{commit}"])))


def listed_between(repository: Path, base: str | None, commit: str) -> list[tuple[Commit, tuple[str, ...]]]:
    """Return the commits after `base` (None: from the beginning) up to a commit with their parents, the newest first.
    Raises SourceUnavailable, also for more than MOST_LISTED of them, and NoSuchRevision.
    """
    revisions = [resolve(repository, commit), *([f"^{resolve(repository, base)}"] if base is not None else [])]
    lines = read(repository, ["rev-list", "--parents", f"--max-count={MOST_LISTED + 1}", *revisions, "--"]).splitlines()
    if len(lines) > MOST_LISTED:
        text = _("The release has more than %(count)d commits since the deployed version.")
        raise SourceUnavailable(text % {"count": MOST_LISTED})
    parents = {own: tuple(others) for own, *others in map(str.split, lines)}
    found = {one.commit: one for one in _listed(repository, revisions)}
    return [(found.get(own) or Commit(own, "", "", ""), others) for own, others in parents.items()]


def is_clean_merge(repository: Path, commit: str) -> bool:
    """Tell whether a merge of two commits holds what git makes of them, and nothing else. Raises SourceUnavailable."""
    shown = run(repository, ["show", "--remerge-diff", "--no-ext-diff", "--format=", "--name-only", commit, "--"])
    return shown.returncode == 0 and not shown.stdout.strip()


def is_ancestor(repository: Path, ancestor: str, commit: str) -> bool:
    """Tell whether a commit holds another; one that the repository lacks is not held. Raises SourceUnavailable."""
    return run(repository, ["merge-base", "--is-ancestor", "--", ancestor, commit]).returncode == 0


def _listed(repository: Path, arguments: list[str]) -> list[Commit]:
    log = read(repository, ["log", "--no-mailmap", _FORM, *arguments, "--"])
    return [Commit(*(part[:500] for part in line.split("\0"))) for line in log.splitlines() if line.count("\0") == 3]
