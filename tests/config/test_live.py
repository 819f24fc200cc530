"""The stream of changes as a page has it: over HTTP, from a process of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.urls import reverse

from config.development import processes
from config.development.ports import free_port
from config.development.rows import live
from environments.models import AccessGrant
from tests.audit.tampered import as_owner
from tests.browser.serving import database_url, serving
from tests.config.test_processes import until
from tests.releases.admin.conftest import pages_template, seeded
from tests.releases.gates.asking import alter

__all__ = ["pages_template", "seeded"]
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@pytest.fixture
def pages(database: str, seeded: dict[str, Any], tmp_path: Path) -> Iterator[httpx.Client]:
    """A reader of pages without a session."""
    with serving(database, tmp_path / "web.log") as site, httpx.Client(base_url=site, timeout=20) as client:
        yield client
    assert "Traceback" not in (said := (tmp_path / "web.log").read_text()), said[-3000:]


def asked_of(pages: httpx.Client, address: str, session: str) -> str:
    """Return the address of a page's stream."""
    text = pages.get(address, headers={"Cookie": f"sessionid={session}"}).text
    stream, token = (text.split(f'{name}="')[1].split('"')[0] for name in ("data-live-stream", "data-live"))
    return f"{stream}?of={token}"


class Listening:
    """One open stream: `told` returns the next word that is no comment, and after how many seconds it came."""

    def __init__(self, answer: httpx.Response) -> None:
        self.lines = answer.iter_lines()

    def told(self) -> tuple[str, float]:
        began = time.monotonic()
        for line in self.lines:
            if line.startswith("event: "):
                return line.removeprefix("event: "), time.monotonic() - began
            if time.monotonic() - began > 45:  # comments keep a stream open
                return "silence", time.monotonic() - began
        return "closed", time.monotonic() - began


@pytest.fixture
def listen(pages: httpx.Client) -> Callable[..., Any]:
    """Return a function: the stream of an address, opened with a session."""

    def opened(address: str, session: str) -> Any:
        return pages.stream("GET", address, headers={"Cookie": f"sessionid={session}"})

    return opened


def session_of(browsers: Callable[[str], Any], name: str) -> str:
    return str(browsers(name).cookies["sessionid"].value)


def test_a_page_is_told_of_its_own_rows_within_a_second(
    pages: httpx.Client, seeded: dict[str, Any], browsers: Callable[[str], Any], listen: Callable[..., Any]
) -> None:
    session = session_of(browsers, "manager")
    draft, other = seeded["draft"], seeded["released"]
    with listen(asked_of(pages, reverse("release", args=[draft.pk]), session), session) as answer:
        assert answer.status_code == 200 and answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["access-control-allow-origin"] == str(pages.base_url).rstrip("/")
        stream = Listening(answer)
        assert stream.told()[0] == "open"
        first, _seconds = stream.told()  # the hub has just begun to read, so the page may have missed something
        assert first == "changed"
        alter(other, title="not on this page")
        time.sleep(1)
        alter(draft, title="on this page")
        waited = [stream.told()]
        for number in range(5):
            time.sleep(0.6)
            alter(draft, title=f"on this page {number}")
            waited.append(stream.told())
    assert [word for word, _seconds in waited] == ["changed"] * 6
    assert max(seconds for _word, seconds in waited) < 1


def test_what_changes_between_the_page_and_its_stream_is_told(
    pages: httpx.Client, seeded: dict[str, Any], browsers: Callable[[str], Any], listen: Callable[..., Any]
) -> None:
    session, draft = session_of(browsers, "manager"), seeded["draft"]
    page = reverse("release", args=[draft.pk])
    with listen(asked_of(pages, page, session), session) as held:
        kept = Listening(held)
        assert kept.told()[0] == "open"
        time.sleep(7)  # longer than two clocks may differ, so that only the row's own change is told
        address = asked_of(pages, page, session)
        quiet = asked_of(pages, reverse("release", args=[seeded["review"].pk]), session)
        alter(draft, title="while the page was on its way")
        time.sleep(0.6)
        with listen(address, session) as late:
            stream = Listening(late)
            assert [stream.told()[0] for _ in range(2)] == ["open", "changed"]
        with listen(quiet, session) as other:
            stream = Listening(other)
            assert stream.told()[0] == "open"
            alter(seeded["review"], title="now")
            word, seconds = stream.told()
            assert word == "changed" and seconds < 1


