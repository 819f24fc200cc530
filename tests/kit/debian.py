"""A bare Debian in a folder, made by mmdebstrap, and rooms of its own kernel namespaces in which commands run."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.kit.table import Failed, NotDone

SUITE = "trixie"
NEEDED = ("mmdebstrap", "unshare", "nsenter", "ip", "git")
# Packages of a server that systemd runs, before anything of Ringi.
SERVER = "systemd,procps"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
INSIDE = "/run/kit/authorities.pem"  # where a room and a build find them
NODES = ("null", "zero", "full", "random", "urandom", "tty")
# Mounts of a room; its first process waits, and buries what has lost its parent.
ENTER = """set -e
ip link set lo up
hostname kit
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount -t sysfs -o ro sysfs "$1/sys"
mount -t tmpfs -o mode=755 tmpfs "$1/dev"
for node in NODES; do touch "$1/dev/$node"; mount --bind "/dev/$node" "$1/dev/$node"; done
ln -s /proc/self/fd "$1/dev/fd"; ln -s fd/0 "$1/dev/stdin"; ln -s fd/1 "$1/dev/stdout"; ln -s fd/2 "$1/dev/stderr"
mkdir -m 1777 "$1/dev/shm"; mount -t tmpfs -o mode=1777 tmpfs "$1/dev/shm"
if [ -n "$2" ]; then mkdir -p "$1/root/.cache"; mount --bind "$2" "$1/root/.cache"; fi
exec chroot "$1" /bin/sh -c 'echo ready; while :; do sleep 3600 & wait $!; done'
""".replace("NODES", " ".join(NODES))


def run(*words: str, seconds: float = 600, environment: Mapping[str, str] | None = None, text: str = "") -> str:
    """Run a program and return what it prints. Raises Failed with the end of what it said."""
    done = subprocess.run(
        words, env=environment, input=text, capture_output=True, text=True, timeout=seconds, check=False
    )
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-25:])
        raise Failed(f"{' '.join(words)[-300:]} ended with {done.returncode}\n{said}")
    return done.stdout.strip()


@dataclass(frozen=True)
class Room:
    """A root folder with processes, mounts and network of its own; network: whether it sees that of this machine."""

    root: Path
    pid: int
    network: bool

    @property
    def words(self) -> list[str]:
        """Return the words that run a command in it."""
        spaces = ["--mount", "--pid", "--ipc", "--uts", *([] if self.network else ["--net"])]
        return ["nsenter", f"--target={self.pid}", *spaces, "--root", "--wdns=/"]

    def run(self, *words: str, seconds: float = 600, text: str = "", **variables: str) -> str:
        """Run a program in it, as root and with few variables. Raises Failed."""
        environment = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", "TERM": "dumb", **variables}
        return run(*self.words, *words, seconds=seconds, text=text, environment=environment)

    def shell(self, script: str, *, folder: str = "/", seconds: float = 600, **variables: str) -> str:
        """Run commands as a shell of root. Raises Failed."""
        return self.run("bash", "-euo", "pipefail", "-c", f"cd {folder}\n{script}", seconds=seconds, **variables)


@contextmanager
def room(root: Path, *, network: bool = False, cache: Path | None = None) -> Iterator[Room]:
    """Open a room; every process in it ends with it."""
    spaces = ["--mount", "--pid", "--ipc", "--uts", *([] if network else ["--net"])]
    words = ["unshare", *spaces, "--propagation=private", "--fork", "--kill-child", "sh", "-c"]
    holder = subprocess.Popen(
        [*words, ENTER, "sh", str(root), str(cache or "")], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    try:
        assert holder.stdout is not None
        if holder.stdout.readline().strip() != "ready":
            raise Failed("the namespaces cannot be made")
        children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()
        yield Room(root, int(children[0]), network)
    finally:
        holder.kill()  # the kernel ends its child, the first process of the room, and with it all others
        holder.wait()
        time.sleep(0.5)


def machine_variables() -> dict[str, str]:
    """Return how this machine reaches its package index, for pip and uv in a room."""
    names = [name for name in os.environ if name.startswith(("PIP_", "UV_"))]
    mine = {name: os.environ[name] for name in names if not os.environ[name].startswith("/")}  # its folders stay here
    if AUTHORITIES.exists():
        mine |= {"SSL_CERT_FILE": INSIDE, "PIP_CERT": INSIDE}
    return mine | {"UV_LINK_MODE": "copy", "PIP_ROOT_USER_ACTION": "ignore"}


def prepare(root: Path) -> None:
    """Give a root folder what every machine of a network has: names, and the authorities of this one."""
    (root / "run" / "kit").mkdir(parents=True, exist_ok=True)
    shutil.copy("/etc/resolv.conf", root / "etc" / "resolv.conf")
    if AUTHORITIES.exists():
        shutil.copy(AUTHORITIES, root / "run" / "kit" / "authorities.pem")
    names = "127.0.0.1 localhost kit ringi.example db.example redis.example mail.example\n::1 localhost\n"
    (root / "etc" / "hosts").write_text(names)
    refuse = root / "usr" / "sbin" / "policy-rc.d"  # no package starts its server by itself
    refuse.write_text("#!/bin/sh\nexit 101\n")
    refuse.chmod(0o755)


def base(folder: Path, packages: str) -> tuple[Path, str]:
    """Make the archive of a Debian with the packages that the page installs, once; return it and what was done.

    packages: the page's commands. Raises NotDone and Failed.
    """
    if missing := [name for name in NEEDED if shutil.which(name) is None]:
        raise NotDone(f"not installed: {', '.join(missing)}")
    key = hashlib.sha256(f"{SUITE} {SERVER} {packages} {ENTER}".encode()).hexdigest()[:12]
    kept, root = folder / f"debian-{key}.tar", folder / "root"
    if kept.exists():
        return kept, f"{kept.name} of an earlier run"
    shutil.rmtree(root, ignore_errors=True)
    options = ["--variant=minbase", f"--include={SERVER}", "--skip=cleanup/apt/lists"]
    run("mmdebstrap", *options, SUITE, str(root), seconds=1200)
    prepare(root)
    with room(root, network=True) as at:
        at.shell(packages, DEBIAN_FRONTEND="noninteractive", seconds=1800)
    for old in folder.glob("debian-*.tar"):
        old.unlink()
    partial = kept.with_suffix(".partial")
    run("tar", "--create", "--numeric-owner", "--xattrs", f"--file={partial}", "--directory", str(root), ".")
    partial.rename(kept)
    return kept, f"mmdebstrap, {SUITE}"


def fresh(archive: Path, root: Path) -> str:
    """Unpack the archive into an empty folder; return the number of packages."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    run("tar", "--extract", "--numeric-owner", "--xattrs", f"--file={archive}", "--directory", str(root))
    prepare(root)
    return str((root / "var/lib/dpkg/status").read_text().count("\nStatus: install ok installed"))
