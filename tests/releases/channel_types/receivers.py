"""A real SMTP server and a real HTTP receiver on the loopback, for the tests of channels, deliveries and kills."""

from __future__ import annotations

import re
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class MailHost:
    """The mails that a server has taken. refuses: address → SMTP answer at RCPT; data: answer instead of 250.

    everybody: answer at RCPT for every address. hangs: the stage at which the server stops answering until `go` is set:
    connect, drip (a greeting that never ends), EHLO, RCPT, DATA, end or QUIT; hanging: a client waits there.
    """

    host: str
    port: int
    mails: list[EmailMessage] = field(default_factory=list)
    to: list[str] = field(default_factory=list)
    refuses: dict[str, str] = field(default_factory=dict)
    data: str = "250 2.0.0 taken"
    before: Callable[[], None] = lambda: None
    everybody: str = ""
    hangs: str = ""
    hanging: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)


@contextmanager
def mail_host(port: int = 0) -> Iterator[MailHost]:
    """Serve SMTP (RFC 5321: HELO, EHLO, MAIL, RCPT, DATA, RSET, NOOP, QUIT) until the block ends."""

    class Talking(socketserver.StreamRequestHandler):
        def say(self, line: str) -> None:
            self.wfile.write(line.encode() + b"\r\n")

        def hang(self, stage: str) -> bool:
            """Wait at the requested stage; return whether the conversation is over."""
            if made.hangs != stage:
                return False
            made.hanging.set()
            while not made.go.wait(0.2 if stage == "drip" else 60):
                try:
                    self.wfile.write(b"220-wait\r\n")
                except OSError:
                    break
            return True

        def handle(self) -> None:
            if self.hang("connect") or self.hang("drip"):
                return
            self.say("220 mail.example ESMTP")
            taken: list[str] = []
            while line := self.rfile.readline():
                verb = line[:4].upper().strip()
                if self.hang(verb.decode()):
                    return
                if verb == b"EHLO":
                    self.say("250-mail.example\r\n250-8BITMIME\r\n250 SMTPUTF8")
                elif verb == b"RCPT":
                    address = re.search(rb"<(.*?)>", line)[1].decode()
                    answer = made.everybody or made.refuses.get(address, "250 2.1.5 ok")
                    taken += [address] * answer.startswith("250")
                    self.say(answer)
                elif verb == b"DATA":
                    self.say("354 go on")
                    lines = []
                    while (text := self.rfile.readline()) not in (b".\r\n", b""):
                        lines.append(text.removeprefix(b".") if text.startswith(b"..") else text)
                    made.before()
                    if self.hang("end"):
                        return
                    if made.data.startswith("250"):
                        made.mails.append(message_from_bytes(b"".join(lines), policy=policy.default))
                        made.to += taken
                    taken = []
                    self.say(made.data)
                elif verb == b"QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 ok")

    with socketserver.ThreadingTCPServer(("127.0.0.1", port), Talking) as server:
        server.daemon_threads = True
        made = MailHost("127.0.0.1", server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield made
        finally:
            made.go.set()
            server.shutdown()
            thread.join()


@dataclass
class Received:
    """One POST: path, headers with lower-case names, body."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """The received posts. answers: (status, body, headers), the last one again and again."""

    base: str
    posted: list[Received] = field(default_factory=list)
    answers: list[tuple[int, str, dict[str, str]]] = field(default_factory=lambda: [(200, "ok", {})])
    before: Callable[[], None] = lambda: None


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Take POSTs until the block ends."""

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            made.posted.append(Received(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            made.before()
            status, text, headers = made.answers.pop(0) if len(made.answers) > 1 else made.answers[0]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *values: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Taking) as server:
        made = Receiver(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()


def use_mail(settings: Any, host: MailHost) -> None:
    """Let Django's SMTP backend talk to a server."""
    settings.MAIL_HOST = host.host
    options = {"host": host.host, "port": host.port, "timeout": 15}
    settings.MAILERS = {"default": {"BACKEND": "django.core.mail.backends.smtp.EmailBackend", "OPTIONS": options}}
    settings.DEFAULT_FROM_EMAIL = "Ringi <ringi@releases.example>"
