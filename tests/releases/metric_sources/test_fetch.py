"""Requests over the network: to allowed addresses, once, without redirects."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from environments.connectivity import addresses
from environments.connectivity.addresses import fault_of, listed_by, networks, unwrapped
from environments.targets.base import TargetSpec
from releases.metric_sources.fetch import NoAnswer, ask, fetch
from tests.releases.metric_sources.pages import Page, Site, site

# Each address reaches, or could reach, a service meant for this machine or its neighbours; none is listed.
REFUSED = (
    "http://127.0.0.1:{port}/",
    "http://127.1:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0x7f.1:{port}/",
    "http://017700000001:{port}/",
    "http://127.255.255.254:{port}/",
    "http://localhost:{port}/",
    "http://LOCALHOST.:{port}/",
    "http://0.0.0.0:{port}/",
    "http://0:{port}/",
    "http://[::]:{port}/",
    "http://[::1]:{port}/",
    "http://[0:0:0:0:0:0:0:1]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[::127.0.0.1]:{port}/",
    "http://[64:ff9b::7f00:1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fe80::1]/",
    "http://[fd00:ec2::254]/",
    "http://192.0.0.192/",
    "http://198.18.0.1/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://240.0.0.1/",
    "http://[ff02::1]/",
    "http://user:password@127.0.0.1:{port}/",
    "http://example.com@127.0.0.1:{port}/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/",
    "ftp://127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "http://",
    "http://127.0.0.1:99999/",
)


@pytest.fixture
def pages() -> Iterator[Site]:
    with site() as running:
        running.pages["/"] = [Page("inside")]
        yield running


@pytest.mark.parametrize("url", REFUSED)
def test_an_unlisted_address_is_never_requested(url: str, pages: Site) -> None:
    port = pages.base.rsplit(":", 1)[1]
    with pytest.raises(NoAnswer, match="does not list|never asked|is not http|can't be re"):
        fetch(url.format(port=port), seconds=2)
    assert pages.asked == []


@pytest.mark.parametrize("listed", ["127.0.0.1", "127.0.0.0/8"])
def test_a_private_address_listed_by_the_target_is_requested(listed: str, pages: Site) -> None:
    assert fetch(f"{pages.base}/", seconds=2, listed=networks([listed])).body == b"inside"
    with pytest.raises(NoAnswer, match="does not list"):
        fetch(f"{pages.base}/", seconds=2, listed=networks(["10.0.0.0/8", "::1"]))


@pytest.mark.parametrize(
    "never", ["169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255", "240.0.0.1", "fe80::1"]
)
def test_some_addresses_are_never_requested_even_when_listed(never: str) -> None:
    assert "never" in fault_of(ip_address(never), networks(["0.0.0.0/0", "::/0"]))


@pytest.mark.parametrize("public", ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_public_addresses_may_be_requested(public: str) -> None:
    assert fault_of(ip_address(public)) == ""


def test_a_wrapped_address_is_checked_as_its_inner_address() -> None:
    for wrapped in ("::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::"):
        assert str(unwrapped(ip_address(wrapped))) == "10.0.0.1"
    assert str(unwrapped(ip_address("::1"))) == "::1"


def test_a_targets_list_includes_the_hosts_of_its_own_urls() -> None:
    settings: dict[str, Any] = {
        "private_networks": ["10.1.0.0/16", "nonsense"],
        "urls": {"base": "http://127.0.0.1:8000", "other": "https://datasets.example"},
        "metrics_url": "http://[::1]:9090/metrics",
    }
    assert set(listed_by(settings)) == set(networks(["10.1.0.0/16", "127.0.0.1", "::1"]))
    assert listed_by({"private_networks": "127.0.0.1", "urls": "http://127.0.0.1"}) == ()


def test_a_name_is_resolved_once_and_the_checked_address_is_contacted(
    pages: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second look-up would name another machine; the product makes none."""
    port = int(pages.base.rsplit(":", 1)[1])
    answers = ["127.0.0.1", "127.0.0.2"]
    asked: list[str] = []

    def resolve(host: str, at: int, **_options: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers[len(asked) - 1], at))]

    monkeypatch.setattr(addresses.socket, "getaddrinfo", resolve)
    target = TargetSpec("a", "e", Path("/"), {"private_networks": ["127.0.0.1"]})
    assert ask(f"http://service.example:{port}/", target, seconds=2).body == b"inside"
    assert asked == ["service.example"]
    with pytest.raises(NoAnswer, match="127.0.0.2"):
        ask(f"http://service.example:{port}/", target, seconds=2)


def test_one_forbidden_address_refuses_the_whole_name(pages: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 80)) for host in ("1.1.1.1", "10.0.0.1")]
    monkeypatch.setattr(addresses.socket, "getaddrinfo", lambda *_a, **_o: both)
    with pytest.raises(NoAnswer, match="10.0.0.1"):
        fetch("http://service.example/", seconds=2)


def test_a_redirect_is_an_answer_and_not_followed(pages: Site) -> None:
    pages.pages["/"] = [Page("", 302, {"Location": "/inside"})]
    answer = fetch(f"{pages.base}/", seconds=2, listed=networks(["127.0.0.1"]))
    assert (answer.status, answer.headers["location"], pages.asked) == (302, "/inside", ["/"])


def test_a_hanging_resolver_costs_no_more_than_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:

    ended = threading.Event()
    monkeypatch.setattr(addresses.socket, "getaddrinfo", lambda *_a, **_o: ended.wait(30))
    began = time.monotonic()
    with pytest.raises(NoAnswer, match="not resolved"):
        fetch("http://service.example/", seconds=0.2)
    ended.set()
    assert time.monotonic() - began < 2
