"""The table of all measurements: rows are added by the measurements, printed at the end, and kept as report.json."""

from __future__ import annotations

import json
import os
import platform
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Spread:
    """Percentiles of repeated measurements of one thing, in milliseconds."""

    p50: float
    p99: float
    mean: float
    count: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spread:
        """Take measurements in seconds; p99 of fewer than 100 is their greatest."""
        ordered = sorted(1000 * value for value in seconds)
        last = len(ordered) - 1
        return cls(
            ordered[last // 2], ordered[min(last, -(-99 * last // 100))], sum(ordered) / len(ordered), len(ordered)
        )

    def __str__(self) -> str:
        return f"{self.p50:.2f} / {self.p99:.2f} ms"


def repeated(count: int, work: Callable[[], object], *, warm: int = 5) -> Spread:
    """Time `work` so many times, after a few that do not count."""
    return alternated(count, work, warm=warm)[0]


def alternated(count: int, *works: Callable[[], object], warm: int = 5) -> list[Spread]:
    """Time several works in turn, so that what else the machine does falls on all of them alike."""
    taken: list[list[float]] = [[] for _ in works]
    for index in range(warm + count):
        for seconds, work in zip(taken, works, strict=True):
            began = time.perf_counter()
            work()
            if index >= warm:
                seconds.append(time.perf_counter() - began)
    return [Spread.of(seconds) for seconds in taken]


# Rows that miss their target, `part: beginning of the name`, each with the reason.
MISSED: dict[str, str] = tomllib.loads(Path(__file__).with_name("missed.toml").read_text(encoding="utf-8"))["missed"]


@dataclass
class Row:
    """One line of the table. `ratio`: ours to the limit or comparison measured in the same run."""

    part: str
    name: str
    ours: str
    limit: str = ""
    ratio: float | None = None
    target: str = ""
    met: bool | None = None
    note: str = ""
    valid: bool = True
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def mark(self) -> str:
        """The mark behind the target: met, missed, or missed as listed."""
        return {None: "", True: " ✓", False: " ✗ (listed)" if self.listed else " ✗"}[self.met]

    @property
    def listed(self) -> bool:
        """Whether it is known that this row misses its target."""
        return any(f"{self.part}: {self.name}".startswith(beginning) for beginning in MISSED)

    @property
    def failed(self) -> bool:
        """Whether its work was not done, or it misses a target that others like it meet."""
        return not self.valid or (self.met is False and not self.listed)


class Report:
    """Collects the rows of all measurements."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.load_before = os.getloadavg()[0]

    def add(self, part: str, name: str, ours: object, **fields: Any) -> Row:
        """Add a line and return it; `valid=False` when the work that was measured was not all done."""
        row = Row(part, name, str(ours), **fields)
        self.rows.append(row)
        return row

    def machine(self) -> str:
        """Say where the figures come from; other work on the same cores slows all of them."""
        loads = f"load {self.load_before:.1f} before, {os.getloadavg()[0]:.1f} after"
        return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, {loads}"

    def show(self) -> None:
        """Print the table."""
        table = Table(title="Ringi: measurements", caption=self.machine(), box=box.SIMPLE_HEAD)
        for title in ("", "what", "ours", "limit or comparison", "ratio", "target", "note"):
            table.add_column(title, overflow="fold")
        for row in self.rows:
            ours = row.ours if row.valid else f"INVALID ({row.ours})"
            ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
            table.add_row(row.part, row.name, ours, row.limit, ratio, row.target + row.mark, row.note)
        Console(width=None if os.isatty(1) else 200).print(table)

    def failed(self) -> list[str]:
        """Return the names of the rows that fail the run."""
        return [f"{row.part}: {row.name}" for row in self.rows if row.failed]

    def write(self, file: Path) -> None:
        """Write the rows with all their figures as JSON."""
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = [asdict(row) for row in self.rows]
        kept = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "machine": self.machine(), "rows": rows}
        file.write_text(json.dumps(kept, ensure_ascii=False, indent=1) + "\n")
