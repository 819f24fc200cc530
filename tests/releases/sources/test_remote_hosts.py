"""Hosts that git may contact: none that the address guard refuses, and only at the checked address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from releases.sources.git import (
    Credentials,
    SourceUnavailable,
    reach,
    refresh,
    remote as module,
    tag_object,
    wrong_address,
)

from .repositories import SSHD, key, over_http, over_ssh
from .test_remote import KNOWN, mirror, origin

__all__ = ["mirror", "origin"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_an_unlisted_host_is_not_contacted(origin: Path, mirror: Path, settings: Any, host: str) -> None:
    asked: list[str] = []
    settings.GIT_NETWORKS = ["10.0.0.0/8"]
    with over_http(origin.parent, asked) as site:
        address = f"{site}/app.git".replace("127.0.0.1", host)
        with pytest.raises(SourceUnavailable, match=f"{host} has an address that is not allowed"):
            refresh(address, mirror, Credentials.of(KNOWN))
        with pytest.raises(SourceUnavailable, match="not allowed"):
            reach(address, Credentials.of(KNOWN))
        assert asked == []
        assert f"{host} has an address that is not allowed" in wrong_address(address)


@pytest.mark.parametrize("scheme", ["https", "ssh"])
def test_cloud_metadata_is_contacted_by_no_list(mirror: Path, tmp_path: Path, settings: Any, scheme: str) -> None:
    settings.GIT_NETWORKS = ["0.0.0.0/0"]
    credentials = Credentials.of({"GIT_SSH_KEY": key(tmp_path / "own").read_text(), "GIT_KNOWN_HOSTS": "x"})
    with pytest.raises(SourceUnavailable, match="not allowed"):
        refresh(f"{scheme}://169.254.169.254/app.git", mirror, credentials, seconds=2)


def test_a_host_name_that_does_not_resolve_now_may_be_entered(mirror: Path) -> None:
    assert wrong_address("https://git.invalid/app.git") == "" == wrong_address("/srv/app.git")
    with pytest.raises(SourceUnavailable, match="the name can't be resolved"):
        refresh("https://git.invalid/app.git", mirror)


def another_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard resolves localhost to 127.0.0.2, while git's resolver returns 127.0.0.1."""
    evaluated = module.places_of
    monkeypatch.setattr(module, "places_of", lambda _host, port, **given: evaluated("127.0.0.2", port, **given))


def test_git_contacts_the_checked_address(origin: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    another_answer(monkeypatch)
    with over_http(origin.parent, address="127.0.0.2") as site:
        refresh(f"{site}/app.git".replace("127.0.0.2", "localhost"), mirror, Credentials.of(KNOWN))
    assert tag_object(mirror, "v1.0.0")


@pytest.mark.skipif(SSHD is None, reason="sshd is not installed")
def test_ssh_contacts_the_checked_address_and_checks_the_host_by_name(
    origin: Path, mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    another_answer(monkeypatch)
    own = key(tmp_path / "own")
    with over_ssh(tmp_path / "sshd", own.with_suffix(".pub"), address="127.0.0.2") as (site, known):
        named = known.replace("127.0.0.2", "localhost")
        credentials = Credentials.of({"GIT_SSH_KEY": own.read_text(), "GIT_KNOWN_HOSTS": named})
        refresh(f"{site}{origin}".replace("127.0.0.2", "localhost"), mirror, credentials)
    assert tag_object(mirror, "v1.0.0")
