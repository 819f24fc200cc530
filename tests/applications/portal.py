"""A web server in a container (busybox's httpd), by digest, on three targets of production."""

from __future__ import annotations

import subprocess
from typing import Any

from releases.admin.pages.deployment_process.page import TEMPLATES
from tests.applications.organisation import SHORT_MONITORING, Application, Organisation, Target, replaced
from tests.containers import Containers

ONE_BY_ONE = '\n[strategy]\nbatches = ["1"]\n'


class Portal(Application):
    """Its image is built once for each version, pushed to a registry and registered by CI."""

    slug, title = "portal", "Portal"
    manual_checks = ()

    def __init__(self, containers: Containers) -> None:
        self.containers = containers
        self.digests: dict[str, str] = {}
        # The broken version does not start on the target that listens here.
        self.refused_port = 0

    def process(self) -> str:
        """Return the template for containers, one target after the other."""
        return replaced((TEMPLATES / "containers.toml").read_text("utf-8"), *SHORT_MONITORING) + ONE_BY_ONE

    def trees(self) -> dict[str, dict[str, bytes]]:
        """Return the sources of the images."""
        versions = (self.before, self.sound, self.broken, self.draft)
        return {version: {"Containerfile": f"FROM scratch\nLABEL version={version}\n".encode()} for version in versions}

    def copies(self, environment: str) -> tuple[str, ...]:
        """Return the targets: three in production."""
        return ("main", "b", "c") if environment == "production" else ("main",)

    def built(self, organisation: Organisation, version: str) -> None:
        """Build and push the image of a version once, and register it as CI does."""
        if version in self.digests:
            return
        start = "exec /bin/busybox httpd -f -p $PORT -h /www"
        if version == self.broken:
            start = f"[ $PORT = {self.refused_port} ] && echo no such setting: LIMIT && exit 7\n{start}"
        digest = self.digests[version] = self.containers.image(self.slug, version, start=start)
        organisation.service.demand(
            "POST",
            "/artefacts",
            json={
                "application": self.slug,
                "commit": organisation.commit(version),
                "kind": "image",
                "reference": f"{self.containers.registry}/{self.slug}",
                "digest": f"sha256:{digest}",
            },
        )

    def settings(self, target: Target) -> dict[str, Any]:
        """Return the settings; each target listens on a port of its own."""
        return {
            "container": {
                "name": f"{self.slug}-{target.port}",
                "options": ["--network", "host", "--env", f"PORT={target.port}", "--env-file", "{config}"],
            },
            "service": {"ready": {"url": f"{target.address}/", "seconds": 20}, "stop_seconds": 1},
            "urls": {"base": target.address},
            "metric_sources": [
                {
                    "source": "json_http",
                    "parameters": {"url": f"{target.address}/status.json", "own": True, "values": {"pages": "pages"}},
                }
            ],
        }

    def values(self, target: Target) -> dict[str, str]:
        """Return a setting that all targets share."""
        return {"GREETING": "hello"}

    def version_served(self, target: Target) -> str:
        """Return what the container serves."""
        status, text = target.answer("/")
        return text.strip() if status == 200 else ""

    def started_at(self, target: Target) -> str:
        """Return when the container of a target was started, as its engine says."""
        name = f"{self.slug}-{target.port}"
        return self.containers.podman("container", "inspect", "--format", "{{.State.StartedAt}}", name)

    def start_by_hand(self, target: Target) -> subprocess.Popen[bytes]:
        """Nothing runs before Ringi's first deployment."""
        raise NotImplementedError
