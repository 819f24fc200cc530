"""A copy of the working tree in which a demo can be played, broken and killed; used by the tests of whole demos."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.development.embedded import ROOTS_FOLDER
from config.development.ports import free_port
from config.development.processes import PROJECT, identity

# Variables of the surrounding test's servers; the copy starts servers of its own.
FOREIGN = ("DATABASE_", "REDIS_", "POSTGRES_", "RINGI_", "PYTEST_", "DJANGO_", "SECRET_KEY", "MAKE", "MFLAGS")


def clean_environment() -> dict[str, str]:
    """Return this process's environment without the servers that it was given."""
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}


@dataclass(frozen=True)
class Tree:
    """One copy: where it lies, and what may be done with it."""

    folder: Path

    @property
    def state(self) -> Path:
        """Return the demo's state folder."""
        return self.folder / "var" / "demo"

    def replace(self, file: str, text: str, put: str) -> None:
        """Replace one text in a file of the copy; it must be there exactly once."""
        path = self.folder / file
        content = path.read_text("utf-8")
        assert content.count(text) == 1, f"{file} holds {content.count(text)} times: {text}"
        path.write_text(content.replace(text, put), "utf-8")

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start `make demo` in a session of its own; its output goes to demo.out in the copy."""
        with (self.folder / "demo.out").open("ab") as output:
            return subprocess.Popen(
                ["make", "demo", *words],
                cwd=self.folder,
                env=clean_environment() | {"RINGI_PORT": str(free_port())},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def play(self, seconds: float) -> int:
        """Play the whole story, bounded in time, and return the exit status."""
        process = self.start("EXIT=1")
        try:
            return process.wait(seconds)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def printed(self) -> str:
        """Return what the demos of this copy have printed."""
        return (self.folder / "demo.out").read_text("utf-8", errors="replace")

    def report(self) -> dict[str, Any]:
        """Return the report of the last story."""
        report: dict[str, Any] = json.loads((self.state / "report.json").read_text("utf-8"))
        return report

    def tops(self) -> list[Path]:
        """Return root's folders for this copy's servers; none for other users."""
        notes = [note for note in ROOTS_FOLDER.glob("ringi-*/project") if note.read_text() == str(self.folder)]
        return [note.parent for note in notes]

    def living(self) -> dict[int, str]:
        """Return pid → command line of each process that belongs to this copy, whatever its parent."""
        marks = [f"{place}/".encode() for place in (self.folder, *self.tops())]
        found: dict[int, str] = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal() or identity(int(entry.name)) is None or int(entry.name) == os.getpid():
                continue
            try:
                words = (entry / "cmdline").read_bytes()
                place = f"{os.readlink(entry / 'cwd')}/".encode()
                variables = (entry / "environ").read_bytes()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue  # it has ended meanwhile, or is another user's
            if any(mark in part for mark in marks for part in (words, place, variables)):
                found[int(entry.name)] = words.replace(b"\0", b" ").decode(errors="replace")
        return found

    def remove(self) -> None:
        """End what this copy's demos left running, and remove root's folders of its servers."""
        for pid in self.living():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for top in self.tops():
            shutil.rmtree(top, ignore_errors=True)


def copied(folder: Path) -> Tree:
    """Copy what git knows of the working tree, and what is new in it, with the installed packages linked."""
    folder.mkdir()
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        check=True,
        capture_output=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (source := PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / name)  # with its times, so that nothing is installed again
    for name in (".venv", ".uv"):
        if (PROJECT / name).exists():
            (folder / name).symlink_to(PROJECT / name)
    return Tree(folder)
