"""How long requests take, counted over all processes of one gunicorn: prometheus_client shares them by files in a
folder (its multiprocess mode), which must be named before it is imported.
"""

import contextlib
import os
import shutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from django.http import HttpRequest

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Histogram

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
BUCKETS = (0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10)


def share(state: Path) -> None:
    """Name the folder for this process and those beside it, and remove the folders of processes that have ended.

    state: the state folder of the web process. A folder that the environment names already is kept.
    """
    if FOLDER in os.environ:
        return
    folders = state / "metrics"
    own = folders / str(os.getppid())
    with contextlib.suppress(OSError):  # without it, a process counts for itself
        own.mkdir(mode=0o700, parents=True, exist_ok=True)
        for other in folders.iterdir():
            if other != own and not Path("/proc", other.name).exists():
                shutil.rmtree(other, ignore_errors=True)
        os.environ[FOLDER] = str(own)


@cache
def _seconds() -> "Histogram":
    from prometheus_client import Histogram

    words = "How long requests took. kind: page, operation, api or other; status: its first digit."
    return Histogram("ringi_request_seconds", words, ["kind", "status"], buckets=BUCKETS)


def count(request: HttpRequest, status: int, seconds: float) -> None:
    """Count one request that was served."""
    _seconds().labels(_kind(request), f"{status // 100}xx").observe(seconds)


def _kind(request: HttpRequest) -> str:
    if request.path.startswith("/api/"):
        return "api"
    if request.path.startswith("/admin/"):
        return "operation" if request.method == "POST" else "page"
    return "other"


def collect(registry: "CollectorRegistry") -> None:
    """Add to a registry what all processes have counted, or this one alone where they share no folder."""
    from prometheus_client.multiprocess import MultiProcessCollector

    if os.environ.get(FOLDER):
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # what prometheus_client leaves out
    else:
        registry.register(_seconds())
