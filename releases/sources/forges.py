"""Merge requests of a project at GitHub or GitLab, with the decision of each reviewer.

Facts of the interfaces: docs.github.com/rest/pulls, docs.github.com/rest/commits, docs.gitlab.com/api/merge_requests,
docs.gitlab.com/api/merge_request_approvals. Anything that is missing or not understood raises ForgeUnavailable.
"""

import json
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import quote, urlencode, urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from environments.connectivity.addresses import networks
from releases.sources.exchange import Fetched, NoAnswer, fetch
from releases.sources.git.remote import wrong_address

TOKEN = "FORGE_TOKEN"
ANSWER_SECONDS, ALL_SECONDS, MOST_PAGES = 15.0, 90.0, 20
# Texts of a request that are searched for tickets, in characters.
LONGEST = 20_000
NUMBER = "{number}"
_PROJECT = re.compile(r"[\w.-]+(?:/[\w.-]+)+", re.ASCII)
_TOKEN = re.compile(r"[!-~]+", re.ASCII)
_CO_AUTHOR = re.compile(r"^co-authored-by:(.*)$", re.IGNORECASE | re.MULTILINE)
_ADDRESS = re.compile(r"[^\s<>,;@]+@[^\s<>,;@]+")


class ForgeUnavailable(Exception):
    """The merge requests could not be read completely; the message is shown to people, without the token."""


@dataclass(frozen=True)
class Person:
    """A user of the forge. addresses: the forge's private Git addresses, by which an account names its user."""

    login: str
    addresses: frozenset[str]


@dataclass(frozen=True)
class Review:
    """The last decision of one reviewer. commit: the head that was reviewed; empty: unknown."""

    person: Person
    state: str
    at: str
    commit: str


@dataclass(frozen=True)
class Request:
    """A merged request. head: its last commit. commits: id → addresses of authors, empty text for an unreadable one.

    merge, squash: the commits that the forge made of it, where it made any.
    """

    number: int
    title: str
    text: str
    url: str
    author: Person
    merged_at: datetime
    head: str
    merge: str
    squash: str
    labels: tuple[str, ...]
    commits: Mapping[str, frozenset[str]]
    reviews: tuple[Review, ...]


@dataclass
class Forge(ABC):
    """One project. url: without a slash at the end. HEADER: of the token, with the text before it."""

    HEADER: ClassVar[tuple[str, str]]
    url: str
    project: str
    token: str = field(repr=False)
    until: float = field(default_factory=lambda: time.monotonic() + ALL_SECONDS)

    @abstractmethod
    def numbers(self, commit: str) -> list[int]:
        """Return the numbers of the merged requests of the project that brought a commit. Raises ForgeUnavailable."""

    @abstractmethod
    def request(self, number: int) -> Request:
        """Return a request with all its commits and reviews. Raises ForgeUnavailable."""

    @abstractmethod
    def made(self, commit: str) -> bool:
        """Tell whether the forge itself made the squash commit of a request. Raises ForgeUnavailable."""

    def one(self, path: str) -> dict[str, Any]:
        """Return an object. Raises ForgeUnavailable."""
        return self._ask(path, dict)[0]

    def every(self, path: str) -> list[dict[str, Any]]:
        """Return the rows of all pages. Raises ForgeUnavailable, also where there are more than MOST_PAGES."""
        found: list[dict[str, Any]] = []
        for page in range(1, MOST_PAGES + 1):
            rows, headers = self._ask(f"{path}?{urlencode({'per_page': 100, 'page': page})}", list)
            found += rows
            if 'rel="next"' not in headers.get("link", "") and len(rows) < 100:
                return found
        raise ForgeUnavailable(_("%(path)s has more pages than Ringi reads.") % {"path": path})

    def _ask[T](self, path: str, kind: type[T]) -> tuple[T, Mapping[str, str]]:
        left = self.until - time.monotonic()
        if left <= 0:
            text = _("The merge requests could not be read within %(seconds)d seconds.")
            raise ForgeUnavailable(text % {"seconds": ALL_SECONDS})
        if not _TOKEN.fullmatch(self.token):  # else the fault would repeat it
            raise ForgeUnavailable(_refused_token())
        name, before = self.HEADER
        headers = {"Accept": "application/json", "User-Agent": "Ringi", name: f"{before}{self.token}"}
        listed = networks(settings.GIT_NETWORKS)
        try:
            answer = fetch(self.url + path, seconds=min(ANSWER_SECONDS, left), listed=listed, headers=headers)
        except NoAnswer as silent:
            text = _("%(url)s gives no answer: %(why)s")
            raise ForgeUnavailable(text % {"url": self.url, "why": silent}) from silent
        if answer.status != 200:
            raise ForgeUnavailable(_refusal(answer, path))
        try:
            value = json.loads(answer.body)
        except ValueError:
            value = None
        if not isinstance(value, kind):
            raise ForgeUnavailable(_("The answer to %(path)s cannot be read.") % {"path": path})
        return value, answer.headers


