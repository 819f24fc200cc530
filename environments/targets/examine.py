"""Inspects a target without changing it: folder, ready address, log, and the layout of a version under Ringi.

The code runs on the target's host. It is called before options are kept and before a running version is registered.
"""

import os
import pwd
import socket
import urllib.error
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from environments.targets.base import StepFailed, TargetSpec
from environments.targets.configuration_file import path_of
from environments.targets.sandbox import described
from environments.targets.service_proof import opened, running_service
from environments.targets.service_settings import service_of
from environments.targets.ssh import call, place
from environments.targets.target import Layout
from environments.targets.words import gettext as _

SECONDS = 5.0
ELSEWHERE_SECONDS = 30.0
MOST_BYTES = 65536


@dataclass(frozen=True)
class Found:
    """One inspected item. key: folder, programs, ready or log; result: passed, failed or unknown.

    says: what was found, and what to do about it.
    """

    key: str
    result: str
    says: str


def examine(target: TargetSpec) -> list[Found]:
    """Inspect folder, ready address and log of a target; each within SECONDS.

    Raises StepFailed for a host that cannot be reached.
    """
    if place.lies_elsewhere(target):
        return [Found(**one) for one in call.ask(target, "examine", seconds=ELSEWHERE_SECONDS)]
    return [_folder(target.root), Found("programs", *described(target)), _ready(target), _log(target)]


def layout_of(target: TargetSpec) -> dict[str, Any]:
    """Return the layout of a target, as JSON. Raises StepFailed for a host that cannot be reached.

    empty: nothing but Ringi's own folder. current: "", "link" or "other"; leads_to: where it leads. configuration: the
    text of the configuration file, None for no file. started: whether Ringi started the service; runs: whether it is
    seen to run (true, false or null).
    """
    if place.lies_elsewhere(target):
        found: dict[str, Any] = call.ask(target, "layout", seconds=ELSEWHERE_SECONDS)
        return found
    layout = Layout(target.root)
    entries = [entry.name for entry in target.root.iterdir()] if target.root.is_dir() else []
    link = layout.current.is_symlink()
    path = path_of(target)
    kept = path.read_bytes()[:MOST_BYTES].decode(errors="replace") if path is not None and path.is_file() else None
    return {
        "folder": target.root.is_dir(),
        "empty": not set(entries) - {layout.own.name},
        "releases": layout.releases.is_dir(),
        "current": "link" if link else "other" if layout.current.exists() else "",
        "leads_to": os.readlink(layout.current) if link else "",
        "configuration": kept,
        "started": running_service(target.root) is not None,
        "runs": _runs(target),
    }


def maintenance_is_on(target: TargetSpec) -> bool:
    """Tell whether maintenance mode is on, on the target's host; raises StepFailed when it cannot be reached."""
    if place.lies_elsewhere(target):
        return bool(call.ask(target, "maintenance", seconds=60.0))
    return Layout(target.root).maintenance.exists()


def answers_of(found: list[Found]) -> list[dict[str, str]]:
    """Return the results as JSON."""
    return [asdict(one) for one in found]


def _folder(root: Path) -> Found:
    named = {"path": root, "user": pwd.getpwuid(os.geteuid()).pw_name}
    try:
        if not root.exists():
            text = _(
                "%(path)s does not exist. Create the folder and make %(user)s, the account that works there, the owner."
            )
            return Found("folder", "failed", text % named)
        if not root.is_dir():
            return Found("folder", "failed", _("%(path)s is not a folder.") % named)
        owner = root.owner()
        if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
            text = _("%(path)s belongs to %(owner)s, and %(user)s may not write there. Make %(user)s the owner.")
            return Found("folder", "failed", text % {**named, "owner": owner})
        text = _("the folder exists; %(user)s may write there (owner: %(owner)s)")
        return Found("folder", "passed", text % {**named, "owner": owner})
    except (OSError, KeyError) as fault:
        return Found("folder", "unknown", _("The folder cannot be checked: %(why)s") % {"why": fault})


def _ready(target: TargetSpec) -> Found:
    try:
        ready = service_of(target.settings).ready
    except StepFailed as fault:
        return Found("ready", "failed", str(fault))
    if ready is None:
        text = _("No ready address is set, so Ringi cannot tell whether the service answers.")
        return Found("ready", "unknown", text)
    status = _status(ready.url)
    named = {"url": ready.url, "status": status}
    if status is None:
        text = _("%(url)s does not answer now. This is expected where nothing runs yet.")
        return Found("ready", "unknown", text % named)
    if 200 <= status < 300:
        return Found("ready", "passed", _("%(url)s answers now, with status %(status)d") % named)
    text = _("%(url)s answers now with status %(status)d; a status from 200 to 299 is needed.")
    return Found("ready", "failed", text % named)


def _status(address: str) -> int | None:
    """Return the status with which an address answers now; None for no answer."""
    try:
        with opened(address, SECONDS) as response:
            return int(response.status)
    except urllib.error.HTTPError as fault:
        return fault.code
    except (OSError, ValueError):
        return None


def _runs(target: TargetSpec) -> bool | None:
    """Tell whether the service is seen to run: its process lives, its address answers or its port is open.

    None where no option says how to see it.
    """
    if running_service(target.root) is not None:
        return True
    service = service_of(target.settings)
    if service.ready is None and service.listens_on is None:
        return None
    if service.ready is not None and _status(service.ready.url) is not None:
        return True
    if service.listens_on is None:
        return False
    try:
        socket.create_connection(("127.0.0.1", service.listens_on), timeout=SECONDS).close()
    except OSError:
        return False
    return True


def _log(target: TargetSpec) -> Found:
    path = Layout(target.root).log(target.settings)
    named = {"path": path}
    try:
        if not path.resolve().is_relative_to(target.root.resolve()):
            return Found("log", "failed", _("%(path)s lies outside the folder; name a path below it.") % named)
        if not path.exists():
            text = _(
                "%(path)s does not exist yet. The service must write its log there; otherwise the log checks "
                "have no data."
            )
            return Found("log", "unknown", text % named)
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
    except OSError as fault:
        return Found("log", "failed", _("The log cannot be read: %(why)s") % {"why": fault.strerror or fault})
    return Found("log", "passed", _("the log can be read (%(size)d bytes)") % {"size": size})
