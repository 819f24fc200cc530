"""Real repositories for tests of sources: histories written at once, keys, and servers for http and ssh."""

from __future__ import annotations

import base64
import getpass
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from config.development.ports import free_port

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
NAME, PASSWORD = "deploy", "p@ss/w:rd £1"


def git(repository: Path, *words: str, stdin: bytes = b"") -> str:
    """Run git on a bare repository as the developer, without any user's configuration."""
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    for role in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{role}_NAME": "Developer", f"GIT_{role}_EMAIL": "developer@datasets.example"}
    command = ["git", f"--git-dir={repository}", *words]
    done = subprocess.run(command, env=environment, input=stdin, check=True, capture_output=True)
    return done.stdout.decode().strip()


def empty(path: Path) -> Path:
    """Make an empty bare repository."""
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(path)], check=True)
    return path


def history(path: Path, commits: int, tags: dict[str, tuple[int, str | None]]) -> Path:
    """Make a repository with a straight history of so many commits, written by fast-import.

    tags: name → (number of its commit, from 1; message, None for a light one). Commits are an hour apart.
    """
    begin = 1_500_000_000
    lines = ["reset refs/heads/main"]
    for number in range(1, commits + 1):
        text = f"feat: change {number}" if number % 3 else f"fix: change {number}"
        content = f"{number}\n"
        lines += [
            "commit refs/heads/main",
            f"mark :{number}",
            f"committer Dev <dev@datasets.example> {begin + 3600 * number} +0900",
            f"data {len(text)}",
            text,
            "M 100644 inline number",
            f"data {len(content)}",
            content,
        ]
    for name, (number, message) in tags.items():
        if message is None:
            lines += [f"reset refs/tags/{name}", f"from :{number}", ""]
        else:
            who = f"tagger Dev <dev@datasets.example> {begin + 3600 * number + 60} +0900"
            lines += [f"tag {name}", f"from :{number}", who, f"data {len(message.encode())}", message]
    git(empty(path), "fast-import", "--quiet", stdin=("\n".join(lines) + "\n").encode())
    return path


def key(place: Path) -> Path:
    """Make an SSH key without passphrase."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(place)], check=True)
    return place


@contextmanager
def over_http(root: Path, asked: list[str] | None = None, *, address: str = "127.0.0.1") -> Iterator[str]:
    """Serve the repositories below a folder by git's own http-backend, for one name and password; yield the address."""
    wanted = "Basic " + base64.b64encode(f"{NAME}:{PASSWORD}".encode()).decode()

    class Backend(BaseHTTPRequestHandler):
        def log_message(self, *_words: Any) -> None:
            pass

        def do_GET(self) -> None:
            if asked is not None:
                asked.append(self.path)
            if self.headers.get("Authorization") != wanted:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.end_headers()
                return
            path, _mark, query = self.path.partition("?")
            environment = {
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "REMOTE_USER": NAME,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "REMOTE_ADDR": "127.0.0.1",
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_CONFIG_GLOBAL": os.devnull,
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_CONFIG_COUNT": "2",
                "GIT_CONFIG_KEY_0": "http.receivepack",
                "GIT_CONFIG_VALUE_0": "true",
                "GIT_CONFIG_KEY_1": "safe.directory",
                "GIT_CONFIG_VALUE_1": "*",
            }
            done = subprocess.run(
                ["git", "http-backend"], env=environment, input=self._body(), capture_output=True, check=False
            )
            head, _blank, body = done.stdout.partition(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
            self.send_response(int(fields.pop("Status", "200").split()[0]))
            for name, value in fields.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            whole = b""
            while size := int(self.rfile.readline(), 16):
                whole += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return whole

    server = ThreadingHTTPServer((address, 0), Backend)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{address}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def over_ssh(
    folder: Path, allowed: Path, *, address: str = "127.0.0.1", within: Sequence[str] = (), **more: str
) -> Iterator[tuple[str, str]]:
    """Run a real sshd that accepts one public key; yield (address without path, line for the known hosts).

    within: words that start a program on another machine, whose address is then given. more: options of sshd.
    """
    assert SSHD is not None
    folder.mkdir(mode=0o700)
    host = key(folder / "host")
    (folder / "authorized").write_text(allowed.read_text())
    port = free_port()
    options = {
        "Port": str(port),
        "ListenAddress": address,
        "HostKey": str(host),
        "PidFile": "none",
        "AuthorizedKeysFile": str(folder / "authorized"),
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
        **more,
    }
    words = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    log = (folder / "log").open("wb")
    server = subprocess.Popen([*within, SSHD, "-D", "-e", "-f", "/dev/null", *words], stderr=log)
    try:
        for _try in range(100):
            with socket.socket() as probe:
                if probe.connect_ex((address, port)) == 0:
                    break
            assert server.poll() is None, (folder / "log").read_text()
            time.sleep(0.05)
        public = " ".join(host.with_suffix(".pub").read_text().split()[:2])
        yield f"ssh://{getpass.getuser()}@{address}:{port}", f"[{address}]:{port} {public}"
    finally:
        server.terminate()
        server.wait()
        log.close()
