"""Trees of files: git's tree digest measured on the disk, and the laying of a version's tree; called by code_deploy."""

import ctypes
import hashlib
import os
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from environments.targets.base import StepFailed, Version
from environments.targets.words import gettext as _

_syncfs = ctypes.CDLL(None, use_errno=True).syncfs
_OBJECT_ID = re.compile(r"[0-9a-f]{40}\Z")
# The most bytes that an archive may unpack to.
LARGEST = 16 << 30
_FOLDER_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]*\Z")


def _object_id(kind: bytes, content: bytes) -> bytes:
    return hashlib.sha1(kind + b" %d\0" % len(content) + content, usedforsecurity=False).digest()


def _blob_of(path: bytes) -> bytes:
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.digest()


def _tree_of(folder: bytes) -> bytes | None:
    entries: list[tuple[bytes, bytes]] = []
    for entry in os.scandir(folder):
        mode = entry.stat(follow_symlinks=False).st_mode
        order = entry.name
        if stat.S_ISLNK(mode):
            kind, digest = b"120000", _object_id(b"blob", os.readlink(entry.path))
        elif stat.S_ISDIR(mode):
            inner = _tree_of(entry.path)
            if inner is None:
                continue
            # Git orders a folder as if its name ended with a slash.
            kind, digest, order = b"40000", inner, entry.name + b"/"
        elif stat.S_ISREG(mode):
            kind, digest = (b"100755" if mode & stat.S_IXUSR else b"100644"), _blob_of(entry.path)
        else:
            raise StepFailed(_("%(path)s is neither file, link nor folder") % {"path": os.fsdecode(entry.path)})
        entries.append((order, kind + b" " + entry.name + b"\0" + digest))
    if not entries:
        return None
    return _object_id(b"tree", b"".join(line for _order, line in sorted(entries)))


def tree_digest(path: Path) -> str:
    """Return the git tree object id (40 hex) of the files under path, computed from the disk alone; "" if none.

    Folders without a file do not count, as in git. Raises StepFailed for what git cannot hold.
    """
    if not path.is_dir():
        return ""
    digest = _tree_of(os.fsencode(path))
    return digest.hex() if digest else _object_id(b"tree", b"").hex()


def folder_name(version: Version) -> str:
    """Return the folder's name of a laid version; raises StepFailed when version or commit are not plain."""
    name = f"{version.version}-{version.commit[:12]}" + (f"-{version.digest[:12]}" if version.digest else "")
    if not _OBJECT_ID.match(version.commit) or not _FOLDER_NAME.match(name):
        text = _("these values are not a version and a commit: %(version)r %(commit)r")
        raise StepFailed(text % {"version": version.version, "commit": version.commit})
    return name


def git_environment() -> dict[str, str]:
    """Return what keeps git from other configuration, prompts and replaced objects."""
    return {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
    }


def archive_command(repository: str, version: Version, archive: Path) -> list[str]:
    """Return git's argument list that writes the version's tree to a tar file."""
    folder_name(version)
    safe = f"safe.directory={Path(repository).resolve()}"
    return [
        *("git", "-c", safe, "-C", repository, "archive", "--format=tar", f"--output={archive}"),
        # The tree itself instead of its commit: nothing in the files is substituted then.
        f"{version.commit}^{{tree}}",
    ]


def places_of(repository: str) -> list[str]:
    """Return the folders in which git finds a repository's objects: its own, and those that it borrows from."""
    found = [repository]
    for known in ("objects/info/alternates", ".git/objects/info/alternates"):
        with suppress(OSError):
            found += Path(repository, known).read_text().splitlines()
    return found


def archive(repository: str, version: Version, path: Path, run: Callable[[Sequence[str]], object]) -> None:
    """Write the version's tree to a tar file; run: runs git's argument list. Raises StepFailed."""
    if not Path(repository).is_dir():
        raise StepFailed(_("there is no git repository at %(path)s") % {"path": repository})
    run(archive_command(repository, version, path))


