"""The rows of the image: built from deploy/Containerfile without a registry, and run on the same database."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import time
from pathlib import Path

from tests.kit.debian import AUTHORITIES, INSIDE, SUITE, machine_variables, run
from tests.kit.installation import PROJECT, Installation
from tests.kit.table import Failed, NotDone, Table

BASE, NAME, MOST = "localhost/ringi-kit-base", "localhost/ringi-kit", 300
PORT = 8010
CLOSED = ("run", "--pull=never", "--ulimit", "host", "--read-only", "--cap-drop=all")
# Each name of the first is a package, and each of the second a program, that only tests and builds need.
NOT_NEEDED = {"pytest", "mypy", "ruff", "hypothesis", "playwright", "uv", "pip"}
NOT_THERE = ("make", "gcc", "pip3", "uv")
# What the processes call: each must work, on a repository where it reads one.
CALLED = """
set -e
cd /tmp && git init --quiet bare.git --bare && git -C bare.git ls-remote . && git archive --list > /dev/null
for name in pg_dump pg_restore psql; do $name --version > /dev/null; done
openssl version > /dev/null && ssh -V 2> /dev/null && echo works
"""


# Prints the packages, then only the number of the account: no such program, nothing foreign, nothing that it may write.
HELD = """
python -c 'import importlib.metadata as m, json; print(json.dumps([d.name for d in m.distributions()]))'
for name in PROGRAMS; do command -v $name; done
cd /opt/ringi; ls -d tests .git docs .uv 2>/dev/null
find /opt/ringi /usr /etc -writable ! -type l -print -quit 2>/dev/null
id -u
"""


class Image:
    """podman with a storage of its own below `var/kit`; images stay there, so that a second build is quick."""

    def __init__(self, folder: Path, context: Path, name: str = NAME, made: Installation | None = None) -> None:
        self.folder, self.context, self.name, self.at = folder, context, name, made

    @property
    def made(self) -> Installation:
        """Return the installation on whose database it runs."""
        if self.at is None:
            raise Failed("there is no installation")
        return self.at

    def podman(self, *words: str, seconds: float = 900, inside: bool = False) -> str:
        """Run podman; inside: in the network of the installation. Raises Failed."""
        if shutil.which("podman") is None or shutil.which("runc") is None:
            raise NotDone("podman and runc are not installed")
        own = [
            "--root",
            str(self.folder / "podman" / "storage"),
            "--runroot",
            str(self.folder / "podman" / "run"),
            "--storage-driver",
            "overlay",
        ]
        enter = ["nsenter", f"--target={self.made.here.pid}", "--net"] if inside else []
        quiet = {**os.environ, "PODMAN_IGNORE_CGROUPSV1_WARNING": "1"}
        program = ["podman", *own, "--runtime", "runc", "--cgroup-manager", "cgroupfs"]
        return run(*enter, *program, *words, seconds=seconds, environment=quiet)

    def base(self) -> str:
        """Import a Debian of mmdebstrap as the base, once."""
        if self.podman("images", "--quiet", BASE):
            return "the base of an earlier run"
        if shutil.which("mmdebstrap") is None:
            raise NotDone("mmdebstrap is not installed, so there is no base")
        packed = self.folder / "base.tar"
        options = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "info", "locale", "man")]
        options += [
            "--dpkgopt=path-include=/usr/share/doc/*/copyright",
            "--customize-hook=rm -rf $1/var/lib/apt/lists/*",
        ]
        run("mmdebstrap", "--variant=minbase", *options, SUITE, str(packed), seconds=1200)
        self.podman("import", str(packed), BASE)
        packed.unlink()
        return f"mmdebstrap, {SUITE}, minbase, without pages of manuals and languages as the slim image"

    def build(self) -> str:
        """Build the image from the clone of the installation; the package index is that of this machine."""
        base = self.base()
        mine = machine_variables()
        options = ["--volume", f"{self.folder / 'cache'}:/root/.cache"]
        if AUTHORITIES.exists():
            options += ["--volume", f"{AUTHORITIES}:{INSIDE}:ro"]
        # Variables of this machine alone: they are taken out of the image again.
        for name, value in mine.items():
            options += ["--env", f"{name}={value}", "--unsetenv", name]
        context = self.context
        (self.folder / "cache").mkdir(parents=True, exist_ok=True)
        file = ["--file", str(context / "deploy" / "Containerfile"), "--ignorefile", str(context / ".dockerignore")]
        build = ["build", "--isolation", "chroot", "--network", "host", "--build-arg", f"BASE={BASE}"]
        build += ["--tag", self.name]
        for name in ("nofile", "nproc"):  # what it asks for by itself may be more than this machine allows
            hard = resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))[1]
            build += ["--ulimit", f"{name}={hard}:{hard}"]
        self.podman(*build, *options, *file, str(context), seconds=1800)
        (found,) = json.loads(self.podman("inspect", self.name))
        user, size = found["Config"]["User"], found["Size"] / 1e6
        left = [one for one in found["Config"]["Env"] if one.split("=")[0] not in ("PATH", "RINGI_STATE_DIR")]
        if user.split(":")[0] in ("", "0", "root") or left:
            raise Failed(f"user {user}, variables {left}")
        if size > MOST:
            raise Failed(f"{size:.0f} MB, more than {MOST}: {self.parts()}")
        return f"{base}; user {user}, {size:.0f} MB"

    def parts(self) -> str:
        """Return where the megabytes are."""
        script = "du -sm /opt/ringi/.venv /usr/lib/x86_64-linux-gnu /usr/lib/python3* /usr/share/perl /usr/lib/git-core"
        said = self.shell(f"{script} /usr/lib/postgresql 2>/dev/null || true")
        return ", ".join(f"{path} {size}" for size, path in (line.split() for line in said.splitlines()))

    def shell(self, script: str, *options: str) -> str:
        """Run a shell in a container of the image, without network."""
        common = [*CLOSED, "--rm", "--network", "none"]
        return self.podman(*common, *options, self.name, "sh", "-c", script)

    def holds(self) -> str:
        """Look at what is in it."""
        said = self.shell(HELD.replace("PROGRAMS", " ".join(NOT_THERE)))
        listed, *rest = said.splitlines()
        packages = {name.lower() for name in json.loads(listed)}
        if packages & NOT_NEEDED or rest != ["10001"]:
            raise Failed(f"{packages & NOT_NEEDED} {rest}")
        if (works := self.shell(CALLED, "--tmpfs", "/tmp").strip()) != "works":
            raise Failed(works)
        counts = f"{len(packages)} packages of Python, none of them for tests"
        return f"{counts}; no compiler, pip or make; nothing writable; git, ssh, openssl and PostgreSQL's programs work"

    def serves(self) -> str:
        """Start web from it on the database of the installation, with a read-only root, and ask /health/."""
        variables = self.made.root / "etc/ringi/web.env"
        options = [*CLOSED, "--detach", "--rm", "--network", "host"]
        options += ["--security-opt", "no-new-privileges", "--tmpfs", "/tmp", "--env-file", str(variables)]
        options += ["--tmpfs", "/var/lib/ringi:mode=0700,U"]
        for name in ("ringi-ca.pem", "ringi-ledger.pub"):
            options += ["--volume", f"{self.made.root / 'etc' / name}:/etc/{name}:ro"]
        for name in ("db.example", "redis.example"):
            options += ["--add-host", f"{name}:127.0.0.1"]
        (shown,) = json.loads(self.podman("inspect", self.name))
        command = [word.replace("0.0.0.0:8000", f"127.0.0.1:{PORT}") for word in shown["Config"]["Cmd"]]
        name = self.podman(*options, self.name, *command, inside=True)
        ask = ["curl", "--silent", "--show-error", "--fail", "--header", "X-Forwarded-Proto: https"]
        try:
            last = time.monotonic() + 60
            while True:
                try:
                    said = json.loads(self.made.here.run(*ask, f"http://127.0.0.1:{PORT}/health/"))
                    break
                except Failed as fault:
                    if time.monotonic() > last:
                        raise Failed(f"{fault}\n{self.podman('logs', name)}") from fault
                    time.sleep(1)
            user = self.podman("exec", name, "sh", "-c", "id -u; touch /opt/ringi/x 2>&1 || true", inside=True)
        finally:
            self.podman("rm", "--force", "--time", "2", name, inside=True)
        if "10001" not in user or "Read-only file system" not in user:
            raise Failed(user)
        return f"200, {said}; account 10001, read-only root"

    def bill(self, kept: Path) -> str:
        """Write the packages of the image with their licences."""
        mount = ("--volume", f"{PROJECT / 'tests' / 'kit' / 'licences.py'}:/kit/tests/kit/licences.py:ro")
        said = self.shell("python /kit/tests/kit/licences.py --sbom", *mount)
        kept.write_text(said)
        rows = json.loads(said)["components"]
        types = [re.match(r"pkg:(\w+)/", row["purl"])[1] for row in rows]  # type: ignore[index]
        unstated = [row["name"] for row in rows if row["licenses"][0]["license"]["name"].startswith("see ")]
        if not {"pypi", "deb"} <= {*types}:
            raise Failed(f"the packages are {set(types)}")
        counts = f"{types.count('pypi')} of Python, {types.count('deb')} of Debian"
        return f"{kept.relative_to(PROJECT)}: {counts}, {len(unstated)} without a stated licence {unstated[:8]}"

    def save(self, file: Path) -> str:
        """Write the image as one archive (OCI), which `podman load` and `docker load` read."""
        self.podman("save", "--quiet", "--format", "oci-archive", "--output", str(file), self.name)
        return f"{file.name}, {file.stat().st_size / 1e6:.0f} MB"

    def close(self) -> None:
        """Give back what podman has mounted."""
        mounted = self.folder / "podman" / "storage" / "overlay"
        subprocess.run(["umount", str(mounted)], capture_output=True, check=False)


def image(table: Table, made: Installation) -> None:
    """Add the rows."""
    at = Image(made.folder, made.root / "opt" / "ringi", made=made)
    table.row("image: built by podman from deploy/Containerfile", at.build)
    table.row("image: what it holds", at.holds)
    table.row("image: web on the same database, read-only root, /health/", at.serves)
    table.row("image: SBOM with licences (CycloneDX)", lambda: at.bill(made.folder / "sbom.json"))
    at.close()
