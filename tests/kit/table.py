"""The table that `make kit` prints: `row | result | seconds`. A row is green only by what was seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


class NotDone(Exception):
    """A row cannot be done here; the message says why."""


class Failed(Exception):
    """A row has failed; the message says what was seen."""


@dataclass
class Table:
    """The rows so far, those that failed, and the first that others need and that is not done."""

    done: int = 0
    failed: list[str] = field(default_factory=list)
    rows: int = 0
    missing: str = ""
    began: float = field(default_factory=time.monotonic)

    def row(self, name: str, look: Callable[[], str], *, needed: bool = False, needs: bool = True) -> None:
        """Print one row: what `look` has seen, or why it failed. needed: later rows need it; needs: it needs earlier
        ones of these.
        """
        began, self.rows = time.monotonic(), self.rows + 1
        try:
            if needs and self.missing:
                raise NotDone(f"it needs “{self.missing}”")
            seen = look()
            result = f"ok: {seen}" if seen else "FAILED: nothing was looked at"
        except NotDone as reason:
            result = f"not done: {reason}"
        except Exception as fault:
            result = f"FAILED: {fault or type(fault).__name__}"
        if result.startswith("FAILED"):
            self.failed.append(f"{name}: {result}")
        if result.startswith("ok: "):
            self.done += 1
        elif needed:
            self.missing = self.missing or name
        print(f"{name} | {result} | {time.monotonic() - began:.1f}", flush=True)

    def end(self) -> int:
        """Print the sum and return the exit status."""
        print(f"{self.done} of {self.rows} rows ok | {time.monotonic() - self.began:.0f} s", flush=True)
        return 0 if self.rows and self.done == self.rows else 1
