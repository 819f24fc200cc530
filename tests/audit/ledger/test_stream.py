"""The stream of events to a SIEM: in order, none is lost, over TLS and HTTP, and never those of another ledger."""

from __future__ import annotations

import http.server
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from audit.ledger import stream as streaming
from audit.ledger.checkpoint import LedgerSigner
from audit.ledger.stream import AnotherLedger, NotSent, Post, Stream, Syslog, destination_of, follow, message
from audit.models import Event, LedgerEntry, LedgerHead
from audit.operation import record_event
from tests.certificates import self_signed
from tests.conftest import sign_ledger


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Wait less, and end what a test has connected."""
    monkeypatch.setattr(streaming, "STANDS", 0.2)
    opened: list[Syslog] = []
    made = Syslog.__init__

    def noted(self: Syslog, *given: Any) -> None:
        made(self, *given)
        opened.append(self)

    monkeypatch.setattr(Syslog, "__init__", noted)
    yield
    for one in opened:
        one.close()


@pytest.fixture
def happen(database: str, acting_as: Callable[..., Any], tmp_path: Path) -> Callable[[str], None]:
    """Return a function: let something happen, and link it."""
    signer = LedgerSigner(tmp_path / "ledger_signer")
    sign_ledger(signer)

    def one(name: str) -> None:
        with acting_as("manager"):
            record_event("test:stream", object=name)
        sign_ledger(signer)

    return one


class SyslogServer:
    """Takes messages with octet counting; `closes_after` bytes it ends a connection."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port, self.tls = self.listening.getsockname()[1], tls
        self.read = b""
        self.broken = False
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                there, _peer = self.listening.accept()
            except OSError:
                return
            try:
                wire = self.tls.wrap_socket(there, server_side=True) if self.tls else there
                if self.broken:
                    wire.close()
                    continue
                with wire:
                    while data := wire.recv(65536):
                        self.read += data
            except OSError:
                there.close()

    @property
    def records(self) -> list[dict[str, Any]]:
        """The messages that came, parsed."""
        found, rest = [], self.read
        while rest:
            length, _space, behind = rest.partition(b" ")
            text, rest = behind[: int(length)], behind[int(length) :]
            head, _bom, body = text.partition(b"\xef\xbb\xbf")
            assert re.match(rb"<1(0[0-9]|1[01])>1 \S+ \S+ ringi - \w+ - $", head), head
            found.append(json.loads(body))
        return found


@pytest.fixture
def server() -> Iterator[SyslogServer]:
    made = SyslogServer()
    yield made
    made.listening.close()


def came(server: SyslogServer, count: int) -> list[dict[str, Any]]:
    """Return the messages once so many have come, or after ten seconds those that have."""
    last = time.monotonic() + 10
    while server.read.count(b"ringi - ") < count and time.monotonic() < last:
        time.sleep(0.01)
    return server.records


def numbers(records: list[dict[str, Any]]) -> list[int]:
    return [record["number"] for record in records]


def test_each_event_comes_once_in_its_order(
    happen: Callable[[str], None], server: SyslogServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "BATCH", 7)
    last = LedgerHead.objects.get().number
    stream = Stream(tmp_path / "stream", Syslog("127.0.0.1", server.port, None))
    while stream.send(connection):
        pass
    stream.destination.close()
    happen("after the first part")
    # A process of its own begins where the other one ended.
    again = Stream(tmp_path / "stream", Syslog("127.0.0.1", server.port, None))
    assert again.position.number == last and again.send(connection) == 1
    records = came(server, last + 1)
    assert numbers(records) == list(range(1, last + 2))
    newest = records[-1]
    link = LedgerEntry.objects.get(number=last + 1)
    assert (newest["operation"], newest["object"], newest["leaf"]) == (
        "test:stream",
        "after the first part",
        bytes(link.leaf).hex(),
    )
    assert newest["actor"].startswith("person:") and newest["id"] == str(link.event_id)


def test_what_a_broken_connection_did_not_take_is_sent_again(
    happen: Callable[[str], None], server: SyslogServer, tmp_path: Path
) -> None:
    stream = Stream(tmp_path / "stream", Syslog("127.0.0.1", server.port, None))
    stream.begin_behind(LedgerHead.objects.get().number, connection)
    kept = stream.position.number
    happen("while nobody listens")
    server.broken = True
    for _try in range(2):
        with pytest.raises(NotSent):
            stream.send(connection)
    assert stream.position.number == kept and server.records == []
    server.broken = False
    assert stream.send(connection) == 1 and numbers(came(server, 1)) == [kept + 1]


