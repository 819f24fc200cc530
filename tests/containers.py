"""Real containers for tests: podman with a storage of its own, a registry on the loopback, images from one program."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from config.development.ports import free_port

NEEDED = ("podman", "runc", "docker-registry", "busybox")


@dataclass(frozen=True)
class Containers:
    """A registry, and the folder of a `podman` that pulls from it; `path` is a PATH that finds it."""

    folder: Path
    registry: str

    @property
    def path(self) -> str:
        """Return the PATH with this podman before the system's."""
        return f"{self.folder / 'bin'}:{os.environ.get('PATH', os.defpath)}"

    def podman(self, *arguments: str, code: int | None = 0) -> str:
        """Run it and return what it prints; code: None allows every exit code."""
        words = [str(self.folder / "bin" / "podman"), *arguments]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
        assert code is None or done.returncode == code, done.stderr
        return done.stdout.strip()

    def image(self, name: str, page: str, *, start: str = "exec /bin/busybox httpd -f -p $PORT -h /www") -> str:
        """Build an image that serves a page, push it, and return the SHA-256 (hex) of its manifest."""
        with tempfile.TemporaryDirectory(dir=self.folder) as built:
            root = Path(built) / "root"
            for folder in ("bin", "www"):
                (root / folder).mkdir(parents=True)
            shutil.copy(shutil.which("busybox") or "", root / "bin" / "busybox")
            (root / "bin" / "sh").symlink_to("busybox")
            (root / "www" / "index.html").write_text(page)
            (root / "www" / "status.json").write_text('{"pages": 1}')
            (root / "start").write_text(f"#!/bin/sh\necho started\n{start}\n")
            (root / "start").chmod(0o755)
            packed, digest = Path(built) / "root.tar", Path(built) / "digest"
            subprocess.run(["tar", "-C", str(root), "-cf", str(packed), "."], check=True)
            tagged = f"{self.registry}/{name}:latest"
            self.podman("import", "--change", 'CMD ["/start"]', str(packed), tagged)
            self.podman("push", "--digestfile", str(digest), tagged)
            self.podman("rmi", "--force", tagged)
            return digest.read_text().removeprefix("sha256:")


def missing() -> str:
    """Return which programs are not installed; empty for none."""
    return ", ".join(name for name in NEEDED if shutil.which(name) is None)


@contextmanager
def containers() -> Iterator[Containers]:
    """Run a registry and make a podman for it. Raises RuntimeError, with the reason, where no container can run."""
    if lacking := missing():
        raise RuntimeError(f"not installed: {lacking}")
    # Sockets below the folder need a short path.
    with tempfile.TemporaryDirectory(prefix="ringi-podman-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        registry = f"127.0.0.1:{free_port()}"
        (folder / "bin").mkdir()
        (folder / "registries.conf").write_text(f'[[registry]]\nlocation = "{registry}"\ninsecure = true\n')
        storage = f"--root {folder}/storage --runroot {folder}/run --storage-driver vfs"
        (folder / "bin" / "podman").write_text(
            "#!/bin/sh\n"
            f"export CONTAINERS_REGISTRIES_CONF={folder}/registries.conf PODMAN_IGNORE_CGROUPSV1_WARNING=1\n"
            f'exec {shutil.which("podman")} {storage} --runtime runc --cgroup-manager cgroupfs "$@"\n'
        )
        (folder / "bin" / "podman").chmod(0o755)
        (folder / "registry.yml").write_text(
            f'version: 0.1\nhttp: {{addr: "{registry}"}}\n'
            f'storage: {{filesystem: {{rootdirectory: "{folder}/registry"}}}}\n'
        )
        made = Containers(folder, registry)
        with (folder / "registry.log").open("wb") as log:
            server = subprocess.Popen(
                ["docker-registry", "serve", str(folder / "registry.yml")], stdout=log, stderr=log
            )
        try:
            _answers(registry)
            digest = made.image("trial", "trial", start="exit 0")
            image = f"{registry}/trial@sha256:{digest}"
            try:
                made.podman("run", "--rm", "--network", "host", image)
            except AssertionError as fault:
                raise RuntimeError(f"no container can run here: {str(fault)[-300:]}") from fault
            yield made
        finally:
            made.podman("rm", "--all", "--force", "--time", "0", code=None)
            server.terminate()
            server.wait()
            subprocess.run(["umount", str(folder / "storage" / "vfs")], capture_output=True, check=False)


def _answers(registry: str) -> None:
    host, port = registry.split(":")
    for _try in range(200):
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("the registry does not answer")


def containers_or_skip() -> Iterator[Containers]:
    """Yield a registry and a podman, for a fixture; skip with the reason why there is none."""
    try:
        with containers() as made:
            yield made
    except RuntimeError as lacking:
        pytest.skip(str(lacking))
