"""What a target keeps its data in: one contract for its digest, its dump, its restore, and what was written since.

`environments.targets.target.data_store_of` finds a target's store. Runs on the target's host.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from environments.targets.runner import Runs

# The configuration key of a server on which a dump is restored as proof; without it the store's own server is used.
SCRATCH = "SCRATCH_DATABASE_URL"
Heartbeat = Callable[[], None]


def quiet() -> None:
    """A heartbeat that nobody waits for."""


@dataclass(frozen=True)
class DataDigest:
    """Digest of a store's content: total (SHA-256, "" for an empty one), schema, per table (rows, SHA-256)."""

    total: str
    schema: str
    tables: dict[str, tuple[int, str]] = field(default_factory=dict)

    def differences(self, tables: Mapping[str, Any], schema: str) -> list[str]:
        """Return the names of tables, or `schema`, that differ from those given."""
        other = {name: (int(rows), str(digest)) for name, (rows, digest) in tables.items()}
        names = sorted(self.tables.keys() | other.keys())
        found = [name for name in names if self.tables.get(name) != other.get(name)]
        return found + (["schema"] if self.schema != schema else [])


class DataStore(ABC):
    """A store. run: starts one of the programs that it needs; heartbeat: called while it works. Each operation raises
    StepFailed.
    """

    # The file name of a dump.
    dump_name: ClassVar[str]
    # Whether it can tell which rows were written since a position.
    counts_rows: ClassVar[bool] = True

    @abstractmethod
    def digest(self, run: Runs, heartbeat: Heartbeat = quiet, *, data: bool = True) -> DataDigest:
        """Return the digest of the present content. data: its rows too, else its schema alone."""

    @abstractmethod
    def dump(self, run: Runs, path: Path, heartbeat: Heartbeat = quiet) -> tuple[str, DataDigest]:
        """Write one consistent state to a file; return its position ("": the dump itself) and its digest."""

    @abstractmethod
    def restored(self, run: Runs, dump: Path, name: str, server: str, heartbeat: Heartbeat = quiet) -> DataDigest:
        """Restore a dump elsewhere and return the digest of what is there then.

        name: of the place where it is restored, the same at every attempt. server: address of a server for it ("": the
        store's own).
        """

    @abstractmethod
    def contents(self, run: Runs, dump: Path) -> tuple[str, set[str]]:
        """Return what a dump says of its contents, for people, and the names of the tables in it."""

    @abstractmethod
    def position(self, path: Path) -> str:
        """Return the present position. path: a file for a store that keeps no positions of its own."""

    @abstractmethod
    def rows_since(self, position: str | None, *, whole: bool) -> Iterator[tuple[str, str, str]]:
        """Yield (table, key, row) of each row that was not there at a position (None: of each); key and row are JSON
        (row: "" unless whole).
        """

    @abstractmethod
    def replace_content(self, run: Runs, dump: Path | None, work: Path) -> None:
        """Replace the whole content by that of a dump (None: by nothing); a crash leaves the one or the other.

        work: a private folder.
        """

    @abstractmethod
    def commands(self, dump: Path) -> list[str]:
        """Return what a dump does, a line each, for the dry run."""

    def end_other_sessions(self) -> None:  # noqa: B027  few have sessions that Ringi may end
        """End what would hold up a restore."""
