"""The policy of the pages in a real browser: what they need runs, what is injected does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from releases.models import Release
from tests.browser.person import Person
from tests.releases.admin.test_pages import addresses

HEARD = (
    "window.heard = []; document.addEventListener('securitypolicyviolation', e => "
    "heard.push(e.violatedDirective + ' ' + e.blockedURI))"
)


@pytest.mark.timeout(600)
def test_no_page_breaks_its_policy_and_alpine_works(seeded: dict[str, Any], person: Callable[..., Person]) -> None:
    auditor = person("auditor")
    auditor.page.add_init_script(HEARD)
    said: list[str] = []
    auditor.page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    pages = addresses(seeded)
    for address in [*pages[::4], "/account/mfa/", "/account/password/change/", "/api/v1/docs"]:
        auditor.page.goto(auditor.site + address)
        assert auditor.page.evaluate("heard") == [], address
    assert not [line for line in said if "Content Security Policy" in line or "Alpine" in line]
    auditor.page.goto(auditor.site + "/admin/releases/release/")
    assert auditor.page.evaluate("typeof window.Alpine") == "object"


def test_injected_mark_up_runs_nothing(seeded: dict[str, Any], person: Callable[..., Person]) -> None:
    auditor = person("auditor")
    auditor.page.add_init_script(HEARD)
    row = Release.objects.get(pk=seeded["review"].pk)
    for address in (f"/admin/release/{row.pk}/", "/account/mfa/"):
        auditor.page.goto(auditor.site + address)
        auditor.page.evaluate(
            "const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s);"
            "document.body.insertAdjacentHTML('beforeend', '<img src=\"x\" onerror=\"window.ran = 2\">')"
        )
        # What the tests' own tool evaluates is let through; what the page itself evaluates is not.
        auditor.page.evaluate(
            "setTimeout(() => { try { window.eval('1'); window.evaluates = true } catch { window.evaluates = false } })"
        )
        until(lambda: auditor.page.evaluate("heard.length >= 2 && 'evaluates' in window"))
        assert auditor.page.evaluate("window.ran") is None
        assert auditor.page.evaluate("window.evaluates") is address.startswith("/admin/"), address


def until(found: Callable[[], Any]) -> None:
    """Look for up to 30 s until it is so."""
    deadline = time.monotonic() + 30
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.05)
