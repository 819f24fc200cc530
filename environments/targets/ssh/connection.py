"""One connection to a target's host: starts the bundle there, sends it a request, passes on its events."""

import base64
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from environments.targets import base
from environments.targets.base import Overdue, StepFailed, StopRequested
from environments.targets.runner import BEAT_SECONDS, GRACE_SECONDS, base_environment
from environments.targets.spawn import start
from environments.targets.ssh.bundle import bundle
from environments.targets.ssh.place import CONNECT_SECONDS, Place
from environments.targets.ssh.wire import read, written
from environments.targets.words import gettext as _

BOOT = Path(__file__).with_name("host") / "boot.py"
# The host ends what it runs after this many seconds without a heartbeat.
PATIENCE_SECONDS = 10.0
# More than the deadline that the host keeps itself: it has time to end, kill and report.
MARGIN_SECONDS = CONNECT_SECONDS + 2 * GRACE_SECONDS + PATIENCE_SECONDS
_LONGEST_LINE = 64_000_000


class Lost(Overdue):
    """The connection was lost after the request had been sent: its effect must be probed."""


def converse(
    place: Place,
    key: str,
    root: Path,
    request: dict[str, Any],
    *,
    seconds: float,
    heartbeat: Callable[[], None] = lambda: None,
    output: Callable[[bytes], None] = lambda _chunk: None,
    tree: Callable[[Path, Callable[[], None]], None] | None = None,
) -> dict[str, Any]:
    """Send a request to the host and return its last event, an answer or a fault.

    key: text of the private key; it is in no file, argument or variable. seconds: deadline that the host keeps itself.
    tree: writes the wanted tree's tar file when the host asks for it, with heartbeats meanwhile. Raises StepFailed when
    the host was not reached, Lost when it was, and what heartbeat() raises: StopRequested once the host has ended what
    it ran.
    """
    made = bundle()
    path = root / ".ringi" / made.name
    boot = ["-I", "-S", "-X", "utf8", "-c", BOOT.read_text(encoding="utf-8")]
    command = [place.python, *boot, str(path), made.digest, str(len(made.content))]
    with _unnamed("key", key.encode()) as key_file, _unnamed("hosts", place.hosts) as hosts_file:
        process = start(
            place.arguments(key_file, hosts_file, command),
            environment=base_environment(),
            folder=Path("/"),
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            return _Talk(place, process, request, heartbeat, output, tree, seconds + MARGIN_SECONDS).to_its_end()
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                assert pipe is not None
                pipe.close()


@contextmanager
def _unnamed(name: str, content: bytes) -> Iterator[str]:
    """Hold the content in a file without a name and yield a path under which a child of this process can read it."""
    with open(os.memfd_create(f"ringi-{name}"), "wb", buffering=0) as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(content)
        yield f"/proc/{os.getpid()}/fd/{file.fileno()}"


class _Talk:
    """The exchange over one connection, until the host's last event or its end."""

    def __init__(
        self,
        place: Place,
        process: subprocess.Popen[bytes],
        request: dict[str, Any],
        heartbeat: Callable[[], None],
        output: Callable[[bytes], None],
        tree: Callable[[Path, Callable[[], None]], None] | None,
        seconds: float,
    ) -> None:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        self._place, self._request = place, request | {"patience": PATIENCE_SECONDS}
        self._in, self._out, self._errors = process.stdin.fileno(), process.stdout.fileno(), process.stderr.fileno()
        self._heartbeat, self._output, self._tree = heartbeat, output, tree
        self._until = time.monotonic() + seconds
        self._next_heartbeat = time.monotonic() + BEAT_SECONDS
        self._unsent = b""
        self._file: BinaryIO | None = None
        self._heard, self._said = b"", b""
        self._given = self._stopping = False
        self._last: dict[str, Any] | None = None
        for pipe in (self._in, self._out, self._errors):
            os.set_blocking(pipe, False)

    def to_its_end(self) -> dict[str, Any]:
        """Exchange events until the host's last one; see converse()."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._out, selectors.EVENT_READ)
            selector.register(self._errors, selectors.EVENT_READ)
            while self._last is None and self._out in selector.get_map():
                self._tick()
                if time.monotonic() >= self._until:
                    raise self._cut_off(_("the host did not finish in time"))
                wants = self._in in selector.get_map()
                if self._waiting() and not wants:
                    selector.register(self._in, selectors.EVENT_WRITE)
                elif wants and not self._waiting():
                    selector.unregister(self._in)
                for found, _events in selector.select(max(0.0, self._next_heartbeat - time.monotonic())):
                    if found.fd == self._in:
                        self._send()
                    elif not self._hear(found.fd):
                        selector.unregister(found.fd)
        if self._last is None:
            raise self._cut_off(self._reason())
        if self._stopping:
            raise StopRequested
        return self._last

    def _tick(self) -> None:
        if time.monotonic() < self._next_heartbeat:
            return
        self._next_heartbeat = time.monotonic() + BEAT_SECONDS
        try:
            self._heartbeat()
        except StopRequested:
            self._stopping = True
            self._until = min(self._until, time.monotonic() + MARGIN_SECONDS)
            self._unsent += written({"stop": True}) if self._given and self._file is None else b""
        # Nothing else may be sent between the pieces of a file; they count as heartbeats themselves.
        if self._given and self._file is None and not self._unsent:
            self._unsent += b"\n"
        self._send()

    def _waiting(self) -> bool:
        return bool(self._unsent) or self._file is not None

    def _send(self) -> None:
        if not self._unsent and self._file is not None:
            self._unsent = self._file.read(262144)
            if not self._unsent:
                self._file.close()
                self._file = None
                self._unsent = written({"stop": True}) if self._stopping else b""
        if self._unsent:
            try:
                self._unsent = self._unsent[os.write(self._in, self._unsent) :]
            except BlockingIOError:
                return
            except BrokenPipeError:
                # The last lines from the host will say why.
                self._unsent = b""

    def _hear(self, pipe: int) -> bool:
        try:
            chunk = os.read(pipe, 65536)
        except BlockingIOError:
            return True
        if pipe == self._errors:
            self._said = (self._said + chunk)[-4096:]
            return bool(chunk)
        self._heard += chunk
        if len(self._heard) > _LONGEST_LINE:
            raise self._cut_off(_("the host's answer is too long"))
        *lines, self._heard = self._heard.split(b"\n")
        for line in lines:
            self._take(line)
        return bool(chunk)

    def _take(self, line: bytes) -> None:
        try:
            event = read(line)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            # Text that the login shell prints before the bundle starts.
            if self._given:
                raise self._cut_off(_("the host sent an unreadable answer"))
            return
        if not self._given:
            self._greeted(event)
        elif "output" in event:
            self._output(base64.b64decode(event["output"]))
        elif "want" in event:
            self._fetch()
        elif "answer" in event or "fault" in event:
            self._last = event

    def _greeted(self, event: dict[str, Any]) -> None:
        if "old" in event:
            text = _("%(host)s has Python %(found)s; 3.11.4 or newer is needed")
            raise StepFailed(text % {"host": self._place.label, "found": event["old"]})
        if "have" in event or "need" in event:
            self._given = True
            self._unsent += (bundle().content if "need" in event else b"") + written(self._request)

    def _fetch(self) -> None:
        if self._tree is None:
            raise self._cut_off(_("the host requested data that it may not have"))
        with tempfile.TemporaryDirectory(prefix="ringi-tree-") as folder:
            path = Path(folder) / "tree.tar"
            self._tree(path, self._tick)
            self._unsent += written({"bytes": path.stat().st_size})
            # Open, it outlives its folder.
            self._file = path.open("rb")

    def _reason(self) -> str:
        lines = [line for line in self._said.decode(errors="replace").splitlines() if line.strip()]
        text = self._said.decode(errors="replace")
        if "Host key verification failed" in text or "HOST IDENTIFICATION HAS CHANGED" in text:
            return _("the host key is not the one that is pinned in the target options")
        if "Permission denied (" in text or "Load key" in text:
            return _("the host does not accept the key")
        return lines[-1].strip() if lines else _("the connection ended")

    def _cut_off(self, reason: str) -> Exception:
        if self._stopping:
            return StopRequested()
        said = {"host": self._place.label, "reason": reason}
        if not self._given:
            return StepFailed(_("%(host)s cannot be reached: %(reason)s") % said)
        return Lost(_("the connection to %(host)s was lost: %(reason)s") % said)


def raised(event: dict[str, Any]) -> Exception:
    """Return a fault that the host reported, as the exception that it was there."""
    message = str(event["message"])
    kind = getattr(base, str(event["fault"]), None)
    if not isinstance(kind, type) or not issubclass(kind, Exception):
        return RuntimeError(message)
    if issubclass(kind, StepFailed):
        return kind(message, state=event["state"], facts=event["facts"])
    return kind(message)
