"""Writes the service's log: one line for each request; called by the application."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote


class Journal:
    """A log file to which several processes may append lines."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def line(self, level: str, text: str) -> None:
        """Add one line with the time before it."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        try:
            os.write(self._file, f"{at} {level} {text}\n".encode())
        except OSError as error:  # a full disk must not take the service down
            print(f"{at} ERROR log not written: {error}", file=sys.stderr, flush=True)

    def request(self, method: str, path: str, status: int, seconds: float, fault: str = "") -> None:
        """Add the line of one request; a fault of the service's own is an ERROR."""
        words = [method[:10], quote(path[:200]), str(status), f"{seconds:.4f}"]
        if fault:
            words.append(" ".join(fault.split())[:300])
        self.line("ERROR" if status >= 500 and status != 503 else "INFO", " ".join(words))
