"""Tells on a target's host which folders are one place under several names: links, `..`, /proc and bind mounts
resolved.

Asked before settings are kept and before the first step of a deployment: what is done to one folder would be done to
the other.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from environments.targets.base import StepFailed, TargetSpec
from environments.targets.ssh import call, place
from environments.targets.words import gettext as _

SECONDS = 30.0
MOUNTS = Path("/proc/self/mountinfo")


@dataclass(frozen=True)
class _Mount:
    """A part of a file system (device, its folder there) and where it is mounted."""

    device: str
    folder: PurePosixPath
    at: PurePosixPath


def shared_with(target: TargetSpec, roots: Sequence[str]) -> list[str]:
    """Return those of the roots that a target's root shares, holds or lies in on its host.

    Raises StepFailed for a host that cannot be reached, and for a folder whose place can't be determined.
    """
    if place.lies_elsewhere(target):
        found: list[str] = call.ask(target, "shared_with", seconds=SECONDS, roots=list(roots))
        return found
    mounts = _mounts()
    own = _places(str(target.root), mounts)
    return [root for root in roots if any(_one(a, b) for a in own for b in _places(root, mounts))]


def _one(left: tuple[str, PurePosixPath], right: tuple[str, PurePosixPath]) -> bool:
    (device, here), (other, there) = left, right
    return device == other and (here.is_relative_to(there) or there.is_relative_to(here))


def _places(root: str, mounts: Sequence[_Mount]) -> list[tuple[str, PurePosixPath]]:
    """Return (device, folder in its file system) of a folder, and of all that is mounted below it."""
    real = PurePosixPath(os.path.realpath(root))
    if real.is_relative_to("/proc") or not _same_inode(root, str(real)):
        text = _("%(path)s leads through /proc or another place where Ringi cannot identify the actual folder.")
        raise StepFailed(text % {"path": root})
    # The last mount on a place is the one that is seen there.
    holder = max(reversed(mounts), key=lambda m: len(m.at.parts) if real.is_relative_to(m.at) else -1)
    below = [(m.device, m.folder) for m in mounts if m.at != real and m.at.is_relative_to(real)]
    return [(holder.device, holder.folder / real.relative_to(holder.at)), *below]


def _same_inode(root: str, real: str) -> bool:
    try:
        return os.path.samefile(root, real)
    except FileNotFoundError:
        return True  # yet to be made
    except OSError:
        return PurePosixPath(root) == PurePosixPath(real)


def _mounts() -> list[_Mount]:
    found = []
    for line in MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        _id, _parent, device, folder, at, *_rest = line.split(" ")
        found.append(_Mount(device, PurePosixPath(_plain(folder)), PurePosixPath(_plain(at))))
    return found


def _plain(text: str) -> str:
    """Return a path as it is: the kernel writes blanks and backslashes as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
