"""Two versions of the code, each in a folder, and an installation behind a link that leads to one of them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx

from config.development.ports import free_port
from config.development.processes import PROJECT, spawn
from environments.code_version import code_version
from tests.chaos.running import Running, children, until
from tests.chaos.tree import Tree, copied

NEXT = "99.0.0"
TOKEN = "a-token-of-the-metrics"
# A machine that does much else lets nobody lose a step.
SETTINGS = {
    "RINGI_LEASE_DURATION": "30",
    "RINGI_HEARTBEAT_INTERVAL": "5",
    "RINGI_POLL_INTERVAL": "0.5",
    "RINGI_API_RATE_LIMIT": "100000/s",
    "RINGI_METRICS_TOKEN": TOKEN,
}
JUNIT = b'<testsuite tests="1" failures="0" errors="0"><testcase name="a"/></testsuite>'
FIELD = '    suite = models.CharField(_("suite"), max_length=100, blank=True)\n'
MIGRATION = """from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("releases", "{before}")]
    operations = [migrations.AddField("evidence", "branch", models.CharField({filled}, max_length=100))]
"""


def next_version(folder: Path) -> Tree:
    """Make the version that takes over: the commit RINGI_UPGRADE_TO, else this one with a column that may be added."""
    commit = os.environ.get("RINGI_UPGRADE_TO", "")
    return compiled(of_commit(folder, commit)) if commit else with_column(folder, 'db_default="", default=""')


def with_column(folder: Path, filled: str) -> Tree:
    """Make the version after this one, whose evidence has a column more; filled: by which default."""
    tree = copied(folder)
    tree.replace("pyproject.toml", f'version = "{code_version()}"', f'version = "{NEXT}"')
    column = f'    branch = models.CharField("branch", {filled}, max_length=100)\n'
    tree.replace("releases/models/evidence.py", FIELD, FIELD + column)
    migrations = folder / "releases" / "migrations"
    last = max(file.stem for file in migrations.glob("[0-9]*.py"))
    (migrations / "0999_branch.py").write_text(MIGRATION.format(before=last, filled=filled), encoding="utf-8")
    return compiled(tree)


def of_commit(folder: Path, commit: str) -> Tree:
    """Lay the files of a commit into a folder, with the packages of this tree."""
    folder.mkdir()
    with tempfile.TemporaryFile() as archive:
        subprocess.run(["git", "archive", commit], cwd=PROJECT, stdout=archive, check=True)
        archive.seek(0)
        subprocess.run(["tar", "-x"], cwd=folder, stdin=archive, check=True)
    (folder / ".venv").symlink_to(PROJECT / ".venv")
    return Tree(folder)


def compiled(tree: Tree) -> Tree:
    """Compile the code of a tree, as docs/how-to/install.md does; return the tree."""
    argv = [sys.executable, "-m", "compileall", "-q", "audit", "config", "environments", "releases"]
    subprocess.run(argv, cwd=tree.folder, check=True, capture_output=True)
    return tree


def version_of(tree: Tree) -> str:
    """Return the version that the code of a tree names."""
    (found,) = re.findall(r'^version = "(.*)"$', (tree.folder / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    return str(found)


class Load:
    """People and a pipeline at work: pages, reads of the API and audited writes, some each second, until it ends."""

    def __init__(self, address: str, cookie: str, token: str, commit: str, release: int) -> None:
        self.client = httpx.Client(base_url=address, timeout=60, limits=httpx.Limits(max_keepalive_connections=0))
        self.cookie, self.bearer = {"Cookie": cookie}, {"Authorization": f"Bearer {token}"}
        self.commit, self.release = commit, release
        # Beginning, seconds, kind and answer of each request.
        self.answers: list[tuple[float, float, str, str]] = []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._ask, args=(kind,), daemon=True) for kind in ("read", "write")]
        for thread in self.threads:
            thread.start()

    def _ask(self, kind: str) -> None:
        number = 0
        while not self.over.wait(0.2):
            number, began = number + 1, time.monotonic()
            try:
                answer = str((self._write if kind == "write" else self._read)(number).status_code)
            except httpx.HTTPError as fault:
                answer = type(fault).__name__
            self.answers.append((began, time.monotonic() - began, kind, answer))

    def _read(self, number: int) -> httpx.Response:
        if number % 2:
            return self.client.get("/admin/", headers=self.cookie)
        return self.client.get(f"/api/v1/releases/{self.release}", headers=self.bearer)

    def _write(self, number: int) -> httpx.Response:
        fields = {"application": "datasets", "environment": "development", "kind": "junit", "test_type": "unit"}
        fields |= {"commit": self.commit, "suite": f"suite {number}"}
        return self.client.post("/api/v1/evidence", data=fields, files={"file": JUNIT}, headers=self.bearer)

    def end(self) -> None:
        """End it when the present requests are answered."""
        self.over.set()
        for thread in self.threads:
            thread.join(90)
        self.client.close()

    def written(self, since: float = 0.0) -> int:
        """Return how many writes that began after a moment were answered with 200."""
        return sum(began >= since and (kind, answer) == ("write", "200") for began, _s, kind, answer in self.answers)

    def failed(self, since: float = 0.0) -> list[str]:
        """Return the answers, or faults, of the requests since a moment that failed."""
        return [f"{kind}: {answer}" for began, _s, kind, answer in self.answers if began >= since and answer != "200"]

    def after(self, since: float, writes: int = 5) -> str:
        """Wait for writes that began after a moment; return what was answered since. Fails if a request failed."""
        until(f"{writes} writes", lambda: self.written(since) >= writes or self.failed(since), 120)
        seen = [seconds for began, seconds, _kind, _answer in self.answers if began >= since]
        assert not (failed := self.failed(since)), f"{len(failed)} of {len(seen)} requests failed: {failed[:5]}"
        writing = self.written(since)
        return f"{len(seen)} requests, {writing} of them writes, 0 failed (asked: 0), slowest {max(seen):.1f} s"


class Site:
    """An installation whose units name a link, as docs/how-to/upgrade.md has it."""

    def __init__(self, running: Running, folder: Path, tree: Tree) -> None:
        self.running, self.first, self.link, self.port = running, tree, folder / "ringi", free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        running.code = self.link
        self.switch(tree)
        words = [
            "-m",
            "gunicorn",
            "config.wsgi",
            "--bind",
            f"127.0.0.1:{self.port}",
            "--workers",
            "2",
            "--threads",
            "4",
        ]
        words += ["--chdir", str(self.link), "--no-control-socket", "--logger-class", "config.web_log.WebLogger"]
        self.log = folder / "web.log"
        self.web = spawn(
            [sys.executable, *words],
            environment=self.environment("web"),
            folder=self.link,
            log=self.log,
            death_signal=signal.SIGKILL,
        )
        running.started.append(self.web)
        until("the web process", lambda: self.version() == version_of(tree), 120)

    def switch(self, tree: Tree) -> None:
        """Let the link lead to another version, in one step."""
        fresh = self.link.with_name("fresh")
        fresh.symlink_to(tree.folder)
        fresh.replace(self.link)

    def environment(self, process: str) -> dict[str, str]:
        """Return the variables of a process."""
        own = {"DATABASE_URL": self.running.address(process), "REDIS_URL": self.running.redis_url}
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return {**kept, **SETTINGS, **own, "RINGI_HEARTBEAT_TIMEOUT": "0", "RINGI_LOG_FORMAT": "json"}

    def start(self, *words: str) -> Any:
        """Start a process of the version behind the link."""
        return self.running.process(*words, **SETTINGS)

    def manage(self, tree: Tree, process: str, *words: str) -> str:
        """Run a management command of a version as a process or as the owner; return what it printed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=tree.folder,
            env=self.environment(process),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        said = (done.stdout + done.stderr)[-600:]
        assert done.returncode == 0, f"{' '.join(words)} ended with {done.returncode}: {said}"
        return done.stdout

    def version(self) -> str:
        """Return the version of the code that answers; empty while none does."""
        try:
            metrics = httpx.get(
                f"{self.address}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60
            ).text
        except httpx.HTTPError:
            return ""
        return "".join(re.findall(r'^ringi_build_info\{version="(.*)"\}', metrics, re.MULTILINE))

    def reload(self, tree: Tree) -> None:
        """Switch the link and reload the web process by SIGHUP; wait until only the new version answers."""
        before = set(children(self.web.pid))
        assert len(before) == 2
        self.switch(tree)
        self.web.send_signal(signal.SIGHUP)
        until("the old web processes to end", lambda: not before & set(children(self.web.pid)), 120)
        until("the new ones", lambda: len(children(self.web.pid)) == 2, 60)
        answered = {self.version() for _number in range(10)}
        assert answered == {version_of(tree)}, answered
