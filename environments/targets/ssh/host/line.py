"""The line between a request on a target's host and the worker that made it: the side that is cut off ends."""

import base64
import os
import select
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

from environments.targets.base import Fenced, StopRequested
from environments.targets.ssh.wire import read, written
from environments.targets.words import gettext as _

# How long what runs here may take to end by itself, once the line is cut.
GRACE_SECONDS = 5.0
CUT_OFF = 75


class Line:
    """Reads requests, heartbeats and files from one descriptor and writes events to another.

    A heartbeat is an empty line. After `patience` seconds without any byte, or at the end of the input, the line is
    cut: heartbeat() raises Fenced, and what does not ask is ended with the process GRACE_SECONDS later; its child dies
    with it.
    """

    def __init__(self, incoming: int = 0, outgoing: int = 1) -> None:
        self.cut = threading.Event()
        self.stopping = threading.Event()
        self.arrived = threading.Event()
        self._incoming, self._outgoing = incoming, outgoing
        self._held = b""
        self._patience = 0.0
        self._stop_told = False
        self._awaited: Path | None = None
        self._writing = threading.Lock()

    def request(self) -> dict[str, Any]:
        """Return the request; from then on the line is monitored. Raises EOFError when it is cut before."""
        line = self._line()
        content: dict[str, Any] = read(line)
        self._patience = float(content["patience"])
        threading.Thread(target=self._monitoring, name="line", daemon=True).start()
        return content

    def say(self, **event: Any) -> None:
        """Write an event; raises Fenced when no worker reads any more."""
        rest = memoryview(written(event))
        try:
            with self._writing:
                while rest:
                    rest = rest[os.write(self._outgoing, rest) :]
        except OSError as error:
            self.cut.set()
            raise Fenced(_("the connection to the worker is lost")) from error

    def output(self, chunk: bytes) -> None:
        """Pass on what a command wrote, masked already."""
        self.say(output=base64.b64encode(chunk).decode())

    def heartbeat(self) -> None:
        """Raise Fenced when the line is cut, StopRequested when a person stops the run; that once."""
        if self.cut.is_set():
            raise Fenced(_("the connection to the worker is lost"))
        if self.stopping.is_set() and not self._stop_told:
            self._stop_told = True
            raise StopRequested

    def fetch(self, path: Path) -> None:
        """Ask the worker for the wanted tree's tar file and write it to `path`."""
        self._awaited = path
        self.say(want="tree")
        while not self.arrived.wait(0.2):
            self.heartbeat()

    def _line(self) -> bytes:
        while b"\n" not in self._held:
            self._held += self._some()
        line, _newline, self._held = self._held.partition(b"\n")
        return line

    def _some(self) -> bytes:
        if self._patience and not select.select([self._incoming], [], [], self._patience)[0]:
            raise EOFError
        chunk = os.read(self._incoming, 65536)
        if not chunk:
            raise EOFError
        return chunk

    def _monitoring(self) -> None:
        try:
            while True:
                line = self._line()
                if not line:
                    continue
                answer = read(line)
                if "stop" in answer:
                    self.stopping.set()
                if "bytes" in answer and self._awaited is not None:
                    with self._awaited.open("wb") as file:
                        self._take(int(answer["bytes"]), file)
                    self.arrived.set()
        except (EOFError, OSError, ValueError):
            self.cut.set()
        time.sleep(GRACE_SECONDS)
        os._exit(CUT_OFF)

    def _take(self, size: int, file: BinaryIO) -> None:
        while size:
            if not self._held:
                self._held = self._some()
            piece, self._held = self._held[:size], self._held[size:]
            file.write(piece)
            size -= len(piece)