def _text(value: Any) -> str:
    """Return a text that people wrote, in a form that can be kept."""
    return str(value or "").encode("utf-8", "replace").decode().replace("\0", "")


def _refused_token() -> str:
    return _("The secret %(key)s is missing, or it is not accepted.") % {"key": TOKEN}


def _refusal(answer: Fetched, path: str) -> str:
    if answer.status == 401:
        return _refused_token()
    if answer.status == 429 or (
        answer.status == 403 and ("retry-after" in answer.headers or answer.headers.get("x-ratelimit-remaining") == "0")
    ):
        seconds = answer.headers.get("retry-after", "")
        if not seconds.isdigit():
            until = answer.headers.get("x-ratelimit-reset") or answer.headers.get("ratelimit-reset") or ""
            seconds = str(max(60, int(until) - int(time.time()))) if until.isdigit() else "60"
        return _("The rate limit is reached. Refresh again in %(seconds)s seconds.") % {"seconds": seconds}
    return _("%(address)s answers with status %(status)d") % {"address": path, "status": answer.status}


def _authors(address: str, message: str) -> frozenset[str]:
    found = {address.strip().lower() if _ADDRESS.fullmatch(address.strip()) else ""}
    for line in _CO_AUTHOR.findall(message):
        found.update({one.lower() for one in _ADDRESS.findall(line)} or {""})
    return frozenset(found)


def _last(reviews: list[Review]) -> tuple[Review, ...]:
    """Return the last decision of each reviewer; a comment is none."""
    last: dict[str, Review] = {}
    for review in reviews:
        if review.state not in ("commented", "pending"):
            last[review.person.login] = review
    return tuple(last.values())


class GitHub(Forge):
    """GitHub: pull requests and their reviews; each review names the commit that it was given for."""

    HEADER = "Authorization", "Bearer "

    def numbers(self, commit: str) -> list[int]:
        """Leave out the requests of forks, which are listed as well."""
        rows = self.every(f"/repos/{self.project}/commits/{commit}/pulls")
        own = self.project.casefold()
        return [
            row["number"] for row in rows if row["merged_at"] and row["base"]["repo"]["full_name"].casefold() == own
        ]

    def request(self, number: int) -> Request:
        """Read a request; GitHub lists at most 250 of its commits and says how many there are."""
        path = f"/repos/{self.project}/pulls/{number}"
        row, commits = self.one(path), self.every(f"{path}/commits")
        if row["commits"] != len(commits):
            text = _("#%(number)d has %(count)d commits, and GitHub lists %(listed)d of them.")
            raise ForgeUnavailable(text % {"number": number, "count": row["commits"], "listed": len(commits)})
        reviews = [
            Review(_github(one["user"]), one["state"].lower(), one.get("submitted_at") or "", one["commit_id"] or "")
            for one in self.every(f"{path}/reviews")
        ]
        return Request(
            number=row["number"],
            title=_text(row["title"]),
            text=_text(row["body"]),
            url=_text(row["html_url"]),
            author=_github(row["user"]),
            merged_at=datetime.fromisoformat(row["merged_at"]),
            head=row["head"]["sha"],
            merge=row["merge_commit_sha"] or "",
            squash=row["merge_commit_sha"] or "",
            labels=tuple(_text(label["name"]) for label in row["labels"]),
            commits={
                one["sha"]: _authors(one["commit"]["author"]["email"], one["commit"]["message"]) for one in commits
            },
            reviews=_last(reviews),
        )

    def made(self, commit: str) -> bool:
        """Ask for the signature: GitHub signs the squash commits that it makes, and nobody else can."""
        row = self.one(f"/repos/{self.project}/commits/{commit}")
        committer = (row["committer"] or {}).get("login")
        return committer == "web-flow" and row["commit"]["verification"]["verified"] is True


