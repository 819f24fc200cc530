"""A folder of files as a target's data store. A position is a list of the files and their digests."""

import base64
import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

from environments.targets.base import StepFailed
from environments.targets.data_store import DataDigest, DataStore, Heartbeat, quiet
from environments.targets.runner import Runs
from environments.targets.trees import sha256_of, sync_folder
from environments.targets.words import gettext as _

Files = dict[str, tuple[int, str]]  # path → (bytes, SHA-256); of a link, that of its text


@dataclass(frozen=True)
class DataFolder(DataStore):
    """The files and links of a folder; a table is a file, and its rows are its bytes."""

    path: Path

    dump_name: ClassVar[str] = "data.tar"

    def digest(self, run: Runs, heartbeat: Heartbeat = quiet, *, data: bool = True) -> DataDigest:
        """Return the digest of all files; there is no schema."""
        return _total(_files(self.path, heartbeat)) if data else DataDigest("", "")

    def dump(self, run: Runs, path: Path, heartbeat: Heartbeat = quiet) -> tuple[str, DataDigest]:
        """Write all files into an archive; the digest is that of the archive."""
        try:
            with tarfile.open(path, "w") as archive:
                for name in _names(self.path):
                    heartbeat()
                    archive.add(self.path / name, name, recursive=False)
        except (OSError, tarfile.TarError) as error:
            raise StepFailed(_("the data folder cannot be read: %(reason)s") % {"reason": error}) from error
        return "", _total(_archived(path))

    def restored(self, run: Runs, dump: Path, name: str, server: str, heartbeat: Heartbeat = quiet) -> DataDigest:
        """Read every file of the archive."""
        return _total(_archived(dump))

    def contents(self, run: Runs, dump: Path) -> tuple[str, set[str]]:
        """Return the names of its files."""
        names = _archived(dump)
        return "\n".join(names), set(names)

    def position(self, path: Path) -> str:
        """Keep the list of the present files."""
        path.write_text(json.dumps(_files(self.path, quiet)))
        return str(path)

    def rows_since(self, position: str | None, *, whole: bool) -> Iterator[tuple[str, str, str]]:
        """Yield the files that were not there with this content; whole: with their bytes (base64)."""
        earlier = _listed(Path(position)) if position is not None else {}
        for name, (size, digest) in _files(self.path, quiet).items():
            if earlier.get(name) != (size, digest):
                yield name, json.dumps(name), self._row(name, digest) if whole else ""

    def _row(self, name: str, digest: str) -> str:
        path = self.path / name
        found: dict[str, Any] = {"sha256": digest}
        if path.is_symlink():
            return json.dumps(found | {"link": os.readlink(path)})
        if path.is_dir():
            return json.dumps({})
        return json.dumps(found | {"base64": base64.b64encode(path.read_bytes()).decode()})

    def replace_content(self, run: Runs, dump: Path | None, work: Path) -> None:
        """Unpack the archive beside the folder and put it in the folder's place; a later attempt goes on after a
        crash.
        """
        fresh, old = (self.path.with_name(f".{self.path.name}.ringi-{what}") for what in ("restored", "replaced"))
        try:
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            if dump is not None:
                with tarfile.open(dump) as archive:
                    # Ringi's own archive, whose digest was compared: no member leads out of it, and each keeps its
                    # owner, its permissions and the target of its link.
                    archive.extractall(fresh, filter="fully_trusted")
            if self.path.exists():
                shutil.copystat(self.path, fresh)
                if os.geteuid() == 0:
                    os.chown(fresh, self.path.stat().st_uid, self.path.stat().st_gid)
                shutil.rmtree(old, ignore_errors=True)
                self.path.rename(old)
            fresh.rename(self.path)
            sync_folder(self.path.parent)
            shutil.rmtree(old, ignore_errors=True)
        except (OSError, tarfile.TarError) as error:
            raise StepFailed(_("the data folder cannot be replaced: %(reason)s") % {"reason": error}) from error

    def commands(self, dump: Path) -> list[str]:
        """Return the command that would do the same."""
        return [f"tar --create --file={dump} --directory={self.path} ."]


def _names(folder: Path) -> list[str]:
    """Return the files, links and folders below a folder, sorted."""
    found = []
    for place, folders, files in os.walk(folder):
        here = Path(place)
        links = [name for name in folders if (here / name).is_symlink()]
        inner = [*files, *links, *([""] if here != folder else [])]
        found += [(here / name).relative_to(folder).as_posix() for name in inner]
    return sorted(found)


def _files(folder: Path, heartbeat: Heartbeat) -> Files:
    found: Files = {}
    try:
        for name in _names(folder):
            heartbeat()
            path = folder / name
            if path.is_symlink():
                found[name] = 0, hashlib.sha256(os.readlink(path).encode()).hexdigest()
            elif path.is_file():
                found[name] = path.stat().st_size, sha256_of(path)
            elif path.is_dir():
                found[name] = 0, ""
    except OSError as error:
        raise StepFailed(_("the data folder cannot be read: %(reason)s") % {"reason": error}) from error
    return found


def _archived(dump: Path) -> Files:
    found: Files = {}
    try:
        with tarfile.open(dump) as archive:
            for member in archive:
                if member.issym():
                    found[member.name] = 0, hashlib.sha256(member.linkname.encode()).hexdigest()
                elif member.islnk():
                    found[member.name] = found[member.linkname]
                elif member.isdir():
                    found[member.name] = 0, ""
                elif (file := archive.extractfile(member)) is not None:
                    found[member.name] = member.size, _digest_of(file)
    except (OSError, tarfile.TarError) as error:
        raise StepFailed(_("the dump is damaged: %(reason)s") % {"reason": error}) from error
    return dict(sorted(found.items()))


def _digest_of(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _listed(position: Path) -> Files:
    """Return the files at a position: those of an archive, or of a list."""
    if not position.exists():
        raise StepFailed(_("the list of the data files is missing: %(path)s") % {"path": position})
    if position.suffix == ".tar":
        return _archived(position)
    return {name: (size, digest) for name, (size, digest) in json.loads(position.read_text()).items()}


def _total(files: Files) -> DataDigest:
    if not files:
        return DataDigest("", "")
    lines = "".join(f"{name} {size} {digest}\n" for name, (size, digest) in files.items())
    return DataDigest(hashlib.sha256(lines.encode()).hexdigest(), "", files)
