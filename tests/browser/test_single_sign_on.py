"""Single sign-on in a real browser: an invitation taken without a password, a sign-in, an approval signed at the
provider; each page in every look.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from audit.actor import acting
from config.development.ports import free_port
from environments.operations.account.invite import invite
from tests.browser.person import Person
from tests.browser.test_pictures import LOOKS, PICTURES
from tests.browser.walk import latin_words
from tests.environments.single_sign_on.conftest import Provider, begun
from tests.environments.single_sign_on.saml import SamlProvider, begun_saml
from tests.releases.gates.asking import COMMAND

MFA = "urn:example:mfa"


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Provider]:
    port = free_port()
    given = {"ISSUER": f"http://127.0.0.1:{port}", "CLIENT_ID": "ringi", "CLIENT_SECRET": "secret", "NAME": "社内認証"}
    given |= {"SECOND_FACTOR": MFA, "GROUPS_CLAIM": "groups"}
    for name, value in given.items():
        monkeypatch.setenv(f"RINGI_OIDC_{name}", value)
    with begun(port, request.getfixturevalue("site")) as running:
        yield running


@pytest.mark.timeout(280)
@pytest.mark.parametrize("look", LOOKS)
def test_an_invitation_is_taken_and_an_approval_signed_at_the_provider(
    look: str, provider: Provider, seeded: dict[str, Any], people: dict[str, Any], person: Callable[..., Person]
) -> None:
    folder, wrong = PICTURES / look, list[str]()
    folder.mkdir(parents=True, exist_ok=True)

    def seen(who: Person, name: str) -> None:
        if over := who.wider_than_the_screen:
            wrong.append(f"{name}: wider than the screen: {over}")
        if look == "ja-light" and (left := [text for text in latin_words(who.page) if "committee_b" not in text]):
            wrong.append(f"{name}: not translated: {left}")
        who.page.screenshot(path=folder / f"{name}.png", full_page=True)

    with acting(COMMAND):
        link = invite(people["committee_b"].pk).secret
    provider.person("17", acr=MFA)
    member = person("committee_b", signed_in=False, **LOOKS[look])
    member.go(f"/invitation/{link.split('/')[-2]}/")
    seen(member, "sso-invitation")
    member.press('a[href^="/account/single-sign-on/invitation/"]')
    seen(member, "sso-take-over")
    member.press("main button.main")
    assert member.path == "/admin/", member.text
    member.go("/account/mfa/")
    seen(member, "sso-account")
    member.context.clear_cookies()
    member.go("/account/login/")
    seen(member, "sso-sign-in")
    member.press('a[href^="/account/single-sign-on/"]')
    assert member.path == "/admin/", member.text

    request = seeded["review"].approval_requests.get()
    member.go(f"/admin/approval-request/{request.pk}/")
    member.fill(comment="確認済み")
    member.press("form.r-form button.main")
    seen(member, "sso-leave")
    member.press("#leave")
    assert member.path == "/account/single-sign-on/return/", member.text
    seen(member, "sso-go-on")
    member.press("main button.main")
    assert request.decisions.filter(account=people["committee_b"]).exists(), member.text

    administrator = person("administrator", **LOOKS[look])
    administrator.go("/admin/operation/group_role/request/")
    seen(administrator, "sso-group-role")
    administrator.send(group="datasets", role="tester", reason="部門の担当者")
    seen(administrator, "sso-group-role-made")
    administrator.go("/admin/environments/grouprole/")
    seen(administrator, "sso-group-roles")
    wrong += [f"console: {heard}" for heard in [*member.complaints, *administrator.complaints]]
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def saml(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SamlProvider]:
    """A provider on `localhost`, which is another site than 127.0.0.1: the browser sends no session with its form."""
    with begun_saml(free_port(), tmp_path) as running:
        (tmp_path / "metadata.xml").write_text(running.metadata())
        monkeypatch.setenv("RINGI_SAML_METADATA_FILE", str(tmp_path / "metadata.xml"))
        monkeypatch.setenv("RINGI_SAML_NAME", "社内認証")
        request.getfixturevalue("site")
        yield running


@pytest.mark.timeout(280)
def test_an_invitation_is_taken_and_a_sign_in_made_by_saml_across_two_sites(
    saml: SamlProvider, seeded: dict[str, Any], people: dict[str, Any], person: Callable[..., Person]
) -> None:
    with acting(COMMAND):
        link = invite(people["tester"].pk).secret
    saml.person("17")
    member = person("tester", signed_in=False, **LOOKS["ja-light"])
    member.go(f"/invitation/{link.split('/')[-2]}/")
    member.press('a[href^="/account/single-sign-on/invitation/"]')
    member.page.wait_for_url(re.compile("/single-sign-on/saml/$"))
    assert "17@example.org" in member.text
    member.press("main button.main")
    assert member.path == "/admin/", member.text
    member.context.clear_cookies()
    member.go("/account/login/")
    member.press('a[href^="/account/single-sign-on/"]')
    member.page.wait_for_url(re.compile("/admin/$"))
    assert not member.complaints
