"""A security key in a real browser: added on one's own page, asked for at the sign-in, and signed with."""

from __future__ import annotations

import json
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.db import connection
from playwright.sync_api import Browser, Page

from audit.ledger.link import link_pending
from audit.models import Event, LedgerEntry
from audit.offline.ringi_verify import Broken, Passkeys, from_base64url, to_base64url
from environments.models import Environment
from releases.demo.site import one_time
from tests.browser.conftest import chromium, sample_repository, site, static_files, world, world_template
from tests.conftest import PASSWORD, factor_secret

__all__ = ["chromium", "sample_repository", "site", "static_files", "world", "world_template"]


def _other_digest(event: Any) -> None:
    event["after"]["signature"]["digest"] = "0" * 64


def _other_digests(event: Any) -> None:
    event["after"]["signature"]["digest"] = "0" * 64
    event["after"]["assertion"]["contents"] = [f"{event['operation']} {'0' * 64}"]


def _other_operation(event: Any) -> None:
    event["operation"] = "approval:reject"


def _other_person(event: Any) -> None:
    event["actor"] = "person:1:somebody"


def _other_signature(event: Any) -> None:
    made = bytearray(from_base64url(event["after"]["assertion"]["signature"]))
    made[-1] ^= 1
    event["after"]["assertion"]["signature"] = to_base64url(bytes(made))


def _unverified(event: Any) -> None:
    data = bytearray(from_base64url(event["after"]["assertion"]["authenticator_data"]))
    data[32] &= ~4
    event["after"]["assertion"]["authenticator_data"] = to_base64url(bytes(data))


FORGERIES = [_other_digest, _other_digests, _other_operation, _other_person, _other_signature, _unverified]


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


def by_code(page: Page, name: str) -> None:
    """Go on with the code of the authenticator app that everybody of the cast has."""
    for _try in range(2):  # On a busy machine the first code may be too old when it arrives.
        page.locator("#id_code").fill(one_time(factor_secret(name)))
        with page.expect_navigation():
            page.locator("main form.r-form button.main").first.click()
        if "/account/mfa/authenticate/" not in page.url:
            return
    raise AssertionError(page.locator("main").inner_text())


def add_key(page: Page) -> None:
    page.goto("/account/mfa/webauthn/add/")
    if "reauthenticate" in page.url:
        page.locator("#id_password").fill(PASSWORD)
        with page.expect_navigation():
            page.locator("main form.r-form button.main").click()
    page.locator("#id_name").fill("desk")
    with page.expect_navigation(url="**/account/mfa/recovery-codes/"):
        page.locator("#add_key").click()


def by_key(page: Page, name: str) -> None:
    """Sign in again, with password and key; the proof for the key's page is gone."""
    page.context.clear_cookies()
    sign_in(page, name)
    assert "/account/mfa/authenticate/" in page.url, "the password alone is not enough"
    with page.expect_navigation(url="**/admin/"):
        page.locator("#use_key").click()


def test_a_key_is_added_asked_for_and_signed_with(people: dict[str, Any], page: Page) -> None:
    sign_in(page, "administrator")
    by_code(page, "administrator")
    add_key(page)
    assert page.locator(".r-codes li").count() == 10
    assert Authenticator.objects.filter(user=people["administrator"], type="webauthn").count() == 1
    page.goto("/account/mfa/webauthn/")
    assert "desk" in page.locator("main").inner_text()

    by_key(page, "administrator")

    production = Environment.objects.get(slug="production")
    page.goto(f"/admin/operation/environment/require_two_factor/{production.pk}/")
    page.locator('[name="reason"]').fill("policy")
    with page.expect_navigation():
        page.locator("form.r-form button.main").click()
    with page.expect_navigation():
        page.locator("#use_key").click()
    assert Environment.objects.get(pk=production.pk).requires_two_factor, page.locator("body").inner_text()
    event = Event.objects.get(operation="environment:require_two_factor", kind="operation")
    assert b"webauthn" in bytes(event.bytes)


def test_an_approval_signed_with_a_passkey_keeps_what_the_key_signed(world: Any, page: Page) -> None:
    """A password is not asked for; the export shows offline that this key signed this digest, and nothing else does."""
    _release, approval_request = world.submitted()
    sign_in(page, "committee_a")
    by_code(page, "committee_a")
    add_key(page)
    by_key(page, "committee_a")

    page.goto(f"/admin/approval-request/{approval_request.pk}/")
    page.locator('[name="comment"]').fill("read")
    with page.expect_navigation():
        page.locator("form.r-form button.main").click()
    assert "/account/mfa/webauthn/reauthenticate/" in page.url, page.locator("body").inner_text()
    assert world.fresh(approval_request).digest in page.locator("main").inner_text()
    with page.expect_navigation(url=f"**/admin/approval-request/{approval_request.pk}/"):
        page.locator("#use_key").click()
    assert approval_request.decisions.get().account.username == "committee_a"
    event = Event.objects.get(
        operation="approval:approve", kind="operation", object=f"releases.ApprovalRequest:{approval_request.pk}"
    )
    after = json.loads(bytes(event.bytes))["after"]
    assert after["signature"]["method"] == "webauthn"
    assert after["assertion"]["contents"] == [f"approval:approve {world.fresh(approval_request).digest}"]
    link_pending(connection)
    links = LedgerEntry.objects.order_by("number").select_related("event")
    events = [json.loads(bytes(link.event.bytes)) for link in links]
    number = next(place for place, one in enumerate(events, 1) if one["id"] == str(event.id))

    def heard(changed: dict[int, Any]) -> None:
        passkeys = Passkeys()
        for place, one in enumerate(events, 1):
            passkeys.hear(place, changed.get(place, one))

    heard({})
    for forge in FORGERIES:
        forged = json.loads(bytes(event.bytes))
        forge(forged)
        with pytest.raises(Broken) as broken:
            heard({number: forged})
        assert broken.value.number == number
    added = next(place for place, one in enumerate(events, 1) if one["operation"] == "account:add_passkey")
    with pytest.raises(Broken):
        heard({added: {**events[added - 1], "object": f"environments.Account:{world.people['committee_b'].pk}"}})