def _github(user: Any) -> Person:
    if not user:  # the account was deleted
        return Person("", frozenset())
    login, host = _text(user["login"]), urlsplit(user["html_url"]).hostname
    named = (login, f"{user['id']}+{login}")
    return Person(login, frozenset(f"{name}@users.noreply.{host}".lower() for name in named))


class GitLab(Forge):
    """GitLab: merge requests; an approval counts for the head that was there when it was given."""

    HEADER = "PRIVATE-TOKEN", ""

    @property
    def _path(self) -> str:
        return f"/api/v4/projects/{quote(self.project, safe='')}"

    def numbers(self, commit: str) -> list[int]:
        """Ask for the requests of the commit."""
        rows = self.every(f"{self._path}/repository/commits/{commit}/merge_requests")
        return [row["iid"] for row in rows if row["state"] == "merged"]

    def request(self, number: int) -> Request:
        """Read a request."""
        path = f"{self._path}/merge_requests/{number}"
        row = self.one(path)
        return Request(
            number=row["iid"],
            title=_text(row["title"]),
            text=_text(row["description"]),
            url=_text(row["web_url"]),
            author=_gitlab(row["author"]),
            merged_at=datetime.fromisoformat(row["merged_at"]),
            head=row["sha"] or "",
            merge=row["merge_commit_sha"] or "",
            squash=row["squash_commit_sha"] or "",
            labels=tuple(map(_text, row["labels"])),
            commits={one["id"]: _authors(one["author_email"], one["message"]) for one in self.every(f"{path}/commits")},
            reviews=self._reviews(path),
        )

    def _reviews(self, path: str) -> tuple[Review, ...]:
        given = self.one(f"{path}/approvals")["approved_by"]
        versions = [(one["created_at"], one["head_commit_sha"]) for one in self.every(f"{path}/versions")]
        notes = self.every(f"{path}/notes") if any(not one.get("approved_at") for one in given) else []
        # Before GitLab names the time of an approval, its own note does.
        noted = {
            note["author"]["username"]: note["created_at"]
            for note in sorted(notes, key=lambda note: str(note["created_at"]))
            if note["system"] is True and note["body"] == "approved this merge request"
        }
        found = []
        for one in given:
            at = one.get("approved_at") or noted.get(one["user"]["username"], "")
            before = [version for version in versions if at and _moment(version[0]) <= _moment(at)]
            head = max(before, key=lambda version: _moment(version[0]))[1] if before else ""
            found.append(Review(_gitlab(one["user"]), "approved", at, head))
        for one in self.every(f"{path}/reviewers"):
            if one["state"] == "requested_changes":
                found.append(Review(_gitlab(one["user"]), "changes_requested", "", ""))
        return _last(found)

    def made(self, commit: str) -> bool:
        """GitLab names a squash commit only where it has made it."""
        return True


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _gitlab(user: Any) -> Person:
    login, host = _text(user["username"]), urlsplit(user["web_url"]).hostname
    named = [f"{user['id']}-{login}"]
    if not re.match(r"\d+-", login):  # else it could stand for the user of that number
        named.append(login)
    return Person(login, frozenset(f"{name}@users.noreply.{host}".lower() for name in named))


PROVIDERS: Mapping[str, type[Forge]] = {"github": GitHub, "gitlab": GitLab}


def wrong_place(provider: str, url: str, project: str, tickets: str) -> str:
    """Return why a forge is refused: its provider, address, project, or format of tickets; empty when it is not."""
    if provider not in PROVIDERS:
        return _("The provider is github or gitlab.")
    if not url.startswith(("https://", "http://")):
        return _("Enter the https address of the interface, such as https://api.github.com.")
    if not _PROJECT.fullmatch(project) or ".." in project:
        return _("Enter the path of the project, such as team/application.")
    if any(one.count(NUMBER) != 1 for one in tickets.split()):
        return _("Write each format of tickets with {number} once, such as PROJECT-{number}.")
    return wrong_address(f"{url}/api")


def tickets_in(request: Request, formats: str) -> list[str]:
    """Return the tickets that the title and the text of a request name, each once. formats: separated by spaces."""
    text = f"{request.title}\n{request.text}"[:LONGEST]
    found: dict[str, None] = {}
    for one in formats.split():
        before, _place, after = one.partition(NUMBER)
        pattern = rf"(?<![\w&]){re.escape(before)}\d{{1,9}}{re.escape(after)}(?!\w)"
        found |= dict.fromkeys(re.findall(pattern, text, re.ASCII))
    return list(found)
