"""Facts from a real git repository, observed by actions before a gate is asked.

Every call is an argument list to the `git` program, cut off from the configuration of user and machine;
programs that a repository's own configuration could name (hooks, monitors, signing tools) are replaced by
fixed ones.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fnmatch import fnmatchcase
from pathlib import Path

from django.utils.translation import gettext as _

_SECONDS = 60
_OBJECT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?", re.ASCII)
_DATE = re.compile(r"(?<!\d)(\d{4})(?:-|/|年)(\d{1,2})(?:-|/|月)(\d{1,2})(?!\d)", re.ASCII)
_TRAILER = re.compile(r"^[A-Za-z][A-Za-z-]*: ", re.ASCII)
_ADDRESS = re.compile(r"<([^<>\s]+)>")
_GOOD_SSH = re.compile(r'^Good "git" signature for (.+?) with \S+ key (\S+)', re.MULTILINE)
_SSH_KEY = re.compile(r'^Good "git" signature with \S+ key (\S+)', re.MULTILINE)
_GOOD_GPG = re.compile(r"^\[GNUPG:\] GOODSIG \S+ (.+)$", re.MULTILINE)


class SourceUnavailable(Exception):
    """The repository can't be read; the message is shown to people."""


class NoSuchTag(Exception):
    """There is no such tag, or it names no commit; the message is shown to people."""


class NoSuchRevision(Exception):
    """There is no such commit; the message is shown to people."""


class TagRefused(Exception):
    """The tag could not be made; the message is shown to people."""


@dataclass(frozen=True)
class Signers:
    """Whose signatures count: a file of allowed SSH signers, a GnuPG home with keys, or both."""

    allowed_signers: Path | None = None
    gnupg_home: Path | None = None


@dataclass(frozen=True)
class Signature:
    """What git says of a signature; `signer` is the principal (SSH) or the key's name (GPG)."""

    signed: bool
    good: bool
    signer: str


@dataclass(frozen=True)
class CommitFacts:
    """A commit and its tree (object ids) and who wrote it (addresses, co-authors included)."""

    commit: str
    tree: str
    authors: tuple[str, ...]