def test_what_changes_while_nobody_listens_is_told_to_the_next(
    pages: httpx.Client, seeded: dict[str, Any], browsers: Callable[[str], Any], listen: Callable[..., Any]
) -> None:
    session, page = session_of(browsers, "manager"), reverse("release", args=[seeded["draft"].pk])
    for number in range(2):
        address = asked_of(pages, page, session)
        alter(seeded["draft"], title=f"change {number}")
        time.sleep(6)
        with listen(address, session) as answer:
            stream = Listening(answer)
            assert [stream.told()[0] for _ in range(2)] == ["open", "changed"]


@pytest.mark.parametrize("case", ["no session", "another account", "an altered token"])
def test_only_the_reader_of_the_page_gets_its_stream(
    case: str, pages: httpx.Client, seeded: dict[str, Any], browsers: Callable[[str], Any], listen: Callable[..., Any]
) -> None:
    session = session_of(browsers, "manager")
    address = asked_of(pages, reverse("release", args=[seeded["draft"].pk]), session)
    session = {"no session": "", "another account": session_of(browsers, "auditor")}.get(case, session)
    if case == "an altered token":
        address = address[:-3] + ("abc" if not address.endswith("abc") else "abd")
    with listen(address, session) as answer:
        assert answer.status_code == 403


@pytest.mark.parametrize("case", ["the session", "a grant"])
def test_a_stream_ends_with_the_session_and_when_a_grant_changes(
    case: str, pages: httpx.Client, seeded: dict[str, Any], browsers: Callable[[str], Any], listen: Callable[..., Any]
) -> None:
    client = browsers("manager")
    session = str(client.cookies["sessionid"].value)
    with listen(asked_of(pages, reverse("release", args=[seeded["draft"].pk]), session), session) as answer:
        stream = Listening(answer)
        assert stream.told()[0] == "open"
        if case == "the session":
            client.session.flush()
        else:
            grant = AccessGrant.objects.filter(account__username="manager").first()
            assert grant is not None
            time.sleep(1)  # the events are read by now
            alter(grant, until=grant.starts_at.replace(year=2999))
            alter(grant, environment=seeded["running"].environment)
        began, word = time.monotonic(), ""
        while word not in ("end", "closed", "silence"):
            word, _seconds = stream.told()
        # The ledger has an event of a grant; of a session that ends it has none.
        assert word == "end" and time.monotonic() - began < (25 if case == "the session" else 2)


