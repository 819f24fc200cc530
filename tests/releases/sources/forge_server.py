"""A server that answers about merge requests as GitHub and GitLab do, by their published descriptions.

Its pages are short, so that every list has several; a request is one row of `Asked`, whichever provider is asked.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

PROJECT, TOKEN = "team/datasets", "read-only-secret"
PAGE = 2
MERGED = "2026-11-20T12:00:00Z"


@dataclass
class Asked:
    """A merged request. commits: (id, address of the author, message). heads: earlier last commits, the oldest first.
    reviews: (login, state, reviewed commit) in the order of time; state as GitHub writes it.
    """

    number: int
    title: str
    commits: Sequence[tuple[str, str, str]]
    author: str = "dev"
    body: str | None = None
    heads: Sequence[str] = ()
    merge: str | None = None
    squash: str | None = None
    labels: Sequence[str] = ()
    reviews: Sequence[tuple[str, str, str]] = ()
    merged: bool = True
    made_by: str = "web-flow"
    project: str = PROJECT
    counted: int = 0

    @property
    def head(self) -> str:
        """The last commit."""
        return self.commits[-1][0]

    @property
    def all_heads(self) -> list[str]:
        """Every last commit that it had, the oldest first."""
        return [*self.heads, self.head]

    def brought(self, commit: str) -> bool:
        """Tell whether the forge lists it for a commit."""
        return commit in {self.merge, self.squash, *(one[0] for one in self.commits)}


@dataclass
class Server:
    """What a test says. fails: part of a path → status, headers, body. names_times: as a GitLab that tells when an
    approval was given; else only its notes do.
    """

    requests: list[Asked] = field(default_factory=list)
    fails: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    names_times: bool = True
    port: int = 0
    paths: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Return the address."""
        return f"http://127.0.0.1:{self.port}"

    def numbered(self, number: str) -> Asked:
        """Return a request."""
        return next(one for one in self.requests if one.number == int(number))


def _user(login: str) -> dict[str, Any] | None:
    return {"login": login, "id": 7, "html_url": f"https://github.com/{login}", "type": "User"} if login else None


def _member(login: str) -> dict[str, Any]:
    return {"id": 7, "username": login, "name": login, "web_url": f"https://gitlab.example.org/{login}"}


def github(server: Server, path: list[str]) -> Any:
    """Answer as api.github.com does: repos/{owner}/{repo}/…"""
    rest = path[3:]
    if rest[0] == "commits" and rest[2:] == ["pulls"]:
        return [_pull(one) for one in server.requests if one.brought(rest[1])]
    if rest[0] == "commits":
        made = next(one.made_by for one in server.requests if one.squash == rest[1])
        return {
            "sha": rest[1],
            "committer": _user(made),
            "commit": {"verification": {"verified": made == "web-flow", "reason": "valid"}},
        }
    one = server.numbered(rest[1])
    if rest[2:] == ["commits"]:
        return [
            {"sha": sha, "commit": {"author": {"name": "x", "email": email}, "message": message}, "author": None}
            for sha, email, message in one.commits
        ]
    if rest[2:] == ["reviews"]:
        return [
            {"id": at, "user": _user(login), "state": state, "commit_id": commit, "submitted_at": MERGED}
            for at, (login, state, commit) in enumerate(one.reviews)
        ]
    return {**_pull(one), "commits": one.counted or len(one.commits), "merged": one.merged}


def _pull(one: Asked) -> dict[str, Any]:
    return {
        "number": one.number,
        "state": "closed" if one.merged else "open",
        "title": one.title,
        "body": one.body,
        "user": _user(one.author),
        "html_url": f"https://github.com/{PROJECT}/pull/{one.number}",
        "merged_at": MERGED if one.merged else None,
        "merge_commit_sha": one.merge or one.squash,
        "head": {"sha": one.head, "ref": "feature"},
        "base": {"ref": "main", "repo": {"full_name": one.project}},
        "labels": [{"id": at, "name": label} for at, label in enumerate(one.labels)],
    }