@dataclass(frozen=True)
class TagFacts:
    """A tag as it stands in the repository. `object_id` is the tag object, or the commit of a light tag.

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


def facts(repository: Path, *, tag: str, signers: Signers | None = None, tag_prefix: str = "v") -> TagFacts:
    """Read a tag and check its signature. Raises SourceUnavailable, NoSuchTag."""
    if not _names_ref(repository, f"refs/tags/{tag}"):
        raise NoSuchTag(_("“%(tag)s” is not a name for a tag.") % {"tag": tag})
    found = _git(repository, ["rev-parse", "--verify", "--quiet", "--end-of-options", f"refs/tags/{tag}"])
    if found.returncode:
        raise NoSuchTag(_("There is no tag %(tag)s.") % {"tag": tag})
    object_id = _object(found.stdout)
    peeled = _git(repository, ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{object_id}^{{commit}}"])
    if peeled.returncode:
        raise NoSuchTag(_("The tag %(tag)s does not name a commit.") % {"tag": tag})
    commit = _object(peeled.stdout)
    annotated = object_id != commit
    header, message, signature = {}, "", Signature(False, False, "")
    if annotated:
        # Read by object id, so that a tag moved meanwhile can't mix the facts of two.
        head, _blank, body = _read(repository, ["cat-file", "tag", object_id]).partition("\n\n")
        header = dict(line.partition(" ")[::2] for line in head.splitlines())
        message = re.split(r"(?m)^-----BEGIN (?:PGP|SSH) ", body)[0].strip()
        signature = _signature(repository, "verify-tag", object_id, signed="-----BEGIN " in body, signers=signers)
    version = tag.removeprefix(tag_prefix)
    return TagFacts(
        name=tag,
        object_id=object_id,
        annotated=annotated,
        commit=commit,
        tree=_tree(repository, commit),
        tagger=header.get("tagger", "").rpartition("> ")[0] + (">" if "tagger" in header else ""),
        message=message,
        signed=signature.signed,
        signature_good=signature.good,
        signer=signature.signer,
        version_named=header.get("tag") == tag and _names_version(message, version),
        date_named=_dates(message),
        changes_named=_changes(message, version),
    )


def commit_facts(repository: Path, rev: str) -> CommitFacts:
    """Read a commit by object id, branch or tag name. Raises SourceUnavailable, NoSuchRevision."""
    commit = resolve(repository, rev)
    return CommitFacts(commit, _tree(repository, commit), tuple(_people(repository, ["--no-walk", commit])))


def resolve(repository: Path, rev: str) -> str:
    """Return the object id of the commit that a full id, branch or tag names. Raises as commit_facts."""
    candidates = [rev] if _OBJECT.fullmatch(rev) else [f"refs/heads/{rev}", f"refs/tags/{rev}"]
    for candidate in candidates:
        if not _OBJECT.fullmatch(candidate) and not _names_ref(repository, candidate):
            break
        arguments = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{candidate}^{{commit}}"]
        found = _git(repository, arguments)
        if not found.returncode:
            return _object(found.stdout)
    raise NoSuchRevision(_("There is no commit “%(rev)s”.") % {"rev": rev})


def commit_signature(repository: Path, commit: str, signers: Signers | None = None) -> Signature:
    """Check the signature of a commit (full object id). Raises SourceUnavailable, NoSuchRevision."""
    commit = resolve(repository, commit)
    head = _read(repository, ["cat-file", "commit", commit]).partition("\n\n")[0]
    signed = any(line.startswith(("gpgsig ", "gpgsig-sha256 ")) for line in head.splitlines())
    return _signature(repository, "verify-commit", commit, signed=signed, signers=signers)


def contains(repository: Path, commit: str) -> list[str]:
    """Return the heads (branch names) from which a commit is reachable. Raises as commit_facts."""
    commit = resolve(repository, commit)
    listing = _read(repository, ["for-each-ref", f"--contains={commit}", "--format=%(refname:lstrip=2)", "refs/heads"])
    return sorted(listing.splitlines())


def head_accepts(heads: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """Return the heads that match a pattern such as `feature/*`; empty when none is accepted."""
    return [head for head in heads if any(fnmatchcase(head, pattern) for pattern in patterns)]


def authors(repository: Path, base: str | None, commit: str) -> list[str]:
    """Return the addresses of all who wrote the commits after `base` up to `commit`, co-authors included.

    Addresses are those of the commits, in lower case; a mail map in the repository changes nothing. base
    None: from the beginning. Raises as commit_facts.
    """
    span = [resolve(repository, commit)] + ([f"^{resolve(repository, base)}"] if base is not None else [])
    return _people(repository, span)


def tag_message(version: str, day: date, changes: Sequence[str]) -> str:
    """Return the message of a tag: version, date and one line a change."""
    lines = [" ".join(change.split()) for change in changes]
    return "\n".join([f"{version} ({day.isoformat()})", "", *(f"- {line}" for line in lines if line), ""])


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

    A tag that is there is never moved. Raises SourceUnavailable, NoSuchRevision, TagRefused.
    """
    if not _names_ref(repository, f"refs/tags/{name}") or name.startswith("-"):
        raise TagRefused(_("“%(tag)s” is not a name for a tag.") % {"tag": name})
    if any(character in tagger + address for character in "<>\n\0"):
        raise TagRefused(_("The name or address of the tagger can't be written in a tag."))
    commit = resolve(repository, commit)
    environment = {"GIT_COMMITTER_NAME": tagger, "GIT_COMMITTER_EMAIL": address}
    if at is not None:
        environment["GIT_COMMITTER_DATE"] = at.isoformat()
    made = _git(
        repository,
        ["tag", "--annotate", "--sign", "--cleanup=whitespace", "--file=-", "--end-of-options", name, commit],
        options=["gpg.format=ssh", f"user.signingKey={key.absolute()}"],
        environment=environment,
        stdin=message.encode(),
    )
    if made.returncode:
        raise TagRefused(_("The tag %(tag)s was not made: %(reason)s") % {"tag": name, "reason": _last(made.stderr)})
    return _object(_read(repository, ["rev-parse", "--verify", "--end-of-options", f"refs/tags/{name}"]).encode())


def _signature(repository: Path, command: str, object_id: str, *, signed: bool, signers: Signers | None) -> Signature:
    if not signed or signers is None:
        return Signature(signed, False, "")
    options = [f"gpg.ssh.allowedSignersFile={(signers.allowed_signers or Path(os.devnull)).absolute()}"]
    with tempfile.TemporaryDirectory(prefix="ringi-keys-") as empty:
        home = str(signers.gnupg_home.absolute()) if signers.gnupg_home else empty
        checked = _git(repository, [command, "--raw", object_id], options=options, environment={"GNUPGHOME": home})
    said = (checked.stdout + checked.stderr).decode("utf-8", "replace")
    named = _GOOD_SSH.search(said) or _GOOD_GPG.search(said)
    if checked.returncode == 0 and named:
        return Signature(True, True, named[1].strip())
    stranger = _SSH_KEY.search(said)
    return Signature(True, False, stranger[1] if stranger else "")


