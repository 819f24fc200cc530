"""What a target's program may see of its worker's machine: the paths of a Landlock domain, and an account.

`runner` starts every program of a target in one. A host over SSH has none: there the account limits the program.
"""

import functools
import os
import pwd
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from environments.targets.base import StepFailed, TargetSpec
from environments.targets.landlock import landlock
from environments.targets.words import gettext as _


@dataclass(frozen=True)
class Sandbox:
    """Paths that a program may read and run, paths that it may write, and its account (see account())."""

    read: tuple[str, ...]
    write: tuple[str, ...]
    account: tuple[int, ...] = ()


def sandbox_of(
    target: TargetSpec, *programs: str, read: Sequence[str] = (), write: Sequence[str] = (), tool: bool = False
) -> Sandbox | None:
    """Return what a program of a target may see: its folder, the system, what its options add; None: all, on another
    host.

    read, write: paths that it needs beside that. tool: the program is one of Ringi's own, under the account of the
    worker. Raises StepFailed where the options open a folder of Ringi's own.
    """
    if target.there:
        return None
    given = target.settings.get("programs", {})
    readable, writable = tuple(given.get("read", ())), (str(target.root), *given.get("write", ()))
    for path in (*readable, *writable):
        if ours := opens_ours(path):
            text = _(
                "Programs cannot have access to %(path)s, because %(ours)s belongs to Ringi. Change the path in "
                "the target options."
            )
            raise StepFailed(text % {"path": path, "ours": ours})
    if os.geteuid() != 0:  # without root the modes of others' segments keep them closed
        write = (*write, "/dev/shm")
    installed = (place for program in programs for place in _installation(program, writable))
    return Sandbox((*readable, *read, *installed), (*writable, *write), () if tool else account())


def account() -> tuple[int, ...]:
    """Return user, group and further groups of the account that RINGI_PROGRAM_USER names; () for the worker's own
    account.

    It is the worker's own because none is named or the worker may not change accounts. Raises StepFailed for an unknown
    one.
    """
    name = os.environ.get("RINGI_PROGRAM_USER", "")
    if not name or not _may_change_accounts():
        return ()
    try:
        user = pwd.getpwnam(name)
    except KeyError as fault:
        text = _(
            "The account “%(name)s”, which RINGI_PROGRAM_USER names, does not exist on this host. Create the account."
        )
        raise StepFailed(text % {"name": name}) from fault
    return (user.pw_uid, user.pw_gid, *os.getgrouplist(name, user.pw_gid))


@functools.cache
def _may_change_accounts() -> bool:
    """Tell whether this process may become another account, and end its programs."""
    lines = Path("/proc/self/status").read_text().splitlines()
    effective = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    return all(effective >> capability & 1 for capability in (5, 6, 7))  # kill, setgid, setuid


def shared(folder: Path) -> bool:
    """Tell whether a folder has the setgid bit: its group may then read what is made in it.

    That group is the one of the accounts that work there beside the worker.
    """
    return bool(folder.stat().st_mode & stat.S_ISGID)


def opens_ours(path: str) -> str:
    """Return the folder of Ringi's own that a path, after links, holds or lies in; empty for none.

    The targets of a trial lie in its state folder, below `targets`.
    """
    state = Path(os.environ.get("RINGI_STATE_DIR") or Path(__file__).parents[2] / "var" / "state").resolve()
    led = Path(path).resolve()
    for own in (state, Path("/etc/ringi"), Path("/proc")):
        if own.is_relative_to(led) or led.is_relative_to(own) and not led.is_relative_to(state / "targets"):
            return str(own)
    return ""


def inside(target: TargetSpec, path: Path) -> Path:
    """Return a path in a target's folder; raises StepFailed where a link, which programs can make, leads out of it."""
    folders = (target.root, *target.settings.get("programs", {}).get("write", ()))
    if not target.there and not any(path.resolve().is_relative_to(Path(folder).resolve()) for folder in folders):
        raise StepFailed(_("%(path)s leads out of the folder of the deployment target.") % {"path": path})
    return path


def described(target: TargetSpec) -> tuple[str, str]:
    """Return passed, failed or unknown, and a sentence on what the programs of a target see of this machine."""
    if target.there or "ssh" in target.settings:
        return "unknown", _(
            "Programs see everything that the account for signing in on the host sees. Give that account access to "
            "nothing else."
        )
    try:
        sandbox_of(target)
    except StepFailed as fault:
        return "failed", str(fault)
    if not landlock():
        return "unknown", _(
            "The kernel of this host has no Landlock (Linux 5.19 or newer). Programs of this deployment target "
            "see everything that the worker's account sees. Use a newer kernel, or give programs a separate "
            "account."
        )
    gone = [path for paths in target.settings.get("programs", {}).values() for path in paths if not Path(path).exists()]
    if gone:
        return "failed", _("These paths do not exist: %(paths)s.") % {"paths": ", ".join(gone)}
    return "passed", _(
        "Programs see only the folder, the system and the paths given here. Ringi's own files are not visible to them."
    )


def _installation(program: str, writable: Sequence[str]) -> Iterator[str]:
    """Yield where a program is installed: its file, the folder that holds its folder `bin`, its virtual environment.

    Nothing for one that programs can write themselves: a link in there would open its target.
    """
    found = shutil.which(program)
    if found is None or not found.startswith("/"):
        return
    for path in (Path(os.path.normpath(found)), Path(found).resolve()):
        if any(path.is_relative_to(one) for folder in writable for one in (Path(folder), Path(folder).resolve())):
            return
        yield str(path)
        if path.parent.name in ("bin", "sbin"):
            yield from (str(path.parent.parent / beside) for beside in ("bin", "lib", "lib64", "libexec"))
        for folder in path.parents:
            if (folder / "pyvenv.cfg").is_file():
                yield str(folder)
                python = (folder / "bin" / "python").resolve()
                yield from (str(python), str(python.parent.parent / "lib"))
