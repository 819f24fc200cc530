"""A MariaDB server with files, socket and port of its own, and the operators' commands for the data of a target."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from config.development.ports import free_port
from releases.demo.site import until

NEEDED = ("mariadbd", "mariadb-install-db", "mariadb", "mariadb-admin", "mariadb-dump")
# It prints a digest, dumps, restores, and prints the digest of a dump that it has restored elsewhere.
DATA = """set -eu
own=--defaults-extra-file=$RINGI_TARGET_ROOT/client.cnf
dump() { mariadb-dump "$own" --single-transaction --order-by-primary --skip-comments "$1"; }
digest() { dump "$1" >"$TMPDIR/digest.sql"; sha256sum <"$TMPDIR/digest.sql"; rm "$TMPDIR/digest.sql"; }
load() {
  echo "DROP DATABASE IF EXISTS $1; CREATE DATABASE $1;" | mariadb "$own"
  mariadb "$own" "$1" <"$2"
}
case $1 in
  digest) digest "$2" ;;
  dump) dump "$2" >"$3" ;;
  restore) load "$2" "$3" ;;
  verify) load "$2_verify" "$3"; digest "$2_verify" ;;
esac
"""


@dataclass(frozen=True)
class Server:
    """A server that root reaches by its socket, and each database by its port with a user of its own name."""

    socket: str
    port: int

    def database(self, name: str, password: str) -> None:
        """Make a database and its user, who may make one beside it to verify dumps."""
        rights = "".join(f"GRANT ALL ON {one}.* TO '{name}'@'localhost';" for one in (name, f"{name}_verify"))
        made = f"CREATE DATABASE {name}; CREATE USER '{name}'@'localhost' IDENTIFIED BY '{password}'; {rights}"
        words = ["mariadb", "--no-defaults", f"--socket={self.socket}", "--execute", made]
        subprocess.run(words, check=True, capture_output=True)


@contextmanager
def mariadb() -> Iterator[Server]:
    """Run a server until the end. Raises RuntimeError, with the reason, where Debian's MariaDB is not installed."""
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"
    programs = {name: shutil.which(name, path=path) for name in NEEDED}
    if lacking := [name for name, found in programs.items() if found is None]:
        raise RuntimeError(f"not installed: {', '.join(lacking)}")
    with tempfile.TemporaryDirectory(prefix="ringi-mariadb-", ignore_cleanup_errors=True) as name:
        folder, server = Path(name), Server(f"{name}/socket", free_port())
        own = ["--no-defaults", f"--datadir={folder / 'data'}", *(["--user=root"] if os.geteuid() == 0 else [])]
        install = [str(programs["mariadb-install-db"]), *own, "--auth-root-authentication-method=normal"]
        subprocess.run(install, check=True, capture_output=True)
        on = [f"--socket={server.socket}", f"--port={server.port}", "--bind-address=127.0.0.1"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([str(programs["mariadbd"]), *own, *on], stdout=log, stderr=log)
        try:
            ping = ["mariadb-admin", "--no-defaults", f"--socket={server.socket}", "ping"]
            until("MariaDB to answer", lambda: not subprocess.run(ping, capture_output=True).returncode, 60)
            yield server
        finally:
            process.terminate()
            process.wait(60)
