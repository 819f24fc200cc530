"""Private files beside the database; each gets the owner of its folder, whichever account creates it."""

import os
from pathlib import Path


def make_folder(folder: Path) -> None:
    """Make a private folder where there is none; one that root makes belongs to the account of the folder above."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() == 0:
            above = folder.parent.stat()
            os.chown(folder, above.st_uid, above.st_gid)


def as_its_folder(descriptor: int, folder: Path) -> None:
    """Give an open file to the account of its folder, where root has made it."""
    if os.geteuid() == 0:
        found = folder.stat()
        os.fchown(descriptor, found.st_uid, found.st_gid)


def write_private(file: Path, text: str) -> None:
    """Replace a file that only its owner may read in one step; a crash leaves the old or the new one."""
    fresh = file.with_name(f"{file.name}.new")
    fresh.unlink(missing_ok=True)  # what a crash has left
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        as_its_folder(out.fileno(), file.parent)
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
