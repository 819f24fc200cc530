"""A server that speaks the parts of GitHub's, GitLab's and the webhook's interfaces that a pipeline run needs.

Made from the published descriptions: paths, status codes, names of fields and words of states.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class Started:
    """One run: its key, what it was started with, and the states that it goes through, one at each look."""

    id: int
    key: str
    ref: str
    inputs: dict[str, str]
    states: list[str]
    commit: str
    cancelled: bool = False
    waits_in: str = ""
    comments: list[str] = field(default_factory=list)
    event: str = "workflow_dispatch"

    def now(self) -> str:
        """Return the present state, and go on to the next."""
        if self.cancelled:
            return "cancelled"
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]


@dataclass
class Server:
    """What a test says: the states of each new run, whether the answer tells which run, how late it is listed, the
    commit to which refs lead, and the status with which a gateway before it answers the next call in its place.
    """

    port: int = 0
    states: tuple[str, ...] = ("queued", "running", "success")
    tells: bool = True
    unlisted: int = 0
    refuses: int = 0
    gateway: int = 0
    commit: str = "a" * 40
    runs: list[Started] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    traces: set[str | None] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Return the address."""
        return f"http://127.0.0.1:{self.port}"

    def begin(self, key: str, ref: str, inputs: dict[str, str]) -> Started:
        """Start a run."""
        run = Started(len(self.runs) + 1, key, ref, inputs, list(self.states), commit=self.commit)
        self.runs.append(run)
        return run

    def listed(self) -> list[Started]:
        """Return the runs that are listed by now, the newest first."""
        if self.unlisted > 0:
            self.unlisted -= 1
            return []
        return self.runs[::-1]


def github(server: Server, method: str, path: list[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
    """Answer as api.github.com does: repos/{owner}/{repo}/actions/…"""
    rest = path[4:]
    if rest[:1] == ["workflows"] and rest[-1] == "dispatches":
        run = server.begin(body["inputs"]["ringi_key"], body["ref"], body["inputs"])
        if not (server.tells and body.get("return_run_details")):
            return 204, None
        return 200, {"workflow_run_id": run.id, "run_url": "…", "html_url": f"{server.url}/runs/{run.id}"}
    if rest[:1] == ["workflows"] and rest[-1] == "runs":
        rows = [_github(server, run, "queued") for run in server.listed()]
        return 200, {"total_count": len(rows), "workflow_runs": rows}
    run = server.runs[int(rest[1]) - 1]
    if rest[2:] == ["cancel"]:
        run.cancelled = True
        return 202, {}
    if rest[2:] == ["pending_deployments"] and method == "POST":
        assert body["state"] == "approved" and body["environment_ids"] == [70 + run.id]
        run.waits_in = ""
        run.comments.append(body["comment"])
        return (200, [{"id": 1, "environment": "…"}]) if server.tells else (502, "bad gateway")
    if rest[2:] == ["pending_deployments"]:
        place = {"environment": {"id": 70 + run.id, "name": run.waits_in}, "wait_timer": 0, "reviewers": []}
        return 200, [place] if run.waits_in else []
    if rest[2:] == ["approvals"]:
        return 200, [{"state": "approved", "comment": comment, "environments": []} for comment in run.comments]
    if rest[2:] == ["jobs"]:
        failed = {"name": "Upload", "status": "completed", "conclusion": "failure"}
        job = {"name": "deploy", "status": "completed", "conclusion": "failure", "steps": [failed]}
        return 200, {"total_count": 1, "jobs": [job]}
    return 200, _github(server, run, run.now())


def _github(server: Server, run: Started, state: str) -> dict[str, Any]:
    ended = state not in ("queued", "running")
    return {
        "id": run.id,
        "head_sha": run.commit,
        "event": run.event,
        "display_title": f"Deploy {run.inputs.get('version', '')} {run.key}",
        "status": "completed" if ended else {"queued": "queued", "running": "in_progress"}[state],
        "conclusion": state if ended else None,
        "html_url": f"{server.url}/runs/{run.id}",
    }


def gitlab(server: Server, method: str, path: list[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
    """Answer as GitLab does: api/v4/projects/{path}/…"""
    rest = path[4:]
    if rest == ["pipeline"]:
        inputs = {row["key"]: row["value"] for row in body["variables"]}
        return 201, _gitlab(server, server.begin(inputs["RINGI_KEY"], body["ref"], inputs), "created")
    if rest == ["pipelines"]:
        rows = [run for run in server.listed() if query.get("name") in (None, run.key)]
        return 200, [_gitlab(server, run, "created") for run in rows]
    if rest[0] == "jobs":
        return 200, "line 1\nno space left on device\n"
    run = server.runs[int(rest[1]) - 1]
    if rest[2:] == ["cancel"]:
        run.cancelled = True
    if rest[2:] == ["jobs"]:
        return 200, [{"id": 7, "name": "deploy", "status": "failed"}]
    return 200, _gitlab(server, run, run.now())


def _gitlab(server: Server, run: Started, state: str) -> dict[str, Any]:
    word = {"queued": "pending", "cancelled": "canceled", "failure": "failed"}.get(state, state)
    return {
        "id": run.id,
        "sha": run.commit,
        "name": run.key,
        "status": word,
        "web_url": f"{server.url}/pipelines/{run.id}",
    }


def webhook(server: Server, method: str, path: list[str], query: dict[str, str], body: Any) -> tuple[int, Any]:
    """Answer as a receiver of the documented protocol does."""
    if method == "POST":
        run = server.begin(body["key"], body["ref"], body["inputs"])
        return (200, _webhook(server, run, "running")) if server.tells else (202, None)
    found = next((run for run in server.listed() if run.key == query.get("key")), None)
    if found is None:
        return 404, None
    if method == "DELETE":
        found.cancelled = True
        return 204, None
    return 200, _webhook(server, found, found.now())


def _webhook(server: Server, run: Started, state: str) -> dict[str, Any]:
    word = {"queued": "running", "running": "running", "success": "succeeded"}.get(state, "failed")
    return {"id": run.id, "url": f"{server.url}/jobs/{run.id}", "state": word, "lines": ["deploy: done"]}


ANSWERS = {"github": github, "gitlab": gitlab, "webhook": webhook}


@contextmanager
def serving(provider: str) -> Iterator[Server]:
    """Serve until the block ends."""
    made = Server()

    class Answer(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            made.tokens.add(self.headers.get("Authorization") or self.headers.get("PRIVATE-TOKEN") or "")
            made.traces.add(self.headers.get("traceparent"))
            parts = urlsplit(self.path)
            path = [unquote(part) for part in parts.path.strip("/").split("/")]
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            if made.refuses > 0:
                made.refuses -= 1
                status, answer = 503, "try again later"
            else:
                status, answer = ANSWERS[provider](made, self.command, path, query, body)
                if made.gateway:  # the request has been passed on, and the answer was not
                    status, answer, made.gateway = made.gateway, "no answer in time", 0
            content = b"" if answer is None else (answer if isinstance(answer, str) else json.dumps(answer)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _answer

        def log_message(self, format: str, *values: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    made.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
