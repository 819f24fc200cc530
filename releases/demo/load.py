"""Load generator for a copy of the sample service on this machine, bounded in rate and time.

Run by the story: `python -m releases.demo.load --base-url URL --rate N --seconds S [--write-share 0.02]`.
"""

from __future__ import annotations

import argparse
import http.client
import ipaddress
import json
import random
import signal
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

THREADS = 4
WAIT_SECONDS = 0.2
ANSWER_SECONDS = 10.0
HIGHEST_RATE = 2000.0
LONGEST_SECONDS = 3600.0


class NotLocal(Exception):
    """The address is not on this machine; no traffic is sent to it."""


def loopback(base_url: str) -> tuple[str, int]:
    """Return host and port of an http address of this machine. Raises NotLocal for every other."""
    try:
        parts = urlsplit(base_url)
        port = parts.port or 80
    except ValueError as error:
        raise NotLocal(f"{base_url}: {error}") from error
    host = parts.hostname or ""
    if host == "localhost":
        host = "127.0.0.1"  # never asked of a name server
    try:
        here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = False
    if parts.scheme != "http" or not here:
        raise NotLocal(f"{base_url} is not an http address of this machine")
    return host, port


@dataclass
class Tally:
    """What was sent and what came back; `statuses` by status code, `longest` in seconds."""

    statuses: Counter[str] = field(default_factory=Counter)
    written: int = 0
    refused: int = 0
    seconds: float = 0.0
    longest: float = 0.0

    def add(self, other: Tally) -> None:
        """Add the numbers of one thread."""
        self.statuses += other.statuses
        self.written += other.written
        self.refused += other.refused
        self.seconds += other.seconds
        self.longest = max(self.longest, other.longest)

    def report(self, elapsed: float) -> dict[str, object]:
        """Return the numbers as JSON."""
        requests = sum(self.statuses.values())
        return {
            "requests": requests,
            "statuses": dict(sorted(self.statuses.items())),
            "written": self.written,
            "refused": self.refused,
            "mean_seconds": round(self.seconds / requests, 6) if requests else None,
            "longest_seconds": round(self.longest, 6),
            "elapsed_seconds": round(elapsed, 3),
        }


class Visitor(threading.Thread):
    """One connection that sends requests at a steady pace until it is stopped; `write_share` of its requests write."""

    def __init__(
        self, address: tuple[str, int], pace: float, write_share: float, seed: int, stop: threading.Event
    ) -> None:
        super().__init__(name=f"visitor-{seed}")
        self.tally = Tally()
        self._address, self._pace, self._write_share, self._stop_event = address, pace, write_share, stop
        self._chance = random.Random(seed)
        self._known: list[int] = []

    def run(self) -> None:
        """Send one request after the other; a late one is not repeated."""
        connection = http.client.HTTPConnection(*self._address, timeout=ANSWER_SECONDS)
        due = time.monotonic() + self._pace * self._chance.random()
        while not self._stop_event.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._pace, time.monotonic())
            if not self._ask(connection):
                connection.close()
                due = time.monotonic() + WAIT_SECONDS
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection) -> bool:
        """Send one request; return False when the service is down at the moment."""
        method, path, body = self._request()
        began = time.monotonic()
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self.tally.refused += 1
            return False
        seconds = time.monotonic() - began
        self.tally.statuses[str(answer.status)] += 1
        self.tally.seconds += seconds
        self.tally.longest = max(self.tally.longest, seconds)
        if method == "POST" and answer.status == 201:
            self.tally.written += 1
        if path == "/datasets" and method == "GET" and answer.status == 200:
            self._known = [row["id"] for row in json.loads(content)["datasets"]]
        return answer.status != 503

    def _request(self) -> tuple[str, str, bytes | None]:
        if self._chance.random() < self._write_share:
            fields = {"title": f"load {self._chance.randrange(10**9)}", "row_count": self._chance.randrange(1000)}
            return "POST", "/datasets", json.dumps(fields).encode()
        if not self._known or self._chance.random() < 0.4:
            return "GET", "/datasets", None
        return "GET", f"/datasets/{self._chance.choice(self._known)}", None


def send(
    base_url: str, *, rate: float, seconds: float, write_share: float = 0.02, stop: threading.Event | None = None
) -> dict[str, object]:
    """Send `rate` requests a second for `seconds` or until `stop`; return the counts. Raises NotLocal."""
    address = loopback(base_url)
    stop = stop or threading.Event()
    began = time.monotonic()
    visitors = [Visitor(address, THREADS / rate, write_share, seed, stop) for seed in range(THREADS)]
    for visitor in visitors:
        visitor.start()
    stop.wait(seconds)
    stop.set()
    total = Tally()
    for visitor in visitors:
        visitor.join()
        total.add(visitor.tally)
    return total.report(time.monotonic() - began)


def bounded(highest: float, text: str) -> float:
    """Return a number above 0 and not above `highest`. Raises ArgumentTypeError."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= highest:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most {highest:g}")
    return number


def share(text: str) -> float:
    """Return a share from 0 to 1. Raises ArgumentTypeError."""
    return 0.0 if text in ("0", "0.0") else bounded(1.0, text)


def main(words: list[str]) -> int:
    """Send the traffic asked for; print and keep the report. Exit 2 for an address elsewhere."""
    parser = argparse.ArgumentParser(prog="releases.demo.load")
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--rate", type=lambda text: bounded(HIGHEST_RATE, text), required=True)
    parser.add_argument("--seconds", type=lambda text: bounded(LONGEST_SECONDS, text), required=True)
    parser.add_argument("--write-share", type=share, default=0.02)
    parser.add_argument("--report", type=Path)
    arguments = parser.parse_args(words)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        report = send(
            arguments.base_url,
            rate=arguments.rate,
            seconds=arguments.seconds,
            write_share=arguments.write_share,
            stop=stop,
        )
    except NotLocal as error:
        print(f"load: {error}", file=sys.stderr)
        return 2
    text = json.dumps(report)
    if arguments.report:
        arguments.report.write_text(text + "\n")
    print(text, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
