"""Services from the package index: their trees, and how operators serve, migrate and close them for maintenance."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

from releases.admin.pages.deployment_process.page import TEMPLATES
from tests.applications.organisation import SHORT_MONITORING, Application, Target, replaced

# The operators' commands, with the configuration file as their environment.
PROGRAM = 'set -a; . "$0"; cd "$1"; exec "$2" -B "$3"'
SERVE = '''"""Serves the application, or 503 while the flag for maintenance is there; says which version was started."""
import json, os, pathlib
from importlib.metadata import version
import waitress
{application}
status = json.dumps({{"version": version("{distribution}"), "up": 1}}).encode()
flag = pathlib.Path(os.environ["MAINTENANCE"])


def answer(environ, start):
    if environ["PATH_INFO"] == "/version":
        start("200 OK", [("Content-Type", "application/json")])
        return [status]
    if flag.exists():
        start("503 Service Unavailable", [("Content-Type", "text/plain"), ("Retry-After", "60")])
        return [b"maintenance"]
    return application(environ, start)


waitress.serve(answer, listen="127.0.0.1:" + os.environ["PORT"])
'''


def package(folder: Path, *names: str) -> dict[str, bytes]:
    """Return path → content of packages in a folder of installed ones, without their tests."""
    found = {path.relative_to(folder): path for name in names for path in sorted((folder / name).rglob("*"))}
    return {
        relative.as_posix(): path.read_bytes()
        for relative, path in found.items()
        if path.is_file() and not {"__pycache__", "tests"} & set(relative.parts)
    }


def metadata(folder: Path, name: str, version: str = "") -> dict[str, bytes]:
    """Return path → content of what a package says of itself. version: what it says instead of its own."""
    (path,) = folder.glob(f"{name}-*.dist-info/METADATA")
    said = path.read_text("utf-8")
    if version:
        said = re.sub(r"(?m)^Version: .+$", f"Version: {version}", said, count=1)
    return {path.relative_to(folder).as_posix(): said.encode()}


class Published(Application):
    """A WSGI service: its version is that of its package, its database has a migration."""

    manual_checks = ()
    # What `serve.py` begins with, and the name under which the package is published.
    application, distribution, migration = "", "", ""

    def __init__(self, installed: Path) -> None:
        self.earlier = installed / "earlier"
        self.newest = next((installed / "lib").glob("python*")) / "site-packages"
        self.python = installed / "bin" / "python"

    def process(self) -> str:
        """Return the template for a service, with the steps of the procedure: those for one with a database."""
        text = (TEMPLATES / "service.toml").read_text("utf-8")
        return replaced(re.sub(r"\[\[plans\..+?(?=\[\[checks)", "", text, flags=re.S), *SHORT_MONITORING)

    def programs(self) -> dict[str, bytes]:
        """Return the operators' own programs, which lie in the repository beside the package."""
        serve = SERVE.format(application=self.application, distribution=self.distribution)
        return {"serve.py": serve.encode(), "migrate.py": self.migration.encode()}

    def settings(self, target: Target) -> dict[str, Any]:
        """Return the settings that the operator types in."""
        return {
            "service": {
                "start": self._command("{config}", "{tree}", "serve.py"),
                "stop_seconds": 10,
                "ready": {"url": f"{target.address}/version", "seconds": 60},
                "version": {"url": f"{target.address}/version", "json_path": "version"},
            },
            "migrate": self._command("{config}", "{tree}", "migrate.py"),
            "programs": {"read": [str(self.python.parent.parent)]},
            "urls": {"base": target.address},
            "log": "shared/app.log",
            "metric_sources": [
                {
                    "source": "json_http",
                    "parameters": {"url": f"{target.address}/version", "own": True, "values": {"up": "up"}},
                }
            ],
        }

    def values(self, target: Target) -> dict[str, str]:
        """Return port and flag."""
        return {"PORT": str(target.port), "MAINTENANCE": str(target.root / "shared" / "maintenance")}

    def version_served(self, target: Target) -> str:
        """Return the version of the running package."""
        found = re.search(r'"version": "(.+?)"', target.answer("/version")[1])
        return found[1] if found else ""

    def start_by_hand(self, target: Target) -> subprocess.Popen[bytes]:
        """Migrate and start the deployed version with the configuration file of the target."""
        config, tree = str(target.root / "shared" / "config.env"), str((target.root / "current").resolve())
        with (target.root / "shared" / "app.log").open("ab") as log:
            places = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": subprocess.STDOUT}
            subprocess.run(self._command(config, tree, "migrate.py"), check=True, **places)
            return subprocess.Popen(self._command(config, tree, "serve.py"), start_new_session=True, **places)

    def _command(self, config: str, tree: str, program: str) -> list[str]:
        return ["/bin/sh", "-c", PROGRAM, config, tree, str(self.python), program]