def test_a_grant_that_changes_while_a_stream_begins_ends_it(
    pages: httpx.Client, seeded: dict[str, Any], browsers: Callable[[str], Any], listen: Callable[..., Any]
) -> None:
    """The rights are read before the stream begins, and the events are read only from then on."""
    session = session_of(browsers, "manager")
    address = asked_of(pages, reverse("release", args=[seeded["draft"].pk]), session)
    with ExitStack() as ends:
        with as_owner() as own:
            own.autocommit = False
            # No one reads the events until the grant has changed.
            own.execute("LOCK TABLE audit_ledgerentry IN ACCESS EXCLUSIVE MODE")
            stream = Listening(ends.enter_context(listen(address, session)))
            assert stream.told()[0] == "open"
            grant = AccessGrant.objects.filter(account__username="manager").first()
            assert grant is not None
            alter(grant, environment=seeded["running"].environment)
            own.rollback()
        began, word = time.monotonic(), ""
        while word not in ("end", "closed", "silence"):
            word, _seconds = stream.told()
        assert word == "end" and time.monotonic() - began < 5


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_the_stream_comes_through_the_documented_proxy(
    database: str, seeded: dict[str, Any], browsers: Callable[[str], Any], tmp_path: Path
) -> None:
    """nginx with the blocks of the page: the stream is not held back, and a page finds it under its own address."""
    session, draft = session_of(browsers, "manager"), seeded["draft"]
    text = (settings.BASE_DIR / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    blocks = re.findall(r"^    location .*?^    }\n", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    front = free_port()
    here = f"http://127.0.0.1:{front}"
    proxied = {"RINGI_LIVE_URL": "/live/", "RINGI_BASE_URL": here}
    with ExitStack() as ends:
        web = ends.enter_context(serving(database, tmp_path / "web.log", **proxied))
        listener = ends.enter_context(socket.create_server(("127.0.0.1", 0)))
        environment = {**os.environ, "DATABASE_URL": database_url(database), "RINGI_PROCESS": "live", **proxied}
        streams = processes.spawn(
            live(listener.fileno()), environment=environment, log=tmp_path / "live.log", pass_fds=(listener.fileno(),)
        )
        ends.callback(processes.stop, streams, (signal.SIGTERM, signal.SIGKILL))
        own = "\n".join(blocks).replace("http://127.0.0.1:8000", web)
        own = own.replace("127.0.0.1:8001", f"127.0.0.1:{listener.getsockname()[1]}")
        (tmp_path / "nginx.conf").write_text(
            f"daemon off; pid {tmp_path}/nginx.pid; error_log {tmp_path}/nginx.log;\n"
            "events {}\nhttp { access_log off;\n"
            + "".join(f"{name}_temp_path {tmp_path}/{name};\n" for name in TEMPORARY)
            + f"server {{ listen 127.0.0.1:{front};\n{own}}} }}\n"
        )
        argv = ["nginx", "-e", f"{tmp_path}/nginx.log", "-c", f"{tmp_path}/nginx.conf"]
        proxy = processes.spawn(argv, environment=dict(os.environ), log=tmp_path / "nginx.out")
        ends.callback(processes.stop, proxy, (signal.SIGTERM, signal.SIGKILL))
        client = ends.enter_context(httpx.Client(base_url=here, timeout=20))
        until(lambda: reachable(client))
        address = asked_of(client, reverse("release", args=[draft.pk]), session)
        assert address.startswith("/live/?of=")
        with client.stream("GET", address, headers={"Cookie": f"sessionid={session}"}) as answer:
            stream = Listening(answer)
            assert [stream.told()[0] for _ in range(2)] == ["open", "changed"]
            time.sleep(1)
            alter(draft, title="through the proxy")
            word, seconds = stream.told()
            assert word == "changed" and seconds < 1


def reachable(client: httpx.Client) -> bool:
    """Tell whether the proxy leads to the pages."""
    try:
        return client.get("/health/").status_code < 500
    except httpx.TransportError:
        return False


def test_without_a_stream_a_page_asks_and_is_answered(seeded: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    assert settings.LIVE_URL == ""
    client, other = browsers("manager"), browsers("auditor")
    page = client.get(reverse("release", args=[seeded["draft"].pk]))
    given = page.context["updates"]
    assert given["stream"] == "" and f'data-live="{given["of"]}"' in page.content.decode()
    before = client.get(reverse("live"), {"of": given["of"]}).json()
    assert client.get(reverse("live"), {"of": given["of"]}).json() == before
    alter(seeded["draft"], title="changed")
    assert client.get(reverse("live"), {"of": given["of"]}).json() != before
    assert other.get(reverse("live"), {"of": given["of"]}).status_code == 410
    assert client.get(reverse("live"), {"of": "x"}).status_code == 410


def test_one_reader_cannot_occupy_all_streams(
    pages: httpx.Client, seeded: dict[str, Any], browsers: Callable[[str], Any], listen: Callable[..., Any]
) -> None:
    session, other = session_of(browsers, "manager"), session_of(browsers, "developer")
    page = reverse("release", args=[seeded["draft"].pk])
    address = httpx.URL(asked_of(pages, page, session))
    words = f"GET {address.raw_path.decode()} HTTP/1.1\r\nHost: localhost\r\nCookie: sessionid={session}\r\n\r\n"
    with ExitStack() as held:
        answers = []
        for _number in range(101):
            stream = held.enter_context(socket.create_connection((address.host, address.port or 80), timeout=20))
            stream.sendall(words.encode())
            answers.append(stream.recv(12))
        assert answers == [b"HTTP/1.1 200"] * 100 + [b"HTTP/1.1 503"]
        with listen(asked_of(pages, page, other), other) as answer:
            assert answer.status_code == 200
