"""All tags of a repository at once, the commits of each, and the making of a new one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.utils.translation import gettext as _

from releases.sources.git import message as words
from releases.sources.git.facts import resolve
from releases.sources.git.program import SourceUnavailable, last, names_ref, object_id, read, run

_FIELDS = (
    "refname:lstrip=2",
    "objectname",
    "objecttype",
    "*objectname",
    "*objecttype",
    "tree",
    "*tree",
    "creatordate:iso-strict",
    "contents",
)
_END = "\x01\x02"


class TagRefused(Exception):
    """A tag that could not be made; the message is shown to people."""


@dataclass(frozen=True)
class Tagged:
    """One listed tag. commit and tree are empty when it names another object than a commit.

    at: the tagger's time, for a light tag the committer's; None when unreadable. message: of an annotated tag
    only, without signature.
    """

    name: str
    object_id: str
    annotated: bool
    commit: str
    tree: str
    at: datetime | None
    message: str


def listed(repository: Path) -> list[Tagged]:
    """Return all tags, read in one call of git. Raises SourceUnavailable."""
    form = "--format=" + "%00".join(f"%({field})" for field in _FIELDS) + "%01%02"
    return [
        _tagged(record.lstrip("\n").split("\0"))
        for record in read(repository, ["for-each-ref", form, "refs/tags"]).split(_END)
        if record.strip("\n")
    ]


def _tagged(fields: list[str]) -> Tagged:
    name, object_, kind, peeled, peeled_kind, tree, peeled_tree, at, contents = fields
    annotated = kind == "tag"
    commit = peeled if annotated else object_
    if (peeled_kind if annotated else kind) != "commit":
        commit = tree = peeled_tree = ""
    try:
        moment = datetime.fromisoformat(at) if at else None
    except ValueError:
        moment = None
    message = words.unsigned(contents) if annotated else ""
    return Tagged(name, object_, annotated, commit, peeled_tree if annotated else tree, moment, message)


def subjects(repository: Path, commits: Sequence[str]) -> list[list[str]]:
    """Return for each commit the subjects of the commits that it adds to those before it in the list, newest first.

    The history is read once and distributed in memory. Merges are left out. Raises SourceUnavailable.
    """
    if not commits:
        return []
    log = read(
        repository,
        ["log", "--topo-order", "--no-mailmap", "--format=%H%x00%P%x00%s", "--stdin"],
        stdin="".join(f"{commit}\n" for commit in commits).encode(),
    )
    parents: dict[str, list[str]] = {}
    subject: dict[str, str] = {}
    place: dict[str, int] = {}
    for line in log.split("\n"):
        commit, found, rest = line.partition("\0")
        if found:
            above, _found, subject[commit] = rest.partition("\0")
            parents[commit] = above.split()
            place[commit] = len(place)
    seen: set[str] = set()
    brought = []
    for start in commits:
        new, stack = [], [start]
        while stack:
            commit = stack.pop()
            if commit not in seen and commit in parents:
                seen.add(commit)
                new.append(commit)
                stack += parents[commit]
        new.sort(key=place.__getitem__)
        brought.append([subject[commit] for commit in new if len(parents[commit]) < 2])
    return brought


def create_tag(
    repository: Path,
    *,
    name: str,
    commit: str,
    message: str,
    key: Path,
    tagger: str,
    address: str,
    at: datetime | None = None,
) -> str:
    """Make an annotated tag signed with an SSH key (private key file) and return the id of the tag object.

    An existing tag is never moved. Raises SourceUnavailable, NoSuchRevision, TagRefused.
    """
    if not names_ref(repository, f"refs/tags/{name}") or name.startswith("-"):
        raise TagRefused(_("“%(tag)s” is not a valid tag name.") % {"tag": name})
    if any(character in tagger + address for character in "<>\n\0"):
        raise TagRefused(_("The name or address of the tagger cannot be written in a tag."))
    commit = resolve(repository, commit)
    who = {"GIT_COMMITTER_NAME": tagger, "GIT_COMMITTER_EMAIL": address}
    if at is not None:
        who["GIT_COMMITTER_DATE"] = at.isoformat()
    made = run(
        repository,
        ["tag", "--annotate", "--sign", "--cleanup=whitespace", "--file=-", "--end-of-options", name, commit],
        options=["gpg.format=ssh", f"user.signingKey={key.absolute()}"],
        extra=who,
        stdin=message.encode(),
    )
    if made.returncode:
        raise TagRefused(_("The tag %(tag)s was not created: %(reason)s") % {"tag": name, "reason": last(made.stderr)})
    return tag_object(repository, name)


def tag_object(repository: Path, name: str) -> str:
    """Return the id of a tag's object, empty for a missing tag. Raises SourceUnavailable."""
    found = run(repository, ["rev-parse", "--verify", "--quiet", "--end-of-options", f"refs/tags/{name}"])
    return object_id(found.stdout) if not found.returncode else ""


def take_away(repository: Path, name: str, object_: str) -> None:
    """Delete an unpushed tag from a mirror, only while it still names that object."""
    done = run(repository, ["update-ref", "-d", f"refs/tags/{name}", object_])
    if done.returncode:
        raise SourceUnavailable(_("git failed: %(reason)s") % {"reason": last(done.stderr)})
