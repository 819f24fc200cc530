"""A data store that only the target's own commands know: they print its digest, dump it and restore it."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from environments.targets.base import StepFailed
from environments.targets.data_store import DataDigest, DataStore, Heartbeat, quiet
from environments.targets.runner import Outcome, Runs
from environments.targets.words import gettext as _


@dataclass(frozen=True)
class DataCommands(DataStore):
    """The argument lists of the target's options: digest, dump, restore, verify; `{dump}` is the path of the dump.

    digest and verify print the same text for the same content. work: a folder where the commands may write.
    """

    options: Mapping[str, Sequence[str]]
    work: Path

    dump_name: ClassVar[str] = "data.dump"
    counts_rows: ClassVar[bool] = False

    def digest(self, run: Runs, heartbeat: Heartbeat = quiet, *, data: bool = True) -> DataDigest:
        """Return the SHA-256 of what `digest` prints."""
        return self._printed(run, "digest") if data else DataDigest("", "")

    def dump(self, run: Runs, path: Path, heartbeat: Heartbeat = quiet) -> tuple[str, DataDigest]:
        """Dump, and refuse a dump while whose making the content changed."""
        before = self._printed(run, "digest")
        written = self.work / self.dump_name
        written.unlink(missing_ok=True)
        self._start(run, "dump", written)
        if not written.exists():
            raise StepFailed(
                _("the command “%(name)s” has written no file %(path)s") % {"name": "dump", "path": written}
            )
        shutil.copyfile(written, path)  # it belongs to Ringi's account then
        written.unlink()
        if self._printed(run, "digest") != before:
            raise StepFailed(_("the data changed while they were dumped"))
        return "", before

    def restored(self, run: Runs, dump: Path, name: str, server: str, heartbeat: Heartbeat = quiet) -> DataDigest:
        """Return the digest that `verify` prints for the dump."""
        if "verify" not in self.options:
            raise StepFailed(_("the target options have no command that verifies a dump (data_commands.verify)"))
        return self._printed(run, "verify", dump)

    def contents(self, run: Runs, dump: Path) -> tuple[str, set[str]]:
        """Return its size: only the target's commands can read it."""
        if not dump.stat().st_size:
            raise StepFailed(_("the dump is empty"))
        return f"{dump.stat().st_size} B", set()

    def position(self, path: Path) -> str:
        """Return nothing: it keeps no positions."""
        return ""

    def rows_since(self, position: str | None, *, whole: bool) -> Iterator[tuple[str, str, str]]:
        """Refuse: what was written since cannot be told."""
        raise StepFailed(_("the commands of the target cannot tell what was written since the backup"))

    def replace_content(self, run: Runs, dump: Path | None, work: Path) -> None:
        """Restore the dump."""
        if dump is None:
            raise StepFailed(_("the commands of the target cannot remove all data"))
        self._start(run, "restore", dump)

    def commands(self, dump: Path) -> list[str]:
        """Return the command of the dump."""
        return [" ".join(_filled(self.options["dump"], dump))]

    def _start(self, run: Runs, name: str, dump: Path | None = None) -> Outcome:
        return run(_filled(self.options[name], dump), tool=False)

    def _printed(self, run: Runs, name: str, dump: Path | None = None) -> DataDigest:
        text = self._start(run, name, dump).text
        if not text:
            raise StepFailed(_("the command “%(name)s” of the data has printed nothing") % {"name": name})
        digest = hashlib.sha256(text.encode()).hexdigest()
        return DataDigest(digest, "", {"data": (0, digest)})


def _filled(arguments: Sequence[str], dump: Path | None) -> list[str]:
    return [argument.replace("{dump}", str(dump)) for argument in arguments]
