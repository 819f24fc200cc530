"""Messages and addresses for the tests of channels."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

from releases.channel_types.base import Address, OutgoingMessage
from releases.notifications.templates.html import html_of

LOOPBACK = (ip_network("127.0.0.0/8"),)


def message(**changed: Any) -> OutgoingMessage:
    """Return a message in Japanese."""
    values: dict[str, Any] = {
        "key": "msg_2b1f",
        "event": "release:announce",
        "language": "ja",
        "subject": "【リリース予定】データセット基盤 1.3.0",
        "text": "次の時間帯にリリースします。\n\n- タグで絞り込める\n- <script>を含む題名",
        "url": "https://ringi.example/admin/release/7/",
        "at": datetime(2026, 12, 15, 16, tzinfo=UTC),
    } | changed
    values.setdefault("html", html_of(values["subject"], values["text"], values["url"], values["language"]))
    return OutgoingMessage(**values)


def near(to: str, **changed: Any) -> Address:
    """Return a loopback address that is on the allowed list."""
    return Address(to, **({"networks": LOOPBACK} | changed))
