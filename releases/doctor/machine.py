"""The machine: folders and their owners, disk, programs, packages, and the confinement of programs."""

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.utils.translation import gettext as _

from environments import key_ring
from environments.language import listed
from environments.targets.landlock import landlock
from releases.doctor.finding import Finding, failed, ok, warning

LEAST_BYTES = 1 << 30
LITTLE, TOO_LITTLE = 0.10, 0.05
# The programs, and what their version is asked with; those of PostgreSQL must be as new as the server.
PROGRAMS = ("git", "ssh", "pg_dump", "pg_restore", "psql")
VERSION = {"ssh": "-V"}
_LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


def _private(name: str, path: Path, mode: int) -> Finding:
    """Say whether a file or folder belongs to this process alone; mode: the one it should have."""
    seen = path.stat()
    if seen.st_uid != os.geteuid():
        words = _("%(path)s belongs to the account %(owner)s.") % {"path": path, "owner": seen.st_uid}
        advice = _("Give it to the account of the process: chown --recursive")
        return failed(name, words, advice)
    if stat.S_IMODE(seen.st_mode) & 0o077:
        words = _("Other accounts may open %(path)s (mode %(mode)s).")
        said = words % {"path": path, "mode": f"{stat.S_IMODE(seen.st_mode):04o}"}
        return failed(name, said, _("Give it the mode %(mode)s.") % {"mode": f"{mode:04o}"})
    return ok(name, str(path))


def state_folder() -> Iterator[Finding]:
    """The folder of the process is its own."""
    folder = Path(settings.STATE_DIR)
    if not folder.is_dir():
        words = _("%(path)s does not exist.") % {"path": folder}
        yield failed("RINGI_STATE_DIR", words, _("Make the folder with mode 0700 for the account of the process."))
    else:
        yield _private("RINGI_STATE_DIR", folder, 0o700)


def key_ring_file() -> Iterator[Finding]:
    """The keys of configuration secrets are there, and nobody else reads them."""
    name, path = _("key ring"), key_ring.path()
    if not path.exists():
        yield warning(
            name,
            _("%(path)s does not exist; the process will make a ring of its own.") % {"path": path},
            _("Copy the ring of the web process, unless this is the first start of all."),
        )
    else:
        yield _private(name, path, 0o600)


def disk() -> Iterator[Finding]:
    """There is space for state, dumps and logs."""
    name, folder = _("disk"), Path(settings.STATE_DIR)
    if not folder.is_dir():
        yield failed(name, _("%(path)s does not exist.") % {"path": folder}, _("Make the folder first."))
        return
    usage = shutil.disk_usage(folder)
    share = usage.free / usage.total
    words = _("%(free)s GiB free (%(share)s %%) at %(path)s")
    said = words % {"free": f"{usage.free / (1 << 30):.1f}", "share": round(100 * share), "path": folder}
    advice = _("Free some space: old dumps of targets, logs.")
    if usage.free < LEAST_BYTES or share < TOO_LITTLE:
        yield failed(name, said, advice)
    elif share < LITTLE:
        yield warning(name, said, advice)
    else:
        yield ok(name, said)


def programs() -> Iterator[Finding]:
    """The programs are there; those of PostgreSQL read what the server writes."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version_num')::int / 10000")
        (server,) = cursor.fetchone()
    for name in PROGRAMS:
        if shutil.which(name) is None:
            words = _("%(program)s is not installed.") % {"program": name}
            yield failed(name, words, _("Install it on this server."))
            continue
        done = subprocess.run([name, VERSION.get(name, "--version")], capture_output=True, text=True, timeout=10)
        said = " ".join((done.stdout or done.stderr).split())
        major = re.search(r"\(PostgreSQL\) (\d+)", said)
        if major is not None and int(major[1]) < server:
            words = _("%(program)s is older than the server, version %(server)s.")
            yield warning(name, words % {"program": said, "server": server}, _("Install PostgreSQL's newer client."))
        else:
            yield ok(name, said)


def packages() -> Iterator[Finding]:
    """The installed packages are those of requirements.lock."""
    name, lock = _("packages"), Path(settings.BASE_DIR) / "requirements.lock"
    if not lock.is_file():
        words = _("%(path)s does not exist.") % {"path": lock}
        yield warning(name, words, _("Keep the file beside the code, so that the packages can be compared."))
        return
    other, same = [], 0
    for package, wanted in _LOCKED.findall(lock.read_text("utf-8")):
        try:
            found = version(package)
        except PackageNotFoundError:
            continue  # packages of tests and of other systems need not be there
        same += found == wanted
        other += [f"{package} {found} ≠ {wanted}"] if found != wanted else []
    if other or not same:
        yield failed(name, listed(other) or _("none"), _("Run “make messages” in the clone."))
    else:
        yield ok(name, _("%(n)s as locked") % {"n": same})


def confinement() -> Iterator[Finding]:
    """The kernel confines the programs of releases."""
    name = _("confinement of programs")
    if landlock():
        yield ok(name, _("Landlock, version %(n)s") % {"n": landlock()})
    else:
        words = _("This kernel has no Landlock that programs can work with.")
        yield warning(name, words, _("Use Linux 5.19 or newer, with landlock among its security modules."))


CHECKS = (state_folder, key_ring_file, disk, programs, packages, confinement)
