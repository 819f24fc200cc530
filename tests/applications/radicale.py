"""Radicale, a calendar server that keeps its data in files; its code is installed from the package index."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from releases.procedures.load import DEFAULT
from tests.applications.organisation import Application, Target, replaced
from tests.applications.published import package

# The operator's start command, with the configuration file as its environment.
START = (
    'set -a; . "$0"; cd "$1"; exec "$2" -B -m radicale --auth-type none --rights-type authenticated '
    '--server-hosts "127.0.0.1:$PORT" --storage-filesystem-folder "$DATA" --logging-level info'
)
STATUS = '''#!/usr/bin/env python3
"""Prints what the monitoring reads: one request, counted and timed, and the share of the memory that is in use."""
import json, os, pathlib, sys, time, urllib.request
kept = pathlib.Path(os.environ["RINGI_TARGET_ROOT"], "shared", "probe.json")
seen = json.loads(kept.read_text()) if kept.exists() else {"requests": 0, "errors": 0, "seconds": 0.0}
began = time.monotonic()
try:
    bad = urllib.request.urlopen(sys.argv[1], timeout=2).status != 200
except OSError:
    bad = True
seen = {
    "requests": seen["requests"] + 1,
    "errors": seen["errors"] + bad,
    "seconds": seen["seconds"] + time.monotonic() - began,
}
kept.write_text(json.dumps(seen))
lines = (line.split() for line in open("/proc/meminfo"))
memory = {name: int(size) for name, size, *_unit in lines}
used = round(1 - memory["MemAvailable:"] / memory["MemTotal:"], 3)
print(json.dumps({**seen, "down": int(bad), "memory": used}))
'''
CHECKS = (
    ('origin = "written"\n', ""),
    ('default_fields = ["when", "maintenance", "type", "parameters", "required"]\n', ""),
    ('path = "/health"', 'path = "/.web/"'),
    ('path = "/datasets"', 'path = "/.web/"'),
    (
        'type = "metrics"\nparameters.limits = [\n  { metric = "service_down", at_most = "0" },\n'
        '  { metric = "error_rate", at_most = "0.10" },\n]\nparameters.no_data_passes_when_idle = true\n',
        'type = "http"\nparameters.path = "/.web/"\nparameters.status = 200\nparameters.seconds = 3\n',
    ),
)
BROKEN = """
_answer = Application._handle_request


def _broken(self, environ):
    if environ.get("REQUEST_METHOD") == "PROPFIND":
        raise RuntimeError("this version can read no calendar")
    return _answer(self, environ)


Application._handle_request = _broken
"""


class Radicale(Application):
    """Files only: no database, no metrics page, a log whose lines begin with a bracket."""

    slug, title = "radicale", "Calendar server"

    def __init__(self, packages: Mapping[str, Path], python: Path) -> None:
        self.packages, self.python = packages, python

    def process(self) -> str:
        """Return checks of its own; the steps, metrics and triggers are those of the procedure."""
        checks = replaced((DEFAULT / "3-06-checks.toml").read_text("utf-8"), *CHECKS)
        return f"format = 1\n\n{checks}"

    def trees(self) -> dict[str, dict[str, bytes]]:
        """Two published versions, one of them broken on top, and a draft."""
        old, new = (package(self.packages[name], "radicale") for name in ("3.2.3", "3.3.3"))
        application = "radicale/app/__init__.py"
        found = {
            self.before: old,
            self.sound: new,
            self.broken: new | {application: new[application] + BROKEN.encode()},
            self.draft: new | {"NEWS": b"tried out\n"},
        }
        return {
            version: tree | {"status.py": STATUS.encode(), "radicale/web/internal_data/version.txt": version.encode()}
            for version, tree in found.items()
        }

    def settings(self, target: Target) -> dict[str, Any]:
        """Return the settings that the operator types in."""
        return {
            "service": {
                "start": ["/bin/sh", "-c", START, "{config}", "{tree}", str(self.python)],
                "stop_seconds": 10,
                "ready": {"url": f"{target.address}/.web/", "seconds": 20},
            },
            # The start command's own shell starts it, so Ringi does not know where it is installed.
            "programs": {"read": [str(self.python.parent.parent)]},
            "urls": {"base": target.address},
            "log": "shared/app.log",
            "metric_sources": [
                {
                    "source": "command",
                    "parameters": {
                        "argv": ["{tree}/status.py", f"{target.address}/.web/"],
                        "values": {
                            "requests": "requests",
                            "errors": "errors",
                            "duration_sum": "seconds",
                            "duration_count": "requests",
                            "resource_use": "memory",
                            "service_down": "down",
                        },
                    },
                }
            ],
        }

    def values(self, target: Target) -> dict[str, str]:
        """Return port and data folder."""
        return {"PORT": str(target.port), "DATA": str(target.root / "data")}

    def version_served(self, target: Target) -> str:
        """Return the content of the running program's web folder."""
        status, text = target.answer("/.web/version.txt")
        return text.strip() if status == 200 else ""

    def start_by_hand(self, target: Target) -> subprocess.Popen[bytes]:
        """Start the deployed version with the configuration file of the target."""
        config, tree = target.root / "shared" / "config.env", target.root / "current"
        with (target.root / "shared" / "app.log").open("ab") as log:
            return subprocess.Popen(
                ["/bin/sh", "-c", START, str(config), str(tree.resolve()), str(self.python)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
