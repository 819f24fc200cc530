"""pypiserver, a package index, deployed by a pipeline of its own that waits for Ringi and reports."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

from releases.admin.pages.deployment_process.page import TEMPLATES
from releases.demo.site import until
from tests.applications.organisation import SHORT_MONITORING, Application, Organisation, Target, replaced
from tests.applications.published import package

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "deploy-by-a-pipeline.md"
SECTION = PAGE.read_text("utf-8").partition("## Let the pipeline wait for Ringi")[2].partition("\n##")[0]
(STEP,) = re.findall(r"```toml\n(.+?)```", SECTION, re.S)
(LINES,) = re.findall(r"```sh\n(.+?)```", SECTION, re.S)
# What the page leaves to the pipeline: it installs a version from the repository and restarts the server.
DEPLOY = """#!/bin/sh
set -eu
mkdir lock 2>/dev/null || { echo "another job deploys here"; exit 1; }
trap 'rmdir lock' EXIT
rm -rf new && mkdir new
git -C "$REPOSITORY" archive "v$1" | tar -x -C new
if [ -f pid ]; then kill "$(cat pid)"; while kill -0 "$(cat pid)" 2>/dev/null; do sleep 0.1; done; fi
rm -rf app && mv new app
run="run --interface 127.0.0.1 --port $PORT --disable-fallback ../packages"
(cd app && exec setsid "$PYTHON" -B -m pypiserver $run </dev/null >>../log 2>&1) &
echo $! >pid
curl --silent --retry 40 --retry-delay 1 --retry-connrefused "http://127.0.0.1:$PORT/" | grep "version $1 of"
"""
BROKEN = """

def _broken(self, project):
    raise RuntimeError("this version finds no package")


Backend.find_project_packages = _broken
"""


class PyPIServer(Application):
    """Two published versions, and one on top that lists no package; nothing of it lies in the folder of a target."""

    slug, title = "pypiserver", "Package index"
    manual_checks = ()
    before, sound, broken = "2.4.1", "2.4.2", "2.4.3"

    def __init__(self, installed: Path) -> None:
        self.earlier = installed / "earlier"
        self.newest = next((installed / "lib").glob("python*")) / "site-packages"
        self.python = installed / "bin" / "python"

    def process(self) -> str:
        """Return the template for a pipeline, with the step of the page in place of its own."""
        text = (TEMPLATES / "pipeline.toml").read_text("utf-8")
        plans = STEP + STEP.replace("plans.deployment", "plans.rollback").replace('"portal"', '"portal_rollback"')
        others = re.sub(r"\[\[plans\..+?(?=\[\[checks)", lambda _plans: "", text, count=1, flags=re.S)
        return replaced(others, *SHORT_MONITORING, ('"/no-such-page"', '"/no/such/page"')) + "\n" + plans

    def trees(self) -> dict[str, dict[str, bytes]]:
        """Two published versions and a broken one on top."""
        new = package(self.newest, "pypiserver")
        fault = {
            "pypiserver/backend.py": new["pypiserver/backend.py"] + BROKEN.encode(),
            "pypiserver/__init__.py": replaced(
                new["pypiserver/__init__.py"].decode(), (f'"{self.sound}"', f'"{self.broken}"')
            ).encode(),
        }
        return {self.before: package(self.earlier, "pypiserver"), self.sound: new, self.broken: new | fault}

    def settings(self, target: Target) -> dict[str, Any]:
        """Return the settings: Ringi only asks the pages."""
        health = {"url": f"{target.address}/health", "own": True, "text": "Ok"}
        return {"urls": {"base": target.address}, "metric_sources": [{"source": "json_http", "parameters": health}]}

    def values(self, target: Target) -> dict[str, str]:
        """Return the port; the pipeline knows it itself."""
        return {"PORT": str(target.port)}

    def lay(self, target: Target) -> None:
        """Make the folder of the pipeline for an environment."""
        folder = self.folder(target)
        (folder / "packages").mkdir(parents=True)
        (folder / "packages" / "demo-1.0.tar.gz").write_bytes(b"a package")
        (folder / "deploy.sh").write_text(DEPLOY)
        (folder / "deploy.sh").chmod(0o755)

    def folder(self, target: Target) -> Path:
        """Return where the pipeline installs: beside the folders of targets."""
        return target.root.parents[2] / "pipeline" / target.environment

    def job(self, at: Organisation, target: Target, version: str = "", deployment: int = 0) -> int:
        """Run the lines of the page as a job, those from 2 on for a deployment under way; return the exit status."""
        lines = replaced(LINES, ('\\"portal\\"', f'\\"{self.slug}\\"'), ("sleep 5", "sleep 1"))
        head, start, rest = re.split(r"(?m)^(?=# [12]\.)", lines)
        given = {
            "RINGI_URL": at.base_url,
            "RINGI_TOKEN": at.service.token,
            "CI_JOB_URL": f"https://ci.example/jobs/{deployment or version}",
            "ENVIRONMENT": target.environment,
            "VERSION": version,
            "id": str(deployment),
            "REPOSITORY": str(at.repository.path),
            "PYTHON": str(self.python),
            "PORT": str(target.port),
        }
        with (self.folder(target) / "job.log").open("ab") as log:
            return subprocess.run(
                ["sh", "-c", head + ("" if deployment else start) + rest],
                cwd=self.folder(target),
                env={"PATH": os.environ["PATH"]} | given,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=180,
            ).returncode

    def job_for_rollback(self, at: Organisation, target: Target, deployment: int) -> int:
        """Run a job as soon as the rollback of a deployment begins, as a webhook does; return its exit status."""
        until("rollback", lambda: at.service.deployment_status(deployment)["state"] == "rolling_back", 120, 1)
        return self.job(at, target, deployment=deployment)

    def deploy_lower(self, organisation: Organisation, version: str, environment: str) -> None:
        """Let the pipeline deploy to an environment before production."""
        target = organisation.copies[environment][0]
        assert self.job(organisation, target, version) == 0, (self.folder(target) / "job.log").read_text()

    def version_served(self, target: Target) -> str:
        """Return the version that the start page states."""
        found = re.search(r"running version (\S+) of", target.answer("/")[1])
        return found[1] if found else ""

    def start_by_hand(self, target: Target) -> subprocess.Popen[bytes]:
        """Nothing runs before the first job."""
        raise NotImplementedError

    def end(self, target: Target) -> None:
        """End the server that the last job has started."""
        pid = self.folder(target) / "pid"
        if pid.exists():
            os.kill(int(pid.read_text()), signal.SIGTERM)
