"""Clients of the story: over HTTP, signed in like any person, with forms, CSRF and re-authentication."""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import re
import secrets
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

WAIT_SECONDS = 120.0


class StoryFailed(Exception):
    """A requirement of the story is not met; the message goes into the chapter's report."""


@dataclass(frozen=True)
class Answer:
    """The site's answer to an operation: status and JSON."""

    status: int
    body: dict[str, Any]

    @property
    def reasons(self) -> str:
        """Return the reasons of a refusal as one text."""
        return " ".join(self.body.get("reasons", []))


@dataclass
class Person:
    """One person's browser."""

    base_url: str
    username: str
    name: str
    faults: list[str]
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    factor: str = ""
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        # A connection kept open would race with the server, which closes idle ones.
        limits = httpx.Limits(max_keepalive_connections=0)
        self.client = httpx.Client(base_url=self.base_url, follow_redirects=True, timeout=60, limits=limits)

    def sign_in(self) -> None:
        """Sign in with the password. Raises StoryFailed."""
        self.client.get("/account/login/")
        page = self.client.post(
            "/account/login/", data={"login": self.username, "password": self.password}, headers=self._form()
        )
        if page.status_code != 200 or "/account/login" in str(page.url):
            raise StoryFailed(f"{self.username} could not sign in ({page.status_code})")

    def enrol(self, invitation: str) -> None:
        """Open an invitation, choose a password, sign in and set up an authenticator app. Raises StoryFailed."""
        address = "/invitation/" + invitation.rpartition("/invitation/")[2]
        self.client.get(address)
        fields = {"password1": self.password, "password2": self.password}
        page = self.client.post(address, data=fields, headers=self._form())
        if page.status_code != 200 or "/account/login" not in str(page.url):
            raise StoryFailed(f"{self.username} could not use the invitation ({page.status_code})")
        self.sign_in()
        self.prove_identity()  # The set-up of a factor asks for the password once more.
        shown = re.search(r"<code>([A-Z2-7]{16,})</code>", self.page("/account/mfa/totp/activate/"))
        if shown is None:
            raise StoryFailed(f"{self.username} was shown no key for an authenticator app")
        self.factor = shown[1]
        for _try in range(2):  # On a busy machine the first code may be too old when it arrives.
            data = {"code": one_time(self.factor)}
            page = self.client.post("/account/mfa/totp/activate/", data=data, headers=self._form())
            if page.status_code == 200 and "/totp/activate" not in str(page.url):
                return
        raise StoryFailed(f"{self.username} could not set up two-factor authentication ({page.status_code})")

    def _form(self) -> dict[str, str]:
        return {"X-CSRFToken": self.client.cookies.get("csrftoken") or "", "Referer": self.base_url + "/"}

    def prove_identity(self) -> None:
        """Re-authenticate with the password, as a signature needs it."""
        page = self.client.post("/account/reauthenticate/", data={"password": self.password}, headers=self._form())
        if page.status_code != 200 or "/reauthenticate" in str(page.url):
            raise StoryFailed(f"{self.username} could not confirm the password ({page.status_code})")

    def operate(self, verb: str, pk: int | None = None, files: dict[str, Any] | None = None, **fields: Any) -> Answer:
        """Send a verb's form (`noun:verb`); prove the identity again when the site asks for it."""
        noun, name = verb.split(":")
        address = f"/admin/operation/{noun}/{name}/" + (f"{pk}/" if pk is not None else "")
        answer = self._post(address, fields, files)
        if answer.status == 401:
            self.prove_identity()
            answer = self._post(address, fields, files)
        return answer

    def do(self, verb: str, pk: int | None = None, files: dict[str, Any] | None = None, **fields: Any) -> Any:
        """Send a verb's form and return the id of the resulting row. Raises StoryFailed when it is refused."""
        answer = self.operate(verb, pk, files, **fields)
        if answer.status != 200:
            raise StoryFailed(f"{self.name}: {verb} {pk or ''} was refused ({answer.status}): {answer.reasons}")
        return answer.body["id"]

    def refused(self, verb: str, pk: int | None = None, **fields: Any) -> Answer:
        """Send a verb's form that must be refused (403 or 409); another answer is a fault of the chapter."""
        answer = self.operate(verb, pk, **fields)
        if answer.status not in (403, 409):
            self.faults.append(f"{self.name}: {verb} should have been refused: {answer.status} {answer.reasons}")
        return answer

    def attempt(self, verb: str, pk: int | None = None, **fields: Any) -> None:
        """Send a verb's form; a refusal is a fault of the chapter, and the story goes on."""
        answer = self.operate(verb, pk, **fields)
        if answer.status != 200:
            self.faults.append(f"{self.name}: {verb} {pk or ''} was refused ({answer.status}): {answer.reasons}")

    def _post(self, address: str, fields: dict[str, Any], files: dict[str, Any] | None) -> Answer:
        page = self.client.post(
            address,
            data={key: value for key, value in fields.items() if value is not None},
            files=files,
            headers={**self._form(), "Accept": "application/json"},
        )
        if "json" not in page.headers.get("content-type", ""):
            raise StoryFailed(f"{address}: {page.status_code} {page.text[:200]}")
        return Answer(page.status_code, page.json())

    def page(self, address: str) -> str:
        """Return a page's HTML. Raises StoryFailed unless it is served."""
        page = self.client.get(address)
        if page.status_code != 200:
            raise StoryFailed(f"{self.name}: {address} answered {page.status_code}")
        return page.text

    def shown_digest(self, pk: int, verb: str = "approval:approve") -> str:
        """Return the digest that the page of a verb shows."""
        page = self.page(f"/admin/operation/{verb.replace(':', '/')}/{pk}/")
        found = re.search(r'name="digest" value="([0-9a-f]{64})"', page)
        if found is None:
            raise StoryFailed(f"the page of {verb} {pk} shows no digest")
        return found[1]

    def do_as_shown(self, verb: str, pk: int, **fields: Any) -> Any:
        """Read the page of a verb and submit it with the digest shown."""
        return self.do(verb, pk, digest=self.shown_digest(pk, verb), **fields)

    def approve(self, approval_request_id: int) -> Any:
        """Read the content of an approval request and approve it."""
        return self.do(
            "approval:approve",
            approval_request_id,
            digest=self.shown_digest(approval_request_id),
            comment="read and agreed",
        )

    def links(self, address: str, pattern: str) -> list[int]:
        """Return the row ids in a page's links that match `pattern` (one group)."""
        return list(dict.fromkeys(int(i) for i in re.findall(pattern, self.page(address))))