def unpack(packed: Path, folder: Path, version: Version) -> None:
    """Write what a version deploys into an empty folder: a tar or zip archive unpacked, a file under its own name.

    Raises StepFailed for an archive that cannot be read, leads out of the folder or holds more than LARGEST bytes.
    """
    try:
        if version.artefact == "file":
            place = folder / PurePosixPath(version.reference).name
            shutil.copyfile(packed, place)
            place.chmod(0o755)
        elif zipfile.is_zipfile(packed):
            _extract_zip(packed, folder)
        else:
            _extract(packed, folder)
    except (tarfile.TarError, zipfile.BadZipFile, NotImplementedError, OSError, EOFError, ValueError) as error:
        text = _("the tree of %(tag)s was refused: %(reason)s")
        raise StepFailed(text % {"tag": version.tag, "reason": error}) from error


def _extract(archive: Path, folder: Path) -> None:
    size = 0
    with tarfile.open(archive) as tar:
        for member in tar:
            size = _added(size, member.size)
            safe = tarfile.data_filter(member, str(folder))
            if safe.isreg():
                safe = safe.replace(mode=0o755 if member.mode & stat.S_IXUSR else 0o644, deep=False)
            elif safe.isdir():
                safe = safe.replace(mode=0o755, deep=False)
            tar.extract(safe, folder, filter="fully_trusted")


def _extract_zip(archive: Path, folder: Path) -> None:
    """Write regular files and folders only: a zip that names a link, or a path that leads out, is refused."""
    size = 0
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            size, mode = _added(size, member.file_size), member.external_attr >> 16
            path = PurePosixPath(member.filename)
            if path.is_absolute() or ".." in path.parts or stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise ValueError(member.filename)
            place = folder / path
            if member.is_dir():
                place.mkdir(parents=True, exist_ok=True)
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            with opened.open(member) as source, place.open("xb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
            place.chmod(0o755 if mode & stat.S_IXUSR else 0o644)


def _added(size: int, more: int) -> int:
    if size + more > LARGEST:
        raise ValueError(_("more than %(number)d bytes") % {"number": LARGEST})
    return size + more


def lay(version: Version, releases: Path, fetch: Callable[[Path], object]) -> tuple[Path, bool]:
    """Lay the version's tree under `releases` and return its folder and whether it was laid now.

    fetch: writes the version's tree to a tar file, as archive() does, or its artefact. A folder that is there already
    is kept when its digest is the version's, and laid again when not. Raises StepFailed when the tree that was given is
    not `version.tree`; nothing is left then.
    """
    folder = releases / folder_name(version)
    if tree_digest(folder) == version.tree:
        return folder, False
    releases.mkdir(parents=True, exist_ok=True)
    for left in releases.glob(f".laying-{folder.name}-*"):
        shutil.rmtree(left)
    work = Path(tempfile.mkdtemp(prefix=f".laying-{folder.name}-", dir=releases))
    try:
        packed, fresh = work / "tree.tar", work / "tree"
        fresh.mkdir(mode=0o755)
        fetch(packed)
        unpack(packed, fresh, version)
        measured = tree_digest(fresh)
        if measured != version.tree:
            text = _("the written files have the Git tree hash %(measured)s; the Git tree hash of %(tag)s is %(tree)s")
            raise StepFailed(text % {"measured": measured, "tag": version.tag, "tree": version.tree})
        _sync_filesystem(fresh)
        if folder.exists():
            # Changed on the target since it was laid: kept aside for an investigation.
            os.rename(folder, work.with_name(f".changed-{folder.name}-{work.name[-8:]}"))
        os.rename(fresh, folder)
    finally:
        shutil.rmtree(work)
    return folder, True


def _sync_filesystem(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _syncfs(descriptor):
            raise OSError(ctypes.get_errno(), "syncfs", str(folder))
    finally:
        os.close(descriptor)


def switch(link: Path, folder: Path | None) -> bool:
    """Point the link to the folder (a name beside it, relative) or remove it (None); return whether that changed it."""
    if folder is None:
        if not link.is_symlink():
            return False
        link.unlink()
    else:
        wanted = os.path.relpath(folder, link.parent)
        if link.is_symlink() and os.readlink(link) == wanted:
            return False
        fresh = link.with_name(f".{link.name}-{os.getpid()}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(wanted)
        os.rename(fresh, link)
    sync_folder(link.parent)
    return True


def sync_folder(folder: Path) -> None:
    """Make renames and removals in the folder last over a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
