"""A static site behind a real nginx that the operators run: no database, its own daemon."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

from releases import procedures
from tests.applications.organisation import SHORT_MONITORING, Application, Target, replaced

# Its page imports models, which a process without a database cannot.
PROCESS = Path(procedures.__file__).with_name("processes") / "static-files.toml"
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
CONFIGURATION = """{user}worker_processes 1;
pid {root}/shared/nginx.pid;
error_log {root}/shared/app.log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  types {{ text/html html; text/plain txt; }}
  client_body_temp_path {root}/shared/tmp; proxy_temp_path {root}/shared/tmp; fastcgi_temp_path {root}/shared/tmp;
  uwsgi_temp_path {root}/shared/tmp; scgi_temp_path {root}/shared/tmp;
  server {{
    listen 127.0.0.1:{port};
    root {root}/current/site;
    index index.html;
  }}
}}
"""
# As root, nginx would serve under another account, which may not enter the folder of a test.
USER = "user root;\n" if os.geteuid() == 0 else ""
# Reload a running nginx, or start one; either continues in the background.
START = '"$0" -c "$1" -s reload 2>/dev/null || exec "$0" -c "$1"'


class StaticSite(Application):
    """Files that nginx serves; the service reports the version that it serves itself."""

    slug, title = "handbook", "Handbook"
    manual_checks = ()

    def process(self) -> str:
        """Return the template for files behind a web server."""
        return replaced(PROCESS.read_text("utf-8"), *SHORT_MONITORING)

    def trees(self) -> dict[str, dict[str, bytes]]:
        """Return the versions; the broken one lacks a page that no check requests."""
        found: dict[str, dict[str, bytes]] = {}
        for version in (self.before, self.sound, self.broken, self.draft):
            page = f"<!doctype html><title>Handbook</title><h1>{version}</h1>".encode()
            found[version] = {
                "site/index.html": page,
                "site/about.html": page,
                "site/version.txt": f"{version}\n".encode(),
                "site/status.json": b'{"pages": 2}',
            }
        del found[self.broken]["site/about.html"]
        return found

    def settings(self, target: Target) -> dict[str, Any]:
        """Return the settings that the operator types in; the version that nginx serves proves each start."""
        nginx = str(target.root / "shared" / "nginx.conf")
        return {
            "service": {
                "start": ["/bin/sh", "-c", START, NGINX, nginx],
                "stop": [NGINX, "-c", nginx, "-s", "quit"],
                "ready": {"url": f"{target.address}/version.txt", "seconds": 20},
                "version": {"url": f"{target.address}/version.txt"},
            },
            "urls": {"base": target.address},
            "log": "shared/app.log",
            "metric_sources": [
                {
                    "source": "json_http",
                    "parameters": {"url": f"{target.address}/status.json", "own": True, "values": {"pages": "pages"}},
                }
            ],
        }

    def values(self, target: Target) -> dict[str, str]:
        """Return the port; this application reads it from no file."""
        return {"PORT": str(target.port)}

    def end(self, target: Target) -> None:
        """End the nginx that the start command put into the background, by its pid file."""
        pid = target.root / "shared" / "nginx.pid"
        if pid.exists():
            os.kill(int(pid.read_text()), signal.SIGTERM)

    def version_served(self, target: Target) -> str:
        """Return what nginx serves as the version."""
        status, text = target.answer("/version.txt")
        return text.strip() if status == 200 else ""

    def write_configuration(self, target: Target) -> Path:
        """Write the configuration of nginx, as the operators did; return the file."""
        shared = target.root / "shared"
        (shared / "tmp").mkdir(exist_ok=True)
        nginx = shared / "nginx.conf"
        nginx.write_text(CONFIGURATION.format(root=target.root, port=target.port, user=USER))
        return nginx

    def start_by_hand(self, target: Target) -> subprocess.Popen[bytes]:
        """Start nginx in the foreground, as the operators' own supervisor does."""
        nginx = self.write_configuration(target)
        return subprocess.Popen(
            [NGINX, "-c", str(nginx), "-g", "daemon off;"], stdin=subprocess.DEVNULL, start_new_session=True
        )