def gitlab(server: Server, path: list[str]) -> Any:
    """Answer as GitLab does: api/v4/projects/{id}/…"""
    rest = path[4:]
    if rest[0] == "repository":
        return [_merge_request(one) for one in server.requests if one.brought(rest[2])]
    one = server.numbered(rest[1])
    # Each head came a minute after the one before, and its review half a minute after it.
    times = {head: f"2026-11-20T10:{at:02}" for at, head in enumerate(one.all_heads)}
    given = [(login, f"{times[commit]}:30.000Z") for login, state, commit in one.reviews if state == "APPROVED"]
    if rest[2:] == ["commits"]:
        return [
            {"id": sha, "author_email": email, "author_name": "x", "message": message}
            for sha, email, message in reversed(one.commits)
        ]
    if rest[2:] == ["approvals"]:
        told = [{"user": _member(login)} | ({"approved_at": at} if server.names_times else {}) for login, at in given]
        return {"iid": one.number, "approved": bool(given), "approved_by": told}
    if rest[2:] == ["versions"]:
        return [{"head_commit_sha": head, "created_at": f"{at}:00.000Z"} for head, at in reversed(times.items())]
    if rest[2:] == ["notes"]:
        notes = [{"author": _member(login), "created_at": at, "system": True} for login, at in given]
        # Anybody can write the words of the system's own note.
        lies = [{"author": _member(login), "created_at": MERGED, "system": False} for login, _at in given]
        return [{**note, "body": "approved this merge request"} for note in [*lies, *reversed(notes)]]
    if rest[2:] == ["reviewers"]:
        states = {"APPROVED": "approved", "CHANGES_REQUESTED": "requested_changes"}
        last = {login: states.get(state, "reviewed") for login, state, _commit in one.reviews}
        return [{"user": _member(login), "state": state, "created_at": MERGED} for login, state in last.items()]
    return _merge_request(one)


def _merge_request(one: Asked) -> dict[str, Any]:
    return {
        "iid": one.number,
        "title": one.title,
        "description": one.body,
        "state": "merged" if one.merged else "opened",
        "author": _member(one.author),
        "web_url": f"https://gitlab.example.org/{PROJECT}/-/merge_requests/{one.number}",
        "merged_at": MERGED if one.merged else None,
        "sha": one.head,
        "merge_commit_sha": one.merge,
        "squash_commit_sha": one.squash,
        "labels": list(one.labels),
    }


@contextmanager
def serving(provider: str) -> Iterator[Server]:
    """Serve one project; yield what it answers, which the test changes."""
    server = Server()
    answer = {"github": github, "gitlab": gitlab}[provider]

    class Answering(BaseHTTPRequestHandler):
        def log_message(self, *_words: Any) -> None:
            pass

        def do_GET(self) -> None:
            server.paths.append(self.path)
            parts = urlsplit(self.path)
            for part, (status, headers, body) in server.fails.items():
                if part in self.path:
                    return self._send(status, headers, body)
            given = self.headers.get("PRIVATE-TOKEN") or self.headers.get("Authorization")
            if given not in (TOKEN if provider == "gitlab" else f"Bearer {TOKEN}",):
                return self._send(401, {}, b'{"message": "Bad credentials"}')
            found = answer(server, [unquote(part) for part in parts.path.strip("/").split("/")])
            headers = {}
            if isinstance(found, list):
                page = int(parse_qs(parts.query)["page"][0])
                if len(found) > page * PAGE:
                    headers["Link"] = f'<{server.url}{parts.path}?page={page + 1}>; rel="next"'
                found = found[(page - 1) * PAGE : page * PAGE]
            return self._send(200, headers, json.dumps(found).encode())

        def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as http:
        server.port = http.server_address[1]
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
