"""The rows of the installation: docs/how-to/install.md step by step, the processes, a release, the ledger."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.kit.debian import Room, base, fresh, machine_variables, room, run
from tests.kit.guide import Step, steps
from tests.kit.table import Failed, Table

PROJECT = Path(__file__).resolve().parents[2]
ADDRESS = "https://ringi.example"
CLONE = "/opt/ringi"
# The steps that need the network: Debian's packages and the clone with its own.
FETCHED = ("Packages", "Code")
PYTHON = f"{CLONE}/.venv/bin/python"
CURL = ("curl", "--silent", "--show-error", "--cacert", "/etc/ringi-ca.pem")
# An organisation's own authority, a certificate for each name, and a PostgreSQL that people reach by TLS and password.
SURROUNDINGS = """
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=kit authority" \
  -addext keyUsage=critical,keyCertSign,cRLSign \
  -keyout /run/kit/ca.key -out /etc/ringi-ca.pem
certificate() {  # NAME KEY-FILE PEM-FILE GROUP
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1" -keyout "$2" -out /run/kit/request
  printf 'subjectAltName=DNS:%s' "$1" >/run/kit/names
  openssl x509 -req -in /run/kit/request -CA /etc/ringi-ca.pem -CAkey /run/kit/ca.key -days 2 \
    -extfile /run/kit/names -out "$3"
  chgrp "$4" "$2"; chmod 640 "$2"; chmod 644 "$3"
}
certificate ringi.example /etc/ssl/private/ringi.key /etc/ssl/ringi.pem root
certificate redis.example /etc/valkey/ringi.key /etc/valkey/ringi.pem valkey
version=$(ls /etc/postgresql)
certificate db.example /etc/postgresql/$version/main/db.key /etc/postgresql/$version/main/db.pem postgres
cat >/etc/postgresql/$version/main/conf.d/kit.conf <<END
ssl = on
ssl_cert_file = '/etc/postgresql/$version/main/db.pem'
ssl_key_file = '/etc/postgresql/$version/main/db.key'
END
pg_ctlcluster $version main start
"""
QUEUES = ("development", "staging", "production", "measurements", "checks", "notifications")
SINGLE = ("ringi-web", "ringi-live", "ringi-scheduler", "ringi-ledger-signer")
UNITS = (*SINGLE, *(f"ringi-worker@{one}" for one in QUEUES))
PSQL = ("runuser", "--user=postgres", "--", "psql", "-Atc")


def units(at: Room) -> dict[str, int]:
    """Return the main process of each unit; 0 when it does not run."""
    return {name: int(at.run("systemctl", "main-pid", name)) for name in UNITS}


def clone(root: Path) -> str:
    """Put the present commit where `git clone` of the page finds it; return its name."""
    shared = root / "run" / "kit" / "ringi.git"
    run("git", "clone", "--quiet", "--bare", "--depth=1", f"file://{PROJECT}", str(shared))
    config = '[url "file:///run/kit/ringi.git"]\n\tinsteadOf = https://forge.example/ringi.git\n'
    (root / "root" / ".gitconfig").write_text(config)
    changed = run("git", "-C", str(PROJECT), "status", "--porcelain", "--untracked-files=no")
    words = run("git", "-C", str(PROJECT), "rev-parse", "--short=12", "HEAD")
    return words + (", without the changes that are not committed" if changed else "")


class Installation:
    """One installation in a folder below `var/kit`, and the rows that look at it."""

    def __init__(self, table: Table, folder: Path) -> None:
        self.table, self.folder, self.root = table, folder, folder / "root"
        self.steps = list(steps())
        self.at: Room | None = None
        self.released: dict[str, object] = {}
        self.before: dict[str, int] = {}

    @property
    def here(self) -> Room:
        """Return the room in which it runs."""
        if self.at is None:
            raise Failed("no room is open")
        return self.at

    def fetch(self) -> None:
        """Make the server, and what needs the network."""
        (packages,) = (step for step in self.steps if step.title == "Packages")

        def debian() -> str:
            self.folder.mkdir(parents=True, exist_ok=True)
            archive, how = base(self.folder, "\n".join(packages.blocks))
            return f"{fresh(archive, self.root)} packages of Debian; {how}"

        self.table.row("install: a bare Debian with the packages of step 1", debian, needed=True)

        def code() -> str:
            (step,) = (step for step in self.steps if step.title == "Code")
            name, cache = clone(self.root), self.folder / "cache"
            cache.mkdir(exist_ok=True)
            with room(self.root, network=True, cache=cache) as at:
                self.play(at, step, **machine_variables())
                found = at.shell(f"{CLONE}/.uv/bin/uv pip list --quiet --python {PYTHON} | wc -l")
            return f"commit {name}; {int(found) - 2} packages of Python"

        self.table.row("install: Code", code, needed=True)

    def play(self, at: Room, step: Step, **variables: str) -> str:
        """Run the commands of a step; return what they print. Raises Failed."""
        if not step.blocks:
            raise Failed("the step has no command")
        inside = CLONE if (self.root / CLONE[1:]).exists() else "/"
        return "\n".join(at.shell(block, folder=inside, seconds=1200, **variables) for block in step.blocks)

    def set_up(self) -> None:
        """Play the steps of the page that need no network, in a room that has none."""

        def surroundings() -> str:
            # systemd is not PID 1 here: what the page asks of systemctl, a stand-in does by the same unit files.
            stand_in = self.root / "usr" / "local" / "bin" / "systemctl"
            stand_in.write_text(f'#!/bin/sh\nexec /usr/bin/python3 {CLONE}/tests/kit/systemctl.py "$@"\n')
            stand_in.chmod(0o755)
            self.here.shell(SURROUNDINGS)
            subprocess.Popen(
                [*self.here.words, "env", "--chdir", CLONE, PYTHON, "-m", "tests.kit.mail", "/run/kit/mail"],
                stdin=subprocess.DEVNULL,
            )
            return self.here.run(*PSQL, "SELECT version()").split(" on ")[0]

        self.table.row(
            "around it: authority, certificates, PostgreSQL with TLS, a mail server", surroundings, needed=True
        )
        seen = {
            "Accounts": self.accounts,
            "Variables": self.variables,
            "Database roles": self.roles,
            "Valkey": self.valkey,
            "Processes": self.processes,
            "First administrator": self.administrator,
            "The owner's password": self.owner,
        }
        for step in self.steps:
            if step.title in FETCHED:
                continue

            def look(step: Step = step) -> str:
                said = self.play(self.here, step) if step.blocks else ""
                last = said.splitlines()[-1] if said else "done"
                return seen[step.title](said) if step.title in seen else last

            self.table.row(f"install: {step.title}", look, needed=True)

    def accounts(self, said: str) -> str:
        """Look at the accounts and their folders."""
        names = [line.split(":") for line in (self.root / "etc/passwd").read_text().splitlines()]
        ours = [row[0] for row in names if row[0].startswith("ringi-")]
        if any(row[6] != "/usr/sbin/nologin" for row in names if row[0] in ours):
            raise Failed("an account of Ringi can sign in")
        folders = [path for path in (self.root / "var/lib").glob("ringi-*") if path.stat().st_mode & 0o777 == 0o700]
        return f"{len(ours)} accounts, {len(folders)} folders of mode 0700"

    def variables(self, said: str) -> str:
        """Look at the files of variables."""
        files = [*(self.root / "etc/ringi").iterdir()]
        if wrong := [file.name for file in files if file.stat().st_mode & 0o777 != 0o600 or file.stat().st_uid]:
            raise Failed(f"not root's alone: {wrong}")
        return f"{len(files)} files, mode 0600"

    def roles(self, said: str) -> str:
        """Look at the roles: each signs in with its password, over TLS."""
        found = []
        for file in sorted((self.root / "etc/ringi").glob("*.env")):
            url = re.findall(r"^DATABASE_URL=(.*)$", file.read_text(), re.MULTILINE)[0]
            ask = "SELECT current_user, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            role, encrypted = self.here.run("psql", "-At", url, "-c", ask).split("|")
            if encrypted != "t":
                raise Failed(f"{role} connects without TLS")
            found.append(role)
        listed = self.here.run(*PSQL, "SELECT rolname FROM pg_roles")
        made = [name for name in listed.splitlines() if name.startswith("ringi")]
        if len(made) != 6 or len({*found}) != 5:
            raise Failed(f"the roles are {made}, of which {sorted({*found})} sign in")
        return f"{len(made)} roles; {len({*found})} sign in over TLS, and the auditor's has no process"

    def valkey(self, said: str) -> str:
        """Look at Valkey: TLS alone, and no user without a password."""
        plain = self.here.shell("valkey-cli -h redis.example ping 2>&1 || true")
        nobody = self.here.shell("valkey-cli -h redis.example --tls --cacert /etc/ringi-ca.pem ping 2>&1 || true")
        url = re.findall(r"^REDIS_URL=(.*)\?", (self.root / "etc/ringi/web.env").read_text(), re.MULTILINE)[0]
        ours = self.here.run("valkey-cli", "--tls", "--cacert", "/etc/ringi-ca.pem", "-u", url, "ping")
        if "PONG" in plain + nobody or "NOAUTH" not in nobody or "PONG" not in ours:
            raise Failed(f"{plain} / {nobody} / {ours}")
        return "answers ringi_web over TLS, and nobody else"

    def processes(self, said: str) -> str:
        """Look at the processes: each runs, under its own account."""
        self.before = units(self.here)
        if silent := [name for name, pid in self.before.items() if not pid]:
            raise Failed(f"not running: {silent}")
        listed = {pid: self.here.run("ps", "-o", "user:32=", "-p", str(pid)) for pid in self.before.values()}
        if len({*listed.values()}) != len(UNITS) or "root" in listed.values():
            raise Failed(str(listed))
        return f"{len(listed)} units, each under its own account; systemd is not PID 1 here"

    def administrator(self, said: str) -> str:
        """Keep the link of the first administrator."""
        self.released["first"] = made = json.loads(said)
        return f"a link for {made['username']} below {made['invitation'].split('/invitation/')[0] or ADDRESS}"

    def owner(self, said: str) -> str:
        """Take the owner's password away, as the page asks."""
        for name in ("owner.env", "passwords.sql"):
            (self.root / "etc/ringi" / name).unlink()
        return "owner.env and passwords.sql are no longer on the server"

    def look(self) -> None:
        """The rows on what runs: health, doctor, a release, a reload, the ledger."""
        table = self.table
        table.row("run: /health/ready/ and /health/work/ over HTTPS", self.health, needed=True)
        table.row("run: manage.py doctor of each process", self.doctor)
        table.row("release: from the first sign-in to production", self.release, needed=True)
        table.row("release: its effect, seen from outside", self.effect)
        table.row("run: reload of gunicorn under load", self.reload)
        table.row("ledger: exported, and verified offline by ringi_verify.py", self.ledger)
        table.row("run: no unit has ended, no file of root in a state folder", self.still)

    def health(self) -> str:
        """Ask both addresses until they are green, for half a minute."""
        last = time.monotonic() + 30
        while True:
            found = {
                name: self.here.run(*CURL, "--write-out", " %{http_code}", f"{ADDRESS}/health/{name}/")
                for name in ("ready", "work")
            }
            if all(answer.endswith(" 200") for answer in found.values()):
                return "both 200"
            if time.monotonic() > last:
                raise Failed(str(found))
            time.sleep(1)

    def doctor(self) -> str:
        """Let each process look at its installation."""
        found = {}
        for file in sorted((self.root / "etc/ringi").glob("*.env")):
            said = self.here.shell(f"ringi-manage {file.stem} doctor --json || true")
            rows = json.loads(said)["findings"]
            if bad := [row for row in rows if row["result"] not in ("ok", "warning")]:
                raise Failed(f"{file.stem}: " + "; ".join(f"{row['name']}: {row['words']}" for row in bad))
            found[file.stem] = [f"{row['name']}: {row['words']}" for row in rows if row["result"] == "warning"]
        warnings = {words for rows in found.values() for words in rows}
        return f"{len(found)} processes, nothing failed; warnings: {'; '.join(sorted(warnings)) or 'none'}"

    def release(self) -> str:
        """Play the story in a process of its own, over HTTPS through nginx."""
        first = self.released["first"]
        assert isinstance(first, dict)
        words = [PYTHON, "-m", "tests.kit.site", ADDRESS, first["username"], first["invitation"]]
        said = self.here.shell(" ".join(words), folder=CLONE, seconds=900, SSL_CERT_FILE="/etc/ringi-ca.pem")
        self.released |= json.loads(said.splitlines()[-1])
        return f"{self.released['people']} people; {self.released['version']} is {self.released['state']}"

    def effect(self) -> str:
        """Ask the released application itself."""
        served = self.here.run("curl", "--silent", "--fail", f"{self.released['address']}/version.txt")
        user = self.here.shell("ps -C nginx -o user:32=,args= | grep 'targets/production' | cut -d ' ' -f 1 | head -1")
        if served != self.released["version"] or not self.released["tree"] or user != "ringi-production":
            raise Failed(f"{served} under {user}; the tree is that of the tag: {self.released['tree']}")
        return f"{served} (before: {self.released['before']}) under {user}, its tree that of the tag"

    def reload(self) -> str:
        """Reload twice under load, each time until the new processes answer, and count the answers."""
        words = [*self.here.words, PYTHON, "-m", "tests.kit.load", ADDRESS]
        environment = {"SSL_CERT_FILE": "/etc/ringi-ca.pem", "PATH": "/usr/bin:/bin", "PYTHONPATH": CLONE}
        before = self.workers()
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        asking = subprocess.Popen(words, env=environment, text=True, **pipes)
        for _time in range(2):
            time.sleep(2)
            self.here.run("systemctl", "reload", "ringi-web")
            time.sleep(2)
            self.here.run(*CURL, "--fail", f"{ADDRESS}/health/")
        said, fault = asking.communicate("end", timeout=120)
        if asking.returncode:
            raise Failed(fault)
        answers: dict[str, int] = json.loads(said)
        slowest = answers.pop("slowest") / 1000
        failed = sum(count for answer, count in answers.items() if answer != "200")
        if failed or not answers or before & self.workers():
            raise Failed(f"{failed} of {sum(answers.values())} requests failed: {answers}; {before} {self.workers()}")
        return f"twice; {answers['200']} requests, {failed} failed, the slowest {slowest:.1f} s; all web processes new"

    def workers(self) -> set[str]:
        """Return the processes of gunicorn below its first."""
        return {*self.here.run("pgrep", "--parent", str(self.before["ringi-web"])).split()}

    def ledger(self) -> str:
        """Export as the page says, and verify where no network is; an altered copy must be found."""
        there = "/var/lib/ringi-web/ledger.jsonl"
        said = self.here.run("ringi-manage", "web", "audit_verify", "--export", there, LANG="en_GB.UTF-8")
        export, key = self.root / there[1:], self.root / "etc/ringi-ledger.pub"
        script = PROJECT / "audit" / "offline" / "ringi_verify.py"
        verify = ["unshare", "--net", "python3", "-I", str(script)]
        found = run(*verify, str(export), "--key", str(key))
        altered = self.folder / "altered.jsonl"
        lines = export.read_text("utf-8").splitlines(keepends=True)
        at = next(place for place in range(len(lines) // 2, len(lines)) if '"event":' in lines[place])
        row = json.loads(lines[at])
        event = base64.b64decode(row["event"])
        row["event"] = base64.b64encode(event.replace(b"person:", b"person:1", 1)).decode()
        lines[at] = json.dumps(row) + "\n"
        altered.write_text("".join(lines), "utf-8")
        broken = subprocess.run([*verify, str(altered), "--key", str(key)], capture_output=True, text=True)
        if (
            altered.read_bytes() == export.read_bytes()
            or "HOLDS" not in found
            or broken.returncode != 1
            or "BROKEN" not in broken.stdout
        ):
            raise Failed(f"{said}; {found}; altered: {broken.stdout}{broken.stderr}")
        return f"{found.split(', root')[0]}; an altered copy: {broken.stdout.split(':')[0]}"

    def still(self) -> str:
        """No unit has died meanwhile, and no state folder holds a file of another account."""
        now = units(self.here)
        if now != self.before:
            raise Failed(f"{self.before} → {now}")
        script = 'for d in /var/lib/ringi-*; do find "$d" ! -user "$(stat -c %U "$d")"; done'
        if strange := self.here.shell(script):
            raise Failed(f"files of other accounts: {strange}")
        faults = self.here.shell("grep -l Traceback /var/log/kit/ringi-*.log || true")
        if faults:
            raise Failed(f"tracebacks in {faults}")
        return f"{len(now)} units as started; every file belongs to the account of its folder"


def installed(table: Table, folder: Path) -> Iterator[Installation]:
    """Install, look, and yield what runs for further rows; everything ends afterwards."""
    made = Installation(table, folder)
    made.fetch()
    with ExitStack() as open_:
        if not table.missing:
            made.at = open_.enter_context(room(made.root))
        made.set_up()
        made.look()
        yield made