@dataclass
class Ci:
    """The service account: the API by token."""

    base_url: str
    token: str

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send one request, later when the token is over its rate limit."""
        with httpx.Client(base_url=self.base_url, timeout=60) as client:
            while True:
                answer = client.request(
                    method, "/api/v1" + path, headers={"Authorization": f"Bearer {self.token}"}, **options
                )
                if answer.status_code != 429:
                    return answer
                # A pipeline does the same: this token is over its rate limit for now.
                time.sleep(float(answer.headers.get("Retry-After", "1")))

    def demand(self, method: str, path: str, **options: Any) -> Any:
        """Send one request and return its JSON. Raises StoryFailed when it is not answered with 200."""
        answer = self.call(method, path, **options)
        if answer.status_code != 200:
            raise StoryFailed(f"CI: {method} {path} answered {answer.status_code}: {answer.text[:300]}")
        return answer.json()

    def deployment_status(self, deployment_id: int) -> dict[str, Any]:
        """Return the status of a deployment: state, blockers, steps, rollback."""
        return dict(self.demand("GET", f"/ci/deployments/{deployment_id}"))


def one_time(secret: str) -> str:
    """Return the current code of an authenticator app for a key in base32 (RFC 6238: SHA-1, 30 s, six digits)."""
    mac = hmac.new(base64.b32decode(secret), struct.pack(">Q", int(time.time()) // 30), hashlib.sha1).digest()
    at = mac[-1] & 15
    return f"{(struct.unpack('>I', mac[at : at + 4])[0] & 0x7FFFFFFF) % 1_000_000:06d}"


def until(what: str, look: Callable[[], Any], seconds: float = WAIT_SECONDS, pause: float = 0.1) -> Any:
    """Poll until the result is true, and return it. Raises StoryFailed after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(pause)
    raise StoryFailed(f"{what}: not within {seconds:.0f} s")


def plain(page: str) -> str:
    """Return a page's text without its tags."""
    return html.unescape(re.sub(r"<[^>]+>", " ", page))
