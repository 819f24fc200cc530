"""Notification addresses: no private network off the list, TLS outside, and only allowed hosts."""

from __future__ import annotations

import socketserver
import threading
import time
from ipaddress import ip_network

import pytest

from releases.channel_types import guard
from releases.channel_types.base import Address, NotDelivered
from releases.channel_types.guard import fault_of, post
from tests.releases.channel_types.messages import near
from tests.releases.channel_types.receivers import receiver


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x",
        "http://localhost/x",
        "https://10.0.0.1/x",
        "http://[::1]/x",
        "http://169.254.169.254/x",
        "http://[::ffff:127.0.0.1]/x",
        "http://0x7f.1/x",
        "ftp://8.8.8.8/x",
        "https://user:word@8.8.8.8/",
        "mailto:a@b",
        "https:///x",
        "https://8.8.8.8:99999/",
    ],
)
def test_a_forbidden_address_is_refused_on_entry(url: str) -> None:
    assert fault_of(Address(url))


def test_a_private_network_is_reached_only_when_listed() -> None:
    with receiver() as running:
        assert not fault_of(near(running.base))
        with pytest.raises(NotDelivered, match="private"):
            post(Address(running.base), b"{}", {})
        with pytest.raises(NotDelivered, match="private"):
            post(near(running.base, networks=(ip_network("10.0.0.0/8"),)), b"{}", {})
        assert not running.posted
        assert post(near(running.base), b"{}", {}).status == 200


def test_a_listed_network_never_includes_cloud_metadata() -> None:
    assert fault_of(near("http://169.254.169.254/", networks=(ip_network("0.0.0.0/0"),)))


def test_external_addresses_require_tls() -> None:
    assert "https" in fault_of(Address("http://8.8.8.8/hook")) and not fault_of(Address("https://8.8.8.8/hook"))


def test_a_host_list_allows_only_its_hosts() -> None:
    with receiver() as running:
        allowed = near(running.base, hosts=("127.0.0.1",))
        other = near(running.base, hosts=("hooks.slack.com",))
        assert not fault_of(allowed) and fault_of(other)
        with pytest.raises(NotDelivered, match="list"):
            post(other, b"{}", {})
        assert not running.posted


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_slow_host_is_left_at_the_deadline_even_before_tls(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "PATIENCE", 1.0)
    over = threading.Event()

    class Dripping(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            """Begin a record of the handshake, or a header, and never end it."""
            begun = b"\x16\x03\x03\x3f\xff" if scheme == "https" else b"HTTP/1.1 200 OK\r\nx: "
            for byte in (begun, *[b"\x02"] * 200):
                try:
                    self.request.sendall(byte)
                except OSError:
                    return
                if over.wait(0.1):
                    return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Dripping) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        began = time.monotonic()
        try:
            with pytest.raises(NotDelivered, match="no complete answer within 1 s"):
                post(near(f"{scheme}://127.0.0.1:{server.server_address[1]}/"), b"{}", {})
        finally:
            over.set()
            server.shutdown()
            thread.join()
    assert time.monotonic() - began < 3