def _people(repository: Path, revisions: Sequence[str]) -> list[str]:
    form = "--format=%ae%n%(trailers:key=Co-authored-by,valueonly,unfold)"
    listing = _read(repository, ["log", "--no-mailmap", form, *revisions, "--"])
    people: dict[str, None] = {}
    for line in listing.splitlines():
        address = _ADDRESS.search(line)
        if bare := (address[1] if address else line).strip().lower():
            people[bare] = None
    return list(people)


def _tree(repository: Path, commit: str) -> str:
    return _object(_read(repository, ["rev-parse", "--verify", "--end-of-options", f"{commit}^{{tree}}"]).encode())


def _names_version(message: str, version: str) -> bool:
    return bool(
        re.search(rf"(?<![0-9A-Za-z.\-+]){re.escape('v')}?{re.escape(version)}(?![0-9A-Za-z\-+]|\.\d)", message)
    )


def _dates(message: str) -> bool:
    for year, month, day in _DATE.findall(message):
        try:
            date(int(year), int(month), int(day))
        except ValueError:
            continue
        return True
    return False


def _changes(message: str, version: str) -> bool:
    for line in message.splitlines():
        rest = _DATE.sub("", line).replace(f"v{version}", "").replace(version, "")
        if not _TRAILER.match(line) and len(re.findall(r"\w", rest)) >= 3:
            words = rest.strip(" \t-*#()（）:：日").casefold()
            if words not in ("", "release", "version", "リリース", "バージョン"):
                return True
    return False


def _names_ref(repository: Path, name: str) -> bool:
    # Asked of git itself, after what could be taken for an option or end a line is out.
    if name.rpartition("/")[2].startswith("-") or not name.isprintable():
        return False
    return _git(repository, ["check-ref-format", name]).returncode == 0


def _object(output: bytes) -> str:
    text = output.decode("ascii", "replace").strip()
    if not _OBJECT.fullmatch(text):
        raise SourceUnavailable(_("git answered with something that is no object id."))
    return text


def _read(repository: Path, arguments: Sequence[str]) -> str:
    done = _git(repository, arguments)
    if done.returncode:
        raise SourceUnavailable(_("git failed: %(reason)s") % {"reason": _last(done.stderr)})
    return done.stdout.decode("utf-8", "replace")


def _git(
    repository: Path,
    arguments: Sequence[str],
    *,
    options: Sequence[str] = (),
    environment: dict[str, str] | None = None,
    stdin: bytes = b"",
) -> subprocess.CompletedProcess[bytes]:
    place = repository.absolute()
    if not place.is_dir():
        raise SourceUnavailable(_("There is no repository at %(path)s.") % {"path": repository})
    fixed = [
        f"safe.directory={place.resolve()}",
        "core.hooksPath=/dev/null",
        "core.fsmonitor=false",
        "core.pager=cat",
        "gpg.program=gpg",
        "gpg.openpgp.program=gpg",
        "gpg.x509.program=gpgsm",
        "gpg.ssh.program=ssh-keygen",
        "gpg.ssh.defaultKeyCommand=",
        "gpg.ssh.revocationFile=",
        "log.showSignature=false",
        "protocol.allow=never",
        *options,
    ]
    command = ["git", "-C", str(place), *(part for option in fixed for part in ("-c", option)), *arguments]
    isolated = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        # A folder inside some other repository is not a repository.
        "GIT_CEILING_DIRECTORIES": str(place.resolve().parent),
        **(environment or {}),
    }
    try:
        done = subprocess.run(command, env=isolated, input=stdin, capture_output=True, timeout=_SECONDS, check=False)
    except FileNotFoundError:
        raise SourceUnavailable(_("The program git is not installed.")) from None
    except subprocess.TimeoutExpired:
        raise SourceUnavailable(_("git did not answer within %(seconds)d seconds.") % {"seconds": _SECONDS}) from None
    except ValueError:
        raise SourceUnavailable(_("The name has a character that no name may have.")) from None
    if done.returncode == 128 and b"not a git repository" in done.stderr:
        raise SourceUnavailable(_("There is no repository at %(path)s.") % {"path": repository})
    return done


def _last(output: bytes) -> str:
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:300] if lines else ""
