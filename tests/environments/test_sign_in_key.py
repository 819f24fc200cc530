"""A security key in a real browser: added on one's own page, asked for at the sign-in, and signed with."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from playwright.sync_api import Browser, Page

from audit.models import Event
from environments.models import Environment
from tests.browser.conftest import chromium, site, static_files
from tests.conftest import PASSWORD

__all__ = ["chromium", "site", "static_files"]


@pytest.fixture
def page(chromium: Browser, site: str) -> Any:
    """A page of a browser that has a key, at the name by which browsers allow keys without TLS."""
    context = chromium.new_context(base_url=site.replace("127.0.0.1", "localhost"), locale="en-GB")
    made = context.new_page()
    session = context.new_cdp_session(made)
    session.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    options |= {"isUserVerified": True, "automaticPresenceSimulation": True}
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    yield made
    context.close()


def sign_in(page: Page, name: str) -> None:
    page.goto("/account/login/")
    page.locator("#id_login").fill(name)
    page.locator("#id_password").fill(PASSWORD)
    with page.expect_navigation():
        page.locator("main form.r-form button.main").click()


def test_a_key_is_added_asked_for_and_signed_with(people: dict[str, Any], page: Page) -> None:
    sign_in(page, "administrator")
    page.goto("/account/mfa/webauthn/add/")
    if "reauthenticate" in page.url:
        page.locator("#id_password").fill(PASSWORD)
        with page.expect_navigation():
            page.locator("main form.r-form button.main").click()
    page.locator("#id_name").fill("desk")
    with page.expect_navigation(url="**/account/mfa/recovery-codes/"):
        page.locator("#add_key").click()
    assert page.locator(".r-codes li").count() == 10
    assert Authenticator.objects.filter(user=people["administrator"], type="webauthn").count() == 1
    page.goto("/account/mfa/webauthn/")
    assert "desk" in page.locator("main").inner_text()

    page.context.clear_cookies()
    sign_in(page, "administrator")
    assert "/account/mfa/authenticate/" in page.url, "the password alone is not enough"
    with page.expect_navigation(url="**/admin/"):
        page.locator("#use_key").click()

    production = Environment.objects.get(slug="production")
    page.goto(f"/admin/act/environment/demand_mfa/{production.pk}/")
    page.locator('[name="reason"]').fill("policy")
    with page.expect_navigation():
        page.locator("form.r-form button.main").click()
    assert Environment.objects.get(pk=production.pk).demands_mfa, page.locator("body").inner_text()
    event = Event.objects.get(action="environment:demand_mfa", kind="action")
    assert b"webauthn" in bytes(event.bytes)
