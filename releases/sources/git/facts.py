"""Facts of a repository about tags, commits, branches and authors; operations read them before a gate is evaluated."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from django.utils.translation import gettext as _

from releases.sources.git import message as words
from releases.sources.git.program import OBJECT, names_ref, object_id, read, run
from releases.sources.git.signing import Signature, Signers, checked

_ADDRESS = re.compile(r"[^\s<>,;@]+@[^\s<>,;@]+")
_BRACKETS = re.compile(r"<([^<>]*)>")
_WROTE = "--format=%H%x00%an%x00%ae%x00%(trailers:key=Co-authored-by,valueonly,unfold)%x00"
_COMMITTED = "--format=%H%x00%cn%x00%ce%x00%x00"
_UNREADABLE = re.compile(r"([0-9a-f]{40,64}) (.*)")


class NoSuchTag(Exception):
    """A missing tag, or one that names no commit; the message is shown to people."""


class NoSuchRevision(Exception):
    """A missing commit; the message is shown to people."""


@dataclass(frozen=True)
class CommitFacts:
    """A commit with its tree (object ids) and its authors (as `authors` returns them)."""

    commit: str
    tree: str
    authors: tuple[str, ...]


@dataclass(frozen=True)
class TagFacts:
    """A tag as the repository has it. `object_id` is the tag object, or the commit of a light tag.

    version_named: the signed object itself bears the tag's name and its message names the version;
    date_named: the message has a date; changes_named: it has a line beside these.
    """

    name: str
    object_id: str
    annotated: bool
    commit: str
    tree: str
    tagger: str
    message: str
    signed: bool
    signature_good: bool
    signer: str
    version_named: bool
    date_named: bool
    changes_named: bool


def facts(
    repository: Path, *, tag: str, signers: Signers | None = None, tag_prefix: str = "v", version: str = ""
) -> TagFacts:
    """Read a tag and check its signature. Raises SourceUnavailable, NoSuchTag.

    version: the version that the message must name; left out, the tag's name without its prefix.
    """
    if not names_ref(repository, f"refs/tags/{tag}"):
        raise NoSuchTag(_("“%(tag)s” is not a valid tag name.") % {"tag": tag})
    found = run(repository, ["rev-parse", "--verify", "--quiet", "--end-of-options", f"refs/tags/{tag}"])
    if found.returncode:
        raise NoSuchTag(_("There is no tag %(tag)s.") % {"tag": tag})
    object_ = object_id(found.stdout)
    peeled = run(repository, ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{object_}^{{commit}}"])
    if peeled.returncode:
        raise NoSuchTag(_("The tag %(tag)s does not point to a commit.") % {"tag": tag})
    commit = object_id(peeled.stdout)
    annotated = object_ != commit
    header, message, signature = {}, "", Signature(False, False, "")
    if annotated:
        # Read by object id, so that a tag moved meanwhile cannot mix the facts of two.
        head, _blank, body = read(repository, ["cat-file", "tag", object_]).partition("\n\n")
        header = dict(line.partition(" ")[::2] for line in head.splitlines())
        message = words.unsigned(body)
        signature = checked(repository, "verify-tag", object_, signed="-----BEGIN " in body, signers=signers)
    version = version or tag.removeprefix(tag_prefix)
    return TagFacts(
        name=tag,
        object_id=object_,
        annotated=annotated,
        commit=commit,
        tree=_tree(repository, commit),
        tagger=header.get("tagger", "").rpartition("> ")[0] + (">" if "tagger" in header else ""),
        message=message,
        signed=signature.signed,
        signature_good=signature.good,
        signer=signature.signer,
        version_named=header.get("tag") == tag and words.names_version(message, version),
        date_named=words.names_date(message),
        changes_named=bool(words.changes(message, version)),
    )


def commit_facts(repository: Path, rev: str) -> CommitFacts:
    """Read a commit by object id, branch or tag name. Raises SourceUnavailable, NoSuchRevision."""
    commit = resolve(repository, rev)
    return CommitFacts(commit, _tree(repository, commit), tuple(_people(repository, ["--no-walk", commit])))


def resolve(repository: Path, rev: str) -> str:
    """Return the object id of the commit that a full id, branch or tag names. Raises as commit_facts."""
    candidates = [rev] if OBJECT.fullmatch(rev) else [f"refs/heads/{rev}", f"refs/tags/{rev}"]
    for candidate in candidates:
        if not OBJECT.fullmatch(candidate) and not names_ref(repository, candidate):
            break
        arguments = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{candidate}^{{commit}}"]
        found = run(repository, arguments)
        if not found.returncode:
            return object_id(found.stdout)
    raise NoSuchRevision(_("There is no commit “%(rev)s”.") % {"rev": rev})


def commit_signature(repository: Path, commit: str, signers: Signers | None = None) -> Signature:
    """Check the signature of a commit (full object id). Raises SourceUnavailable, NoSuchRevision."""
    commit = resolve(repository, commit)
    head = read(repository, ["cat-file", "commit", commit]).partition("\n\n")[0]
    signed = any(line.startswith(("gpgsig ", "gpgsig-sha256 ")) for line in head.splitlines())
    return checked(repository, "verify-commit", commit, signed=signed, signers=signers)


def contains(repository: Path, commit: str) -> list[str]:
    """Return the heads (branch names) from which a commit is reachable. Raises as commit_facts."""
    commit = resolve(repository, commit)
    listing = read(repository, ["for-each-ref", f"--contains={commit}", "--format=%(refname:lstrip=2)", "refs/heads"])
    return sorted(listing.splitlines())


def has_branch(repository: Path, name: str) -> bool:
    """Tell whether a branch of this name exists. Raises SourceUnavailable."""
    ref = f"refs/heads/{name}"
    if not names_ref(repository, ref):
        return False
    return run(repository, ["show-ref", "--verify", "--quiet", ref]).returncode == 0


def head_accepts(heads: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """Return the heads that match a pattern such as `feature/*`; empty when none is accepted."""
    return [head for head in heads if any(fnmatchcase(head, pattern) for pattern in patterns)]


def authors(repository: Path, base: str | None, commit: str) -> list[str]:
    """Return the addresses of all authors of the commits after `base` up to `commit`, co-authors included.

    Addresses are those of the commits, in lower case; a mail map in the repository changes nothing. A person without
    a readable address is listed in the form of `unreadable`, which equals no address. base None: from the beginning.
    Raises as commit_facts.
    """
    return _people(repository, _span(repository, base, commit))


def committers(repository: Path, base: str | None, commit: str) -> list[str]:
    """Return the addresses of all committers of these commits, as `authors` does for authors: a person who corrects or
    rebases another's commit can change it, and is listed in it as its committer only.
    """
    return _people(repository, _span(repository, base, commit), _COMMITTED)


def unreadable(entry: str) -> tuple[str, str] | None:
    """Return (commit, name as written) of a person without a readable address; None for an address."""
    found = _UNREADABLE.fullmatch(entry)
    return (found[1], found[2]) if found else None


def _span(repository: Path, base: str | None, commit: str) -> list[str]:
    return [resolve(repository, commit)] + ([f"^{resolve(repository, base)}"] if base is not None else [])


def _people(repository: Path, revisions: Sequence[str], form: str = _WROTE) -> list[str]:
    fields = read(repository, ["log", "--no-mailmap", form, *revisions, "--"]).split("\0")[:-1]
    people: dict[str, None] = {}
    for commit, name, address, trailers in zip(*(fields[start::4] for start in range(4)), strict=True):
        named = [(name, [address])]
        for line in filter(str.strip, trailers.splitlines()):
            found = [*_BRACKETS.findall(line), *_ADDRESS.findall(_BRACKETS.sub(",", line))]
            named.append((line, found or [""]))
        for text, found in named:
            for one in found:
                readable = _ADDRESS.fullmatch(one := one.strip().lower())
                people[one if readable else f"{commit.strip()} {' '.join(text.split())}"[:200]] = None
    return list(people)


def _tree(repository: Path, commit: str) -> str:
    return object_id(read(repository, ["rev-parse", "--verify", "--end-of-options", f"{commit}^{{tree}}"]).encode())
