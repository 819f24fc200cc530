"""What a page weighs in a real browser: all bytes of its first visit, and those of the next one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from tests.browser.person import Person

COLD, WARM = 300_000, 60_000


def received(reader: Person, address: str) -> tuple[int, list[str]]:
    """Return the bytes that came over the network for one visit, and the addresses that were asked for."""
    session = reader.context.new_cdp_session(reader.page)
    session.send("Network.enable")
    sizes: list[int] = []
    asked: list[str] = []
    session.on("Network.loadingFinished", lambda event: sizes.append(int(event["encodedDataLength"])))
    session.on("Network.responseReceived", lambda event: asked.append(event["response"]["url"]))
    assert reader.go(address).status == 200
    reader.page.wait_for_load_state("networkidle")
    session.detach()
    return sum(sizes), asked


@pytest.mark.parametrize("name", ["my-tasks", "release", "deployment", "list"])
def test_a_page_is_light_and_lighter_the_second_time(
    name: str, seeded: dict[str, Any], person: Callable[..., Person]
) -> None:
    address = {
        "my-tasks": reverse("admin:index"),
        "release": reverse("release", args=[seeded["review"].pk]),
        "deployment": reverse("deployment", args=[seeded["back"].pk]),
        "list": reverse("admin:releases_release_changelist"),
    }[name]
    reader = person("manager")
    cold, asked = received(reader, address)
    warm, _ = received(reader, address)
    assert 20_000 < cold <= COLD and 1_000 < warm <= WARM, (cold, warm, asked)
    print(f"{name}: {cold} bytes cold, {warm} warm, {len(asked)} requests")


def test_a_static_file_is_compressed_and_kept_for_a_year(seeded: dict[str, Any], person: Callable[..., Person]) -> None:
    reader = person("manager")
    reader.go(reverse("admin:index"))
    for suffix in ("ringi.", "styles."):
        address = reader.page.locator(f'link[rel=stylesheet][href*="/{suffix}"]').last.get_attribute("href")
        answer = reader.page.request.get(reader.site + str(address))
        assert answer.status == 200 and answer.headers["content-encoding"] == "gzip", address
        kept = int(answer.headers["cache-control"].split("max-age=")[1].split(",")[0])
        assert kept >= 365 * 86400 and "immutable" in answer.headers["cache-control"]


def test_icons_are_drawn_and_not_spelt_out(seeded: dict[str, Any], person: Callable[..., Person]) -> None:
    """The name of an icon that its font lacks is many times as wide as high."""
    reader = person("auditor")
    for address in (reverse("admin:index"), reverse("admin:releases_release_changelist")):
        reader.go(address)
        reader.page.evaluate("document.fonts.ready")
        wide = reader.page.evaluate(
            "[...document.querySelectorAll('.material-symbols-outlined')].filter(e => e.offsetWidth > 0)"
            ".map(e => [e.textContent.trim(), e.scrollWidth / parseFloat(getComputedStyle(e).fontSize)])"
        )
        assert len(wide) > 10 and [name for name, width in wide if width > 1.3] == []
