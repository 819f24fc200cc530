"""The lease of a running step: a thread renews it; output and lease stop when the epoch is no longer ours."""

from __future__ import annotations

import hashlib
import threading
import time
from types import TracebackType

from django.conf import settings
from django.db import Error, connection

from releases.steps.base import Fenced, StopAsked

FLUSH_SECONDS = 0.25
KEPT_BYTES = 2_000_000
RENEW = """
UPDATE releases_step SET lease_until = clock_timestamp() + make_interval(secs => %s)
FROM releases_deployment d
WHERE releases_step.id = %s AND epoch = %s AND releases_step.state = 'running' AND d.id = deployment_id
RETURNING d.state
"""
CHUNK = """
INSERT INTO releases_stepoutput (step_id, epoch, at, text)
SELECT id, epoch, clock_timestamp(), %s FROM releases_step WHERE id = %s AND epoch = %s AND state = 'running'
"""


class Lease:
    """Holds one attempt: `beat()` raises Fenced once a renewal or a chunk has found no row, StopAsked once on a stop.

    It is not renewed for more than `longest` seconds: what hangs where nothing can interrupt it is taken over. The
    masked output is cut at KEPT_BYTES in the database; the digest covers the whole.
    """

    def __init__(self, step_id: int, epoch: int, *, longest: float) -> None:
        self.step_id, self.epoch = step_id, epoch
        self._until = time.monotonic() + longest
        self.lost = threading.Event()
        self.stopping = threading.Event()
        self._stop_told = False
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._buffer = b""
        self._flushed_at = time.monotonic()
        self._written = 0
        self._digest = hashlib.sha256()

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        if kind is None or not issubclass(kind, Fenced):
            self.flush()

    def _renew(self) -> None:
        last = time.monotonic()
        if self._end.wait(settings.BEAT):
            return  # as most steps: this thread has no connection to close
        try:
            while True:
                if time.monotonic() > self._until:
                    self.lost.set()
                    return
                try:
                    with connection.cursor() as cursor:
                        cursor.execute(RENEW, [settings.LEASE, self.step_id, self.epoch])
                        found = cursor.fetchone()
                        if found is None:
                            self.lost.set()
                            return
                        if found[0] == "stopping":
                            # The lease goes on, so that nobody takes the step over while it is being ended.
                            self.stopping.set()
                    last = time.monotonic()
                except Error:
                    connection.close()
                    # Out of reach of the database for a whole lease: someone else may hold the step by now.
                    if time.monotonic() - last > settings.LEASE:
                        self.lost.set()
                        return
                if self._end.wait(settings.BEAT):
                    return
        finally:
            connection.close()

    def beat(self) -> None:
        """Raise Fenced when this attempt no longer holds the step, StopAsked when its run is stopped; that once."""
        if self.lost.is_set():
            raise Fenced(f"step {self.step_id}: epoch {self.epoch} no longer holds it")
        if self.stopping.is_set() and not self._stop_told:
            self._stop_told = True
            raise StopAsked
        if self._buffer and time.monotonic() - self._flushed_at > FLUSH_SECONDS:
            self.flush()

    def output(self, chunk: bytes) -> None:
        """Take a chunk of masked output."""
        self._digest.update(chunk)
        self._buffer += chunk
        if len(self._buffer) > 16384 or time.monotonic() - self._flushed_at > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting; raises Fenced when the row is no longer ours."""
        text, self._buffer = self._buffer, b""
        self._flushed_at = time.monotonic()
        if not text or self._written > KEPT_BYTES:
            return
        self._written += len(text)
        with connection.cursor() as cursor:
            cursor.execute(CHUNK, [text.decode("utf-8", "replace").replace("\x00", "�"), self.step_id, self.epoch])
            if cursor.rowcount != 1:
                self.lost.set()
                raise Fenced(f"step {self.step_id}: epoch {self.epoch} no longer holds it")

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the whole masked output, hex."""
        return self._digest.hexdigest()
