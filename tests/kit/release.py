"""`make release`: the files of the tag at HEAD in var/release/ringi-VERSION, which a user checks without Ringi.

It ends with 0, with 1 when a row failed, with 2 when it refused and made nothing, and with 3 when the files have no
signature. docs/how-to/verify-a-release.md has the commands of the user.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from contextlib import suppress
from datetime import date
from pathlib import Path

from tests.kit.debian import run
from tests.kit.image import Image
from tests.kit.installation import PROJECT
from tests.kit.licences import sbom
from tests.kit.table import Failed, NotDone, Table

KEY, WITHOUT, UV = "RINGI_RELEASE_KEY", "RINGI_RELEASE_WITHOUT", "RINGI_RELEASE_UV"
SIGNERS, SIGNER = "deploy/release-signers", "ringi-release"
PROGRAMS = "audit/offline/ringi_*.py"
LOCKS = ("requirements.lock", "requirements-production.lock", "requirements-otel.lock")


class Release:
    """The version of this tree, and the folder of its files."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.version = str(tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]["version"])
        self.name, self.tag = f"ringi-{self.version}", f"v{self.version}"
        self.folder = PROJECT / "var" / "release" / self.name

    def git(self, *words: str) -> bytes:
        """Return what git prints. Raises Failed."""
        done = subprocess.run(["git", "-C", str(PROJECT), *words], capture_output=True, check=False)
        if done.returncode:
            raise Failed(done.stderr.decode(errors="replace").strip())
        return done.stdout

    def clean(self) -> str:
        """Refuse a tree that is not the one of HEAD."""
        if changed := self.git("status", "--porcelain").decode().splitlines():
            raise Failed(f"{len(changed)} files differ from HEAD, such as {changed[0].strip()}")
        return self.git("rev-parse", "HEAD").decode().strip()

    def tagged(self) -> str:
        """Refuse a HEAD that the tag of the version does not name."""
        found = self.git("tag", "--points-at", "HEAD").decode().split()
        if self.tag not in found:
            raise Failed(f"HEAD needs the tag {self.tag}, because of pyproject.toml; it has {found or 'none'}")
        return self.tag

    def dated(self) -> str:
        """Refuse a version whose section of the changelog has no date."""
        text = (PROJECT / "CHANGELOG.md").read_text("utf-8")
        found = re.search(rf"^## {re.escape(self.version)} \((.*)\)$", text, re.MULTILINE)
        with suppress(ValueError):
            if found and len(found[1]) == 10:
                return date.fromisoformat(found[1]).isoformat()
        raise Failed(f"CHANGELOG.md needs a section “## {self.version} (YYYY-MM-DD)”")

    def locked(self) -> str:
        """Refuse locks that `make lock` would change."""
        uv = os.environ.get(UV) or PROJECT / ".uv" / "bin" / "uv"
        words = ["make", "--silent", "lock-installed", *([f"UV={uv}"] if Path(uv).exists() else [])]
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        with tempfile.TemporaryDirectory() as copy:
            for name in ("Makefile", "pyproject.toml", *LOCKS):
                shutil.copy(PROJECT / name, copy)
            run(*words, "--directory", copy, environment=plain)
            same = [name for name in LOCKS if (Path(copy) / name).read_bytes() == (PROJECT / name).read_bytes()]
        if stale := [name for name in LOCKS if name not in same]:
            raise Failed(f"out of date: {', '.join(stale)}; run `make lock`")
        return ", ".join(same)

    def archive(self) -> bytes:
        """Return the tree of the tag as a tar, whatever git's settings on this machine are."""
        plain = ("core.attributesFile=/dev/null", "core.autocrlf=false", "core.eol=lf", "tar.umask=0002")
        settings = [word for one in plain for word in ("-c", one)]
        return self.git(*settings, "archive", "--format=tar", f"--prefix={self.name}/", self.tag)

    def source(self) -> str:
        """Write the source archive, of which a second run makes the same bytes."""
        packed, again = (gzip.compress(self.archive(), 9, mtime=0) for _time in range(2))
        if packed != again:
            raise Failed("two runs made different bytes")
        file = self.folder / f"{self.name}.tar.gz"
        file.write_bytes(packed)
        return f"{file.name}, {len(packed) / 1e6:.1f} MB; a second run made the same bytes"

    def programs(self) -> str:
        """Write the programs for external auditors, which need Python alone."""
        files = sorted(PROJECT.glob(PROGRAMS))
        for file in files:
            (self.folder / file.name).write_bytes(file.read_bytes())
        return ", ".join(file.name for file in files)

    def packages(self) -> str:
        """Write the packages of Python with their licences (CycloneDX)."""
        text = sbom(debian=False)
        file = self.folder / f"{self.name}-sbom.json"
        file.write_text(text)
        return f"{file.name}: {len(json.loads(text)['components'])} packages of Python"

    def image(self) -> str:
        """Build the image from the archive, and write it with the list of its packages."""
        wanted("image")
        if os.geteuid() != 0:
            raise NotDone("podman and mmdebstrap are run as root here")
        with tempfile.TemporaryDirectory() as place:
            run("tar", "--extract", "--directory", place, "--file", str(self.folder / f"{self.name}.tar.gz"))
            at = Image(PROJECT / "var" / "kit", Path(place) / self.name, f"localhost/ringi:{self.version}")
            try:
                built = at.build()
                at.holds()
                saved = at.save(self.folder / f"{self.name}-image.tar")
                listed = at.bill(self.folder / f"{self.name}-image-sbom.json")
            finally:
                at.close()
        return f"{saved}; {built}; {listed}"

    def dump(self) -> str:
        """Write the database for the upgrade tests of later versions."""
        wanted("dump")
        place = self.folder / "dump"
        servers = ["config.development.embedded", "exec", "--with-parent", "--throw-away", "--state", "var/release-db"]
        case = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/upgrade/dump_case.py"]
        words = [sys.executable, "-m", *servers, "--", sys.executable, *case]
        run("env", f"--chdir={PROJECT}", *words, environment={**os.environ, "RINGI_DUMPS": str(place)}, seconds=900)
        return ", ".join(sorted(f"dump/{file.name}" for file in place.iterdir()))

    def sums(self) -> str:
        """Write the checksums of all files."""
        files = sorted(file for file in self.folder.rglob("*") if file.is_file())
        with (self.folder / "SHA256SUMS").open("w", encoding="utf-8", newline="\n") as written:
            for file in files:
                with file.open("rb") as read:
                    digest = hashlib.file_digest(read, "sha256").hexdigest()
                written.write(f"{digest}  {file.relative_to(self.folder).as_posix()}\n")
        return f"SHA256SUMS of {len(files)} files"

    def signature(self) -> str:
        """Sign the checksums with the key of the maintainer, and verify that with the keys that the tag lists."""
        key, sums = os.environ.get(KEY), self.folder / "SHA256SUMS"
        if not key:
            raise NotDone(f"NOT SIGNED: {KEY} names no key")
        run("ssh-keygen", "-Y", "sign", "-q", "-n", "file", "-f", key, str(sums))
        signed = sums.with_name("SHA256SUMS.sig")
        ask = ["ssh-keygen", "-Y", "verify", "-n", "file", "-I", SIGNER, "-f", str(PROJECT / SIGNERS)]
        try:
            return run(*ask, "-s", str(signed), text=sums.read_text("utf-8"))
        except Failed as fault:
            signed.unlink()
            raise Failed(f"NOT SIGNED: {SIGNERS} does not list the key as {SIGNER}: {fault}") from fault

    def make(self) -> int:
        """Print the table and return the exit status."""
        row = self.table.row
        row("tree: nothing that is not committed", self.clean, needed=True)
        row("tag: that of the version, at HEAD", self.tagged, needed=True)
        row("changelog: a date", self.dated, needed=True)
        row("locks: `make lock` changes nothing", self.locked, needed=True)
        if self.table.missing:
            print(f"refused: {self.table.missing}; nothing was made", flush=True)
            return 2
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        row("source archive", self.source, needed=True)
        row("programs for external auditors", self.programs, needed=True)
        row("SBOM (CycloneDX)", self.packages, needed=True)
        row("container image, and its SBOM", self.image)
        row("database dump for later upgrade tests", self.dump)
        if self.table.failed:
            self.table.missing = self.table.missing or "no row failed"
        row("checksums", self.sums, needed=True)
        row("signature", self.signature, needed=True)
        self.table.end()
        print(f"{self.folder.relative_to(PROJECT)}: {'NOT SIGNED' if self.table.missing else 'signed'}", flush=True)
        return 1 if self.table.failed else 3 if self.table.missing else 0


def wanted(name: str) -> None:
    """Raise NotDone where the maintainer leaves this part out."""
    if name in os.environ.get(WITHOUT, "").split():
        raise NotDone(f"left out by {WITHOUT}")


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(Release(Table()).make())
