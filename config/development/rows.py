"""The processes that trials keep running, each with the role and the keys of its own."""

import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

WEB_ONLY_VARIABLES = ("RINGI_METRICS_TOKEN", "RINGI_TAG_SIGNING_KEY")


@dataclass(frozen=True)
class Row:
    """One process to keep running. Rows of a lower `stage` are ended first, those of one stage together.

    files: file descriptors of the supervisor that the process gets under the same numbers.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    stage: int = 0
    files: tuple[int, ...] = ()


def live(listener: int) -> tuple[str, ...]:
    """Return the command of the process that tells open pages of changes, on a socket."""
    server = (sys.executable, "-m", "uvicorn", "config.asgi:application", "--fd", str(listener))
    return (*server, "--no-access-log", "--log-level", "warning", "--timeout-graceful-shutdown", "1")


def rows(
    listener: int, live_listener: int, queues: Sequence[str], environment: Mapping[str, str] = os.environ
) -> list[Row]:
    """Return what must run, each as its role. The sockets are those of the web server and of the stream of changes;
    queues: those that have a worker.
    """
    manage = (sys.executable, "manage.py")

    def own(role: str) -> dict[str, str]:
        url = environment.get(f"DATABASE_{role}_URL") or environment.get("DATABASE_URL", "")
        return {**dict.fromkeys(WEB_ONLY_VARIABLES, ""), "SECRET_KEY": secrets.token_urlsafe(40), "DATABASE_URL": url}

    worker, scheduler, ledger_signer = own("WORKER"), own("SCHEDULER"), own("LEDGER_SIGNER")
    web = [sys.executable, "-m", "gunicorn", "config.wsgi", "--bind", f"fd://{listener}", "--workers", "1"]
    web += ["--threads", "4", "--graceful-timeout", "5", "--no-control-socket"]
    web += ["--logger-class", "config.web_log.WebLogger"]
    return [
        Row("web", tuple(web), stage=0, files=(listener,)),
        Row("live", live(live_listener), stage=0, files=(live_listener,)),
        Row("scheduler", (*manage, "scheduler"), scheduler, stage=1),
        Row("ledger_signer", (*manage, "ledger_signer"), ledger_signer, stage=1),
        *(Row(f"worker-{name}", (*manage, "worker", name), worker, stage=2) for name in queues),
    ]
