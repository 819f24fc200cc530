"""Files committed to a branch without a work tree: a release's publication in the repository of its application."""

import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from django.utils.translation import gettext as _

from releases.sources.git.program import SourceUnavailable, last, names_ref, object_id, read, run


class FilesRefused(Exception):
    """The files could not be committed; the message is shown to people."""


def committed(
    repository: Path, branch: str, files: Mapping[str, str], *, message: str, who: tuple[str, str], at: datetime
) -> tuple[str, str]:
    """Make a commit that puts files (path → text) on top of a branch; return its id and that of the branch's head.

    The branch is not moved; a missing one has the head "". The head itself is returned where it has these files
    already. who: name and address of the author. Raises SourceUnavailable, FilesRefused.
    """
    head = head_of(repository, branch)
    with tempfile.TemporaryDirectory(prefix="ringi-index-") as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        if head:
            _say(repository, ["read-tree", head], index)
        for path, text in files.items():
            blob = _say(repository, ["hash-object", "-w", "--stdin"], index, text.encode())
            _say(repository, ["update-index", "--add", "--cacheinfo", f"100644,{blob},{path}"], index)
        tree = _say(repository, ["write-tree"], index)
    if head and tree == object_id(read(repository, ["rev-parse", f"{head}^{{tree}}"]).encode()):
        return head, head
    parts = {"NAME": who[0], "EMAIL": who[1], "DATE": at.isoformat()}
    names = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in parts.items()}
    parents = ["-p", head] if head else []
    return _say(repository, ["commit-tree", "--no-gpg-sign", *parents, tree], names, message.encode()), head


def commit_files(
    repository: Path, branch: str, files: Mapping[str, str], *, message: str, who: tuple[str, str], at: datetime
) -> str:
    """Commit files to a branch of a repository on this machine; return the id of the commit that has them.

    A checked-out branch is not moved. Raises SourceUnavailable, FilesRefused.
    """
    made, head = committed(repository, branch, files, message=message, who=who, at=at)
    if made == head:
        return made
    ref = f"refs/heads/{branch}"
    bare = read(repository, ["rev-parse", "--is-bare-repository"]).strip() == "true"
    if not bare and run(repository, ["symbolic-ref", "--quiet", "HEAD"]).stdout.decode().strip() == ref:
        text = _("The branch %(branch)s is checked out in the repository; choose another branch.")
        raise FilesRefused(text % {"branch": branch})
    done = run(repository, ["update-ref", ref, made, head or "0" * len(made)])
    if done.returncode:
        text = _("The branch %(branch)s could not be updated: %(reason)s")
        raise FilesRefused(text % {"branch": branch, "reason": last(done.stderr)})
    return made


def head_of(repository: Path, branch: str) -> str:
    """Return the commit of a branch, empty for a missing branch. Raises SourceUnavailable, FilesRefused."""
    ref = f"refs/heads/{branch}"
    if not names_ref(repository, ref):
        raise FilesRefused(_("“%(branch)s” is not a valid branch name.") % {"branch": branch})
    found = run(repository, ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"])
    return object_id(found.stdout) if not found.returncode else ""


def _say(repository: Path, words: list[str], extra: Mapping[str, str], stdin: bytes = b"") -> str:
    done = run(repository, words, extra=extra, stdin=stdin)
    if done.returncode:
        raise SourceUnavailable(_("git failed: %(reason)s") % {"reason": last(done.stderr)})
    return done.stdout.decode("ascii", "replace").strip()
