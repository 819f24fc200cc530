"""Stands in for systemctl where systemd is not PID 1: starts, reloads and ends a service as its unit says.

Of a unit it plays: the account with its groups, both kinds of variables, the folders, umask and limit of open files,
ExecStartPre, ExecStart and ExecReload; and of the confinement NoNewPrivileges, the capabilities, ProtectSystem=strict
with ReadWritePaths=, ProtectHome, InaccessiblePaths, PrivateTmp and ProtectProc. It does not play the filter of system
calls and the other limits, and it starts nothing again. Standard library only.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from unit_file import Unit, installed, one, words

RUN, LOGS = Path("/run/kit"), Path("/var/log/kit")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
EARLY = 1.0  # seconds within which a service that dies has not started


def started_at(pid: int) -> str:
    """Return when a process began, in ticks; "" when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def main_pid(name: str) -> int:
    """Return the process of a service; 0 when it does not run."""
    try:
        kept = json.loads((RUN / f"{name}.json").read_text())
    except FileNotFoundError:
        return 0
    return int(kept["pid"]) if kept["started"] == started_at(kept["pid"]) else 0


def variables(unit: Unit, account: pwd.struct_passwd) -> dict[str, str]:
    """Return what the process finds in its environment: a file's variables win, as in systemd."""
    found = {"PATH": PATH, "USER": account.pw_name, "LOGNAME": account.pw_name, "HOME": account.pw_dir}
    found["SHELL"] = account.pw_shell
    for value in unit.get("Environment", []):
        found.update(word.split("=", 1) for word in shlex.split(value))
    for path in unit.get("EnvironmentFile", []):
        file = Path(path.removeprefix("-"))
        if path.startswith("-") and not file.exists():
            continue
        for line in file.read_text().splitlines():
            name, equals, value = line.strip().partition("=")
            if equals and not line.startswith(("#", ";")):
                found[name] = value[1:-1] if value[:1] in ("'", '"') and value[-1:] == value[:1] else value
    return found


def groups(unit: Unit, account: pwd.struct_passwd) -> str:
    """Return the numbers of the groups of the process."""
    more = [grp.getgrnam(name).gr_gid for name in words(unit, "SupplementaryGroups")]
    return ",".join(map(str, dict.fromkeys([*os.getgrouplist(account.pw_name, account.pw_gid), *more])))


def confined(unit: Unit, account: pwd.struct_passwd) -> list[str]:
    """Return the words before a command: a view of the file system of its own, the account, no capability."""
    lines = ["set -e"]
    strict = one(unit, "ProtectSystem") == "strict"
    open_ = [f"/var/lib/{name}" for name in words(unit, "StateDirectory")] + words(unit, "ReadWritePaths")
    for path in (path.removeprefix("-") for path in open_ if strict):
        lines.append(f"! [ -e {path} ] || mount --bind {path} {path}")
    closed = [path.removeprefix("-") for path in words(unit, "InaccessiblePaths")]
    closed += ["/home", "/root", "/run/user"] if one(unit, "ProtectHome") == "yes" else []
    lines += [f"! [ -d {path} ] || mount -t tmpfs -o ro,mode=000 tmpfs {path}" for path in closed]
    if one(unit, "PrivateTmp") == "yes":
        lines += [f"mount -t tmpfs -o mode=1777 tmpfs {path}" for path in ("/tmp", "/var/tmp")]
    if one(unit, "ProtectProc") == "invisible":
        lines.append("mount -t proc -o hidepid=invisible proc /proc")
    if strict:
        lines.append("mount -o remount,bind,ro /")
    if limit := one(unit, "LimitNOFILE"):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # a room cannot raise that of its machine
        lines.append(f"ulimit -n {min(int(limit), hard)}")
    lines.append(f"umask {one(unit, 'UMask', '0022')}")
    lines.append(f"cd {one(unit, 'WorkingDirectory') or '/'}")
    become = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", f"--groups={groups(unit, account)}"]
    if one(unit, "NoNewPrivileges") == "yes":
        become.append("--no-new-privs")
    if "CapabilityBoundingSet" in unit:
        kept = "".join(f",+{name.removeprefix('CAP_').lower()}" for name in words(unit, "CapabilityBoundingSet"))
        ambient = "".join(f",+{name.removeprefix('CAP_').lower()}" for name in words(unit, "AmbientCapabilities"))
        become += [f"--bounding-set=-all{kept}", f"--inh-caps=-all{ambient}", f"--ambient-caps=-all{ambient}"]
    lines.append('exec "$@"')
    return ["unshare", "--mount", "--propagation=private", "sh", "-c", "\n".join(lines), "sh", *become]


