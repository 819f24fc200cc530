"""Tells open pages that something on them has changed: a stream for each (server-sent events), for one process.

It sends no data: a page that is told fetches itself, with the rights that its reader has then. One connection reads the
ledger's events for all streams; a stream ends with its session, with the account, and when a grant changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.cookies import CookieError, SimpleCookie
from importlib import import_module
from typing import Any
from urllib.parse import parse_qs, urlsplit

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402  # Django is set up before
from django.contrib.auth import get_user  # noqa: E402
from django.core import signing  # noqa: E402
from django.db import DatabaseError, close_old_connections, connection  # noqa: E402
from django.http import HttpRequest  # noqa: E402

from audit.changes import Changes  # noqa: E402
from audit.roles import guard  # noqa: E402
from environments.admin.rights import read_rights  # noqa: E402
from environments.models import Account  # noqa: E402
from releases.admin.components.live import RIGHTS, Shown, shown_by  # noqa: E402

log = logging.getLogger("ringi.live")
# Seconds between two readings of the events while someone looks, and between two looks at a reader's rights.
READ_EVERY, CHECK_EVERY = 0.25, 20.0
# What was touched is kept for so long, for pages that were made before their stream began; and by how much the clocks
# of two hosts may differ.
KEPT, APART = 30.0, 5.0
MOST_STREAMS, MOST_OF_ONE_READER = 2000, 100
HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
type Message = Mapping[str, Any]
type Send = Callable[[Message], Awaitable[None]]
type Receive = Callable[[], Awaitable[Message]]

_sessions: Any = import_module(settings.SESSION_ENGINE)


class Stream:
    """One open page: what it shows, whether any of it was touched since it was last told, and whether its reader may
    have lost a right.
    """

    def __init__(self, shown: frozenset[str], reader: str) -> None:
        self.reader = reader
        self.shown, self.awake, self.changed, self.recheck = shown, asyncio.Event(), False, False

    def tell(self, touched: set[str] | None = None) -> None:
        """Let the page know if it shows any of what was touched, and let the reader's rights be looked at if they may
        have changed; both where it is not known what was touched.
        """
        self.changed |= touched is None or bool(self.shown & touched)
        self.recheck |= touched is None or bool(touched & {*RIGHTS, self.reader})
        if self.changed or self.recheck:
            self.awake.set()


class Hub:
    """All streams, and the one reader of the events, which rests while there is none."""

    def __init__(self) -> None:
        self.streams: set[Stream] = set()
        self.recent = deque[tuple[float, set[str]]]()
        self.since = time.time()
        self.someone = asyncio.Event()
        # Django keeps a connection for each thread.
        self.reading, self.checking = ThreadPoolExecutor(1), ThreadPoolExecutor(2)

    async def run(self) -> None:
        """Read events and tell the streams that show what was touched, until it is cancelled."""
        loop = asyncio.get_running_loop()
        changes: Changes | None = None
        while True:
            if not self.streams:
                self.someone.clear()
                await self.someone.wait()
                changes = None
            try:
                if changes is None:
                    changes = await loop.run_in_executor(self.reading, _fresh(Changes))
                    self.since = time.time()
                    for stream in self.streams:
                        stream.tell()
                self.tell(await loop.run_in_executor(self.reading, _fresh(changes.read)))
            except DatabaseError as fault:
                log.warning("the events cannot be read: %s", fault)
                await asyncio.sleep(2)
            await asyncio.sleep(READ_EVERY)

    def tell(self, touched: set[str]) -> None:
        """Tell the streams that show any of these."""
        now = time.time()
        if touched:
            self.recent.append((now, touched))
        while self.recent and self.recent[0][0] < now - KEPT:
            self.since = self.recent.popleft()[0]
        for stream in self.streams:
            stream.tell(touched)

    def add(self, stream: Stream, made: float) -> None:
        """Add a stream of a page that was made at a time; tell it if something may have been touched since then."""
        if not self.streams:
            # The reader of the events has rested.
            self.since = time.time()
            self.recent.clear()
        self.streams.add(stream)
        self.someone.set()
        if made - APART < self.since:
            stream.tell()
        for at, touched in self.recent:
            if at > made - APART:
                stream.tell(touched)


def _fresh[R](read: Callable[[], R]) -> Callable[[], R]:
    """Return the read with a connection that is not lost or too old, closed after a fault."""

    def reading() -> R:
        close_old_connections()
        try:
            return read()
        except DatabaseError:
            connection.close()
            raise

    return reading


def reader_of(key: str, token: str) -> tuple[Shown, object]:
    """Return what the page of a token shows, and the reader's rights, by a session's key. Raises PermissionError."""
    request = HttpRequest()
    request.session = _sessions.SessionStore(key)
    account = get_user(request)
    if not isinstance(account, Account) or not account.is_staff:
        raise PermissionError("no session")
    rights = read_rights(account)
    if not rights.may("read"):
        raise PermissionError("no role")
    try:
        return shown_by(token, rights), (rights.grants, rights.levels)
    except signing.BadSignature as wrong:
        raise PermissionError(str(wrong)) from wrong


async def _refuse(send: Send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def stream(hub: Hub, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
    """Serve one stream until the page is closed or its reader may no longer look."""
    loop, given = asyncio.get_running_loop(), {name: value.decode("latin-1") for name, value in scope["headers"]}
    # A page whose server has another port, as in trials, is another origin: it is answered, others are not.
    own = urlsplit(settings.BASE_URL)
    origin = f"{own.scheme}://{own.netloc}".encode()
    headers = [*HEADERS, (b"access-control-allow-origin", origin), (b"access-control-allow-credentials", b"true")]
    try:
        cookies = SimpleCookie(given.get(b"cookie", ""))
    except CookieError:
        cookies = SimpleCookie()
    session = cookies.get(settings.SESSION_COOKIE_NAME)
    token = parse_qs(scope["query_string"].decode("latin-1")).get("of", [""])[0]
    key = session.value if session is not None else ""

    async def check() -> tuple[Shown, object]:
        return await loop.run_in_executor(hub.checking, _fresh(lambda: reader_of(key, token)))

    try:
        shown, rights = await check()
    except PermissionError:
        return await _refuse(send, 403, headers)
    except DatabaseError:
        return await _refuse(send, 503, headers)
    mine = Stream(shown.labels, f"environments.Account:{shown.account}")
    theirs = sum(one.reader == mine.reader for one in hub.streams)
    if len(hub.streams) >= MOST_STREAMS or theirs >= MOST_OF_ONE_READER:
        return await _refuse(send, 503, headers)
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"retry: 3000\nevent: open\ndata:\n\n", "more_body": True})
    hub.add(mine, shown.made)
    gone = asyncio.ensure_future(_gone(receive))
    checked = loop.time()
    try:
        while not gone.done():
            awake = asyncio.ensure_future(mine.awake.wait())
            await asyncio.wait([awake, gone], timeout=CHECK_EVERY, return_when=asyncio.FIRST_COMPLETED)
            awake.cancel()
            mine.awake.clear()
            if gone.done():
                break
            if mine.recheck or loop.time() - checked >= CHECK_EVERY:
                checked, mine.recheck = loop.time(), False
                with contextlib.suppress(DatabaseError):
                    shown, now = await check()
                    if now != rights:
                        raise PermissionError("the grants have changed")
                    mine.shown = shown.labels
            words = b": still here\n\n"
            if mine.changed:
                mine.changed = False
                words = b"event: changed\ndata:\n\n"
            await send({"type": "http.response.body", "body": words, "more_body": True})
    except PermissionError:
        await send({"type": "http.response.body", "body": b"event: end\ndata:\n\n", "more_body": False})
    finally:
        hub.streams.discard(mine)
        gone.cancel()


guard()
_hub: Hub | None = None


async def application(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
    """Answer `/live/` with a stream, `/health/` with 200, and all else with 404."""
    global _hub
    if scope["type"] == "lifespan":
        await receive()
        _hub = Hub()
        running = asyncio.ensure_future(_hub.run())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        running.cancel()
        return await send({"type": "lifespan.shutdown.complete"})
    if scope["type"] != "http":
        return None
    if scope["path"] == "/live/" and scope["method"] == "GET":
        assert _hub is not None
        return await stream(_hub, scope, receive, send)
    return await _refuse(send, 200 if scope["path"] == "/health/" else 404, [])