def test_tls_is_verified(happen: Callable[[str], None], tmp_path: Path) -> None:
    key, certificate = self_signed(tmp_path, "DNS:localhost")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    server = SyslogServer(tls)
    happen("in secret")
    address = f"syslog+tls://localhost:{server.port}"
    last = LedgerHead.objects.get().number
    for url, taken in ((address, False), (f"{address}?ca={certificate}", True)):
        stream = Stream(tmp_path / str(taken), destination_of(url))
        stream.begin_behind(last - 1, connection)
        if taken:
            assert stream.send(connection) == 1
        else:
            with pytest.raises(NotSent, match=r"(?i)certificate"):
                stream.send(connection)
    assert numbers(came(server, 1)) == [last]
    server.listening.close()


def test_an_answer_that_is_no_success_is_no_receipt(happen: Callable[[str], None], tmp_path: Path) -> None:
    answers, seen = [503, 302, 200], []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            seen.append((self.headers["Authorization"], [json.loads(line) for line in body.splitlines()]))
            self.send_response(answers[len(seen) - 1])
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as there:
        threading.Thread(target=there.serve_forever, daemon=True).start()
        stream = Stream(tmp_path / "stream", destination_of(f"http://127.0.0.1:{there.server_port}/in", "a-token"))
        happen("by post")
        last = LedgerHead.objects.get().number
        stream.begin_behind(last - 1, connection)
        for status in ("503", "302"):
            with pytest.raises(NotSent, match=status):
                stream.send(connection)
        assert stream.send(connection) == 1
        there.shutdown()
    assert [(token, numbers(records)) for token, records in seen] == [("Bearer a-token", [last])] * 3


def test_the_events_of_another_ledger_are_not_sent(
    happen: Callable[[str], None], server: SyslogServer, tmp_path: Path
) -> None:
    """After a restore of an older dump the numbers mean something else; a person says where to go on."""
    stream = Stream(tmp_path / "stream", Syslog("127.0.0.1", server.port, None))
    stream.begin_behind(LedgerHead.objects.get().number, connection)
    kept = stream.file.read_text()
    for other in (kept.replace('"number": ', '"number": 9'), re.sub(r'"leaf": "..', '"leaf": "zz', kept)):
        stream.file.write_text(other)
        with pytest.raises(AnotherLedger, match="--behind"):
            Stream(tmp_path / "stream", stream.destination).send(connection)
    with pytest.raises(AnotherLedger):
        stream.begin_behind(10**9, connection)
    stream.begin_behind(0, connection)
    assert stream.send(connection) == min(LedgerHead.objects.get().number, streaming.BATCH)


def test_what_is_missing_or_went_past_ringi_is_critical(happen: Callable[[str], None]) -> None:
    record = dict.fromkeys(
        ("number", "leaf", "id", "at", "kind", "actor", "channel", "operation", "object", "outcome", "reason"), "x"
    )
    cases = (({"outcome": "done"}, 6), ({"outcome": "refused"}, 5), ({"outcome": "failed"}, 4))
    for change, severity in (*cases, ({"actor": "break-glass:dba"}, 2), ({"id": None, "at": None, "kind": None}, 2)):
        text = message(record | change, "host")
        assert text.partition(b" ")[2].startswith(f"<{13 * 8 + severity}>1 ".encode())
    assert Event.objects.exists()


def test_the_stream_goes_on_after_failures_with_pauses(happen: Callable[[str], None], tmp_path: Path) -> None:
    waits, said, taken = [], [], []

    class Seldom:
        def close(self) -> None:
            pass

        def send(self, records: Any) -> None:
            if len(waits) < 3:
                raise NotSent("down")
            taken.extend(records)

    def ended(seconds: float) -> bool:
        waits.append(seconds)
        return bool(taken)

    happen("at last")
    stream = Stream(tmp_path / "stream", Seldom())
    stream.begin_behind(LedgerHead.objects.get().number - 1, connection)
    follow(stream, connection, ended=ended, say=said.append)
    assert waits == [1.0, 2.0, 4.0, 1.0] and len(taken) == 1
    assert len(said) == 4 and "takes events again" in said[-1]


@pytest.mark.parametrize(
    "url",
    ["syslog+tcp://siem.example:514", "http://siem.example/in", "syslog+udp://127.0.0.1", "https:///x", "nonsense"],
)
def test_an_address_that_would_not_be_safe_is_refused(url: str, settings: Any, tmp_path: Path) -> None:
    settings.STREAM_URL, settings.STATE_DIR = url, tmp_path
    with pytest.raises(CommandError, match="RINGI_STREAM_URL"):
        call_command("ledger_stream")
    settings.STREAM_URL = ""
    with pytest.raises(CommandError, match="names no destination"):
        call_command("ledger_stream")
    authority = ssl.get_default_verify_paths().cafile or ""
    made = destination_of(f"https://siem.example/in?source=ringi&ca={authority}")
    assert isinstance(made, Post) and made.url == "https://siem.example/in?source=ringi"