def commands(unit: Unit, key: str) -> list[tuple[bool, list[str]]]:
    """Return (whether it may fail, its words) of each command."""
    lines = [line for line in unit.get(key, []) if line]
    return [(line.startswith("-"), shlex.split(line.lstrip("-@:+!|"))) for line in lines]


def make_folders(unit: Unit, account: pwd.struct_passwd) -> None:
    """Make the state and runtime folders of a service, as systemd does."""
    for key, top in (("StateDirectory", "/var/lib"), ("RuntimeDirectory", "/run")):
        for name in words(unit, key):
            folder = Path(top, name)
            folder.mkdir(parents=True, exist_ok=True)
            shutil.chown(folder, account.pw_uid, account.pw_gid)
            folder.chmod(int(one(unit, f"{key}Mode", "0755"), 8))


def start(name: str) -> None:
    """Start a service unless it runs. Raises SystemExit with the end of its log."""
    if main_pid(name):
        return
    unit = installed(name)
    account = pwd.getpwnam(one(unit, "User", "root"))
    make_folders(unit, account)
    before, environment = confined(unit, account), variables(unit, account)
    forking = one(unit, "Type") == "forking"
    with (LOGS / f"{name}.log").open("ab") as log:
        options = {"env": environment, "stdin": subprocess.DEVNULL, "stdout": log, "stderr": subprocess.STDOUT}
        for may_fail, command in commands(unit, "ExecStartPre"):
            if subprocess.run([*before, *command], **options).returncode and not may_fail:
                fail(name, "ExecStartPre has failed")
        ((_may_fail, command),) = commands(unit, "ExecStart")
        child = subprocess.Popen([*before, *command], start_new_session=True, **options)
    pid = child.pid
    if forking:
        if child.wait():
            fail(name, "ExecStart has failed")
        pid = int(Path(one(unit, "PIDFile")).read_text())
    time.sleep(EARLY)
    if not forking and child.poll() is not None:
        fail(name, f"ended with {child.returncode}")
    (RUN / f"{name}.json").write_text(json.dumps({"pid": pid, "started": started_at(pid)}))


def stop(name: str) -> None:
    """End a service: SIGTERM, and SIGKILL after its time."""
    if not (pid := main_pid(name)):
        return
    os.kill(pid, signal.SIGTERM)
    last = time.monotonic() + float(one(installed(name), "TimeoutStopSec", "90"))
    while main_pid(name):
        if time.monotonic() > last:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def reload(name: str) -> None:
    """Run ExecReload of a service that runs. Raises SystemExit."""
    if not (pid := main_pid(name)):
        fail(name, "does not run")
    for _may_fail, command in commands(installed(name), "ExecReload"):
        subprocess.run([word.replace("$MAINPID", str(pid)) for word in command], check=True)


def fail(name: str, why: str) -> None:
    """End with the reason and the last lines of the log."""
    log = LOGS / f"{name}.log"
    said = log.read_text(errors="replace").splitlines()[-15:] if log.exists() else []
    raise SystemExit("\n".join([f"{name}: {why}", *said]))


def main(verb: str, *arguments: str) -> None:
    """Do what is asked of systemctl."""
    for folder in (RUN, LOGS):
        folder.mkdir(parents=True, exist_ok=True)
    names = [name.removesuffix(".service") for name in arguments if not name.startswith("--")]
    if verb == "daemon-reload" or (verb == "enable" and "--now" not in arguments):
        return
    for name in names:
        if verb in ("enable", "start"):
            start(name)
        elif verb == "restart":
            stop(name)
            start(name)
        elif verb == "stop":
            stop(name)
        elif verb == "reload":
            reload(name)
        elif verb == "main-pid":  # of the kit alone
            print(main_pid(name))
        else:
            raise SystemExit(f"systemctl {verb}: not played")


if __name__ == "__main__":
    main(*sys.argv[1:])
