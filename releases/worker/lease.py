"""The lease of a running step: a thread of the process renews it; output and lease stop when the fencing token is
outdated.
"""

import hashlib
import threading
import time
from operator import itemgetter
from types import TracebackType

from django.conf import settings
from django.db import Error, InterfaceError, OperationalError, connection

from audit.isolated import connection_lost
from environments.targets.base import Fenced, StopRequested

FLUSH_SECONDS = 0.25
KEPT_BYTES = 2_000_000
RENEW = """
UPDATE releases_step SET lease_until = clock_timestamp() + make_interval(secs => %s)
FROM releases_deployment d
WHERE releases_step.id = %s AND fencing_token = %s AND releases_step.state = 'running' AND d.id = deployment_id
RETURNING d.state
"""
CHUNK = """
INSERT INTO releases_stepoutput (step_id, fencing_token, at, text)
SELECT id, fencing_token, clock_timestamp(), %s FROM releases_step WHERE id = %s AND fencing_token = %s AND state =
  'running'
"""


class _Renewer:
    """The thread that renews the leases held in this process, each one heartbeat interval after its last renewal.

    It begins with the first lease and ends without one: a step shorter than the interval costs no thread and no
    connection.
    """

    def __init__(self) -> None:
        self._turn = threading.Condition()
        self._due: dict[Lease, float] = {}
        self._thread: threading.Thread | None = None
        self._wakes = 0.0
        self._connected = False

    def hold(self, lease: "Lease") -> None:
        """Renew a lease, beginning one heartbeat interval from now."""
        with self._turn:
            due = time.monotonic() + settings.HEARTBEAT_INTERVAL
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="lease", daemon=True)
                thread.start()  # it waits for its turn
                self._thread, self._wakes = thread, due
            elif due < self._wakes:
                self._turn.notify_all()
            self._due[lease] = due

    def drop(self, lease: "Lease") -> None:
        """Stop renewing a lease; a renewal under way has ended when this returns, as has its connection."""
        with self._turn:
            self._due.pop(lease, None)
            if not self._due and self._connected:
                self._turn.notify_all()
                self._turn.wait_for(lambda: self._due or not self._connected)

    def _run(self) -> None:
        with self._turn:
            try:
                self._turn.wait(settings.HEARTBEAT_INTERVAL)
                while self._due:
                    lease, due = min(self._due.items(), key=itemgetter(1))
                    if (left := due - time.monotonic()) > 0:
                        self._wakes = due
                        self._turn.wait(left)
                        continue
                    self._connected = True
                    if lease.renew():
                        self._due[lease] = time.monotonic() + settings.HEARTBEAT_INTERVAL
                    else:
                        del self._due[lease]
            finally:
                try:
                    connection.close()
                finally:
                    self._thread, self._connected = None, False
                    self._turn.notify_all()


_renewer = _Renewer()


class Lease:
    """The lease of one attempt: `heartbeat()` raises Fenced once a write has found no row, StopRequested once on a
    stop.

    It is not renewed for more than `longest` seconds, so that an attempt that hangs without a way to interrupt it is
    reclaimed. The masked output is cut at KEPT_BYTES in the database; the digest covers the whole.
    """

    def __init__(self, step_id: int, fencing_token: int, *, longest: float) -> None:
        self.step_id, self.fencing_token = step_id, fencing_token
        self._until = time.monotonic() + longest
        self.lost = threading.Event()
        self.stopping = threading.Event()
        self._stop_raised = False
        self._renewed_at = time.monotonic()
        self._buffer = b""
        self._flushed_at = time.monotonic()
        self._written = 0
        self._digest = hashlib.sha256()

    def __enter__(self) -> "Lease":
        _renewer.hold(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _renewer.drop(self)
        if kind is None or not issubclass(kind, Fenced):
            self.flush()

    def renew(self) -> bool:
        """Extend the lease from now on; False, and it is lost, when it may not be renewed any more."""
        if time.monotonic() > self._until:
            self.lost.set()
            return False
        try:
            with connection.cursor() as cursor:
                cursor.execute(RENEW, [settings.LEASE_DURATION, self.step_id, self.fencing_token])
                found = cursor.fetchone()
        except Error:
            connection.close()
            # The database was out of reach for a whole lease: another worker may hold the step by now.
            if time.monotonic() - self._renewed_at > settings.LEASE_DURATION:
                self.lost.set()
            return not self.lost.is_set()
        if found is None:
            self.lost.set()
            return False
        if found[0] == "stopping":
            # The lease goes on, so that no worker takes the step while it is being ended.
            self.stopping.set()
        self._renewed_at = time.monotonic()
        return True

    def heartbeat(self) -> None:
        """Raise Fenced when this attempt no longer holds the step, StopRequested (once) on a stop."""
        if self.lost.is_set():
            raise Fenced(f"step {self.step_id}: fencing_token {self.fencing_token} no longer holds it")
        if self.stopping.is_set() and not self._stop_raised:
            self._stop_raised = True
            raise StopRequested
        if self._buffer and time.monotonic() - self._flushed_at > FLUSH_SECONDS:
            self.flush()

    def output(self, chunk: bytes) -> None:
        """Take a chunk of masked output."""
        self._digest.update(chunk)
        self._buffer += chunk
        if len(self._buffer) > 16384 or time.monotonic() - self._flushed_at > FLUSH_SECONDS:
            self.flush()

    def rest(self) -> str:
        """Return the buffered output that is still to be kept, for a caller that writes it."""
        waiting, self._buffer = self._buffer, b""
        self._flushed_at = time.monotonic()
        if self._written > KEPT_BYTES:
            return ""
        self._written += len(waiting)
        return waiting.decode("utf-8", "replace").replace("\x00", "�")

    def flush(self) -> None:
        """Write the buffered output; raises Fenced when another attempt holds the row.

        While the database is out of reach, the output stays in the buffer and the work goes on: the lease decides.
        """
        waiting, written = self._buffer, self._written
        try:
            self.write(self.rest())
        except (OperationalError, InterfaceError):
            if not connection_lost():
                raise
            connection.close()
            self._buffer, self._written = waiting, written

    def write(self, text: str) -> None:
        """Write a chunk that `rest` returned; raises Fenced when another attempt holds the row."""
        if not text:
            return
        with connection.cursor() as cursor:
            cursor.execute(CHUNK, [text, self.step_id, self.fencing_token])
            if cursor.rowcount != 1:
                self.lost.set()
                raise Fenced(f"step {self.step_id}: fencing_token {self.fencing_token} no longer holds it")

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the whole masked output, hex."""
        return self._digest.hexdigest()
