"""Sign-in by SAML at a real provider: by an invitation, by a connection, and never as a signature."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from allauth.mfa.models import Authenticator
from lxml import etree

from audit.actor import acting
from audit.models import Event
from audit.operation import operation
from environments.admin import rights
from environments.models import AccessGrant, Account, ExternalIdentity, ProviderKey
from environments.models.access_grant import AccessGrantManager
from environments.operations.account.invite import invite
from environments.single_sign_on.configured import readable
from tests.environments.single_sign_on.conftest import BASE
from tests.environments.single_sign_on.saml import (
    ANSWER,
    DOCTYPE,
    PAST,
    SamlBrowser,
    SamlProvider,
    make_key,
    read,
    resigned,
    setting,
    written,
)
from tests.environments.single_sign_on.test_groups import GROUP, ruled
from tests.environments.single_sign_on.test_sign_in import COMMAND, connected, proving, without_password

MFA = "https://refeds.org/profile/mfa"


def test_a_connected_person_signs_in(saml: SamlProvider, people: dict[str, Any]) -> None:
    visitor = SamlBrowser()
    assert 'href="/account/single-sign-on/"' in visitor.client.get("/account/login/").content.decode()
    done = visitor.get("/account/single-sign-on/")
    assert visitor.account == str(people["outsider"].pk)
    assert done.status_code == 302 and done.headers["location"] == "/admin/", "RelayState leads nowhere"
    event = Event.objects.get(operation="session:sign_in", kind="access")
    assert event.contents["after"]["method"] == "saml"


def test_own_factors_are_asked_for_and_no_address_is_compared(saml: SamlProvider, people: dict[str, Any]) -> None:
    connected(people["developer"], saml.issuer, "u-2")
    saml.person("u-2")
    visitor = SamlBrowser()
    assert "/account/mfa/authenticate/" in visitor.get("/account/single-sign-on/").headers["location"]
    assert not visitor.account
    saml.person("developer", email=people["developer"].email)
    refused = SamlBrowser().get("/account/single-sign-on/")
    assert refused.status_code == 403 and "No account is connected" in refused.content.decode()


def test_an_openid_identity_of_the_same_names_is_another(
    saml: SamlProvider, people: dict[str, Any], settings: Any
) -> None:
    """Keycloak calls itself the same in both protocols."""
    connected(people["developer"], saml.entity_id, "u-7")
    saml.person("u-7")
    visitor = SamlBrowser()
    assert visitor.get("/account/single-sign-on/").status_code == 403 and not visitor.account


def test_the_request_and_the_metadata_say_what_is_wanted(saml: SamlProvider, people: dict[str, Any]) -> None:
    root = etree.fromstring(SamlBrowser().client.get("/account/single-sign-on/saml/metadata/").content)
    assert root.get("entityID") == f"{BASE}/account/single-sign-on/saml/metadata/"
    (part,) = root
    assert part.get("WantAssertionsSigned") == "true" and part[-1].get("Location") == f"{BASE}{ANSWER}"
    query = parse_qs(urlsplit(SamlBrowser().asked("/account/single-sign-on/")).query)
    assert query.keys() == {"SAMLRequest"}


def test_an_invitation_is_taken_after_a_look(saml: SamlProvider, people: dict[str, Any]) -> None:
    account = people["tester"]
    with acting(COMMAND):
        secret = invite(account.pk).secret.split("/")[-2]
    saml.person("u-3", email="t@example.org")
    visitor = SamlBrowser()
    asked = visitor.get(f"/account/single-sign-on/invitation/{secret}/")
    assert "as t@example.org at Example" in asked.content.decode() and not visitor.account
    visitor.client.post("/account/single-sign-on/go-on/")
    assert visitor.account == str(account.pk)
    assert ExternalIdentity.objects.get(account=account).issuer == saml.issuer
    account.refresh_from_db()
    assert not account.has_usable_password()


def test_a_session_at_the_provider_takes_no_invitation(saml: SamlProvider, people: dict[str, Any]) -> None:
    with acting(COMMAND):
        secret = invite(people["tester"].pk).secret.split("/")[-2]
    visitor = SamlBrowser()
    saml.person("u-3")
    text = read(visitor.answered(visitor.asked(f"/account/single-sign-on/invitation/{secret}/")))
    old = resigned(text, saml, setting("./a:AuthnStatement", "AuthnInstant", PAST))
    answer = visitor.send(written(old))
    assert answer.status_code == 403 and "did not ask who you are" in answer.content.decode()


def test_one_connects_ones_own_account(saml: SamlProvider, people: dict[str, Any], browsers: Any) -> None:
    mine = SamlBrowser(proving(browsers, people["developer"]))
    saml.person("u-4")
    mine.get("/account/single-sign-on/connect/?go=1")
    assert not ExternalIdentity.objects.filter(account=people["developer"]).exists()
    mine.client.post("/account/single-sign-on/go-on/")
    assert ExternalIdentity.objects.get(account=people["developer"]).subject == "u-4"


def test_an_attribute_may_be_the_name(saml: SamlProvider, people: dict[str, Any], settings: Any, caplog: Any) -> None:
    settings.SAML_SUBJECT_ATTRIBUTE = "uid"
    saml.person("anything", uid="u-1", options={"nameIdentifierFormat": "urn:oasis:names:tc:SAML:2.0:x"})
    visitor = SamlBrowser()
    visitor.get("/account/single-sign-on/")
    assert visitor.account == str(people["outsider"].pk)
    for wrong in (["u-1", "u-2"], None):
        saml.person("u-1", uid=wrong or [])
        other = SamlBrowser()
        assert other.get("/account/single-sign-on/").status_code == 403 and not other.account


def test_groups_give_roles(saml: SamlProvider, people: dict[str, Any], acting_as: Any, settings: Any) -> None:
    settings.SAML_GROUPS_ATTRIBUTE = "groups"
    rule = ruled(acting_as)
    saml.person("u-1", groups=[GROUP, "others"])
    SamlBrowser().get("/account/single-sign-on/")
    grant = AccessGrant.objects.get(group_role=rule)
    assert (grant.account, grant.granted_by) == (people["outsider"], None)
    saml.person("u-1", groups=["others"])
    SamlBrowser().get("/account/single-sign-on/")
    assert not AccessGrant.objects.lasting().filter(group_role=rule).exists()


@pytest.mark.parametrize("counts", [True, False])
def test_the_providers_second_factor_counts_where_it_is_named(
    saml: SamlProvider, people: dict[str, Any], settings: Any, counts: bool
) -> None:
    settings.SAML_SECOND_FACTOR = [MFA]
    connected(people["developer"], saml.issuer, "u-2")
    saml.person("u-2", acr=MFA if counts else "urn:oasis:names:tc:SAML:2.0:ac:classes:Password")
    visitor = SamlBrowser()
    visitor.get("/account/single-sign-on/")
    assert bool(visitor.account) is counts


def test_a_sign_in_signs_nothing(
    saml: SamlProvider, people: dict[str, Any], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither does one that the person was asked for again, with two factors."""
    monkeypatch.setattr(AccessGrantManager, "_now", None)
    monkeypatch.setattr(rights, "_grants_with_cells", rights._grants_with_cells.__wrapped__)
    settings.SAML_SECOND_FACTOR = [MFA]
    account = people["administrator"]
    without_password(account)
    with acting(COMMAND), operation("test:alter", (Account, account.pk)):
        Authenticator.objects.filter(user=account).delete()
    connected(account, saml.issuer, "u-5", second_factor=True)
    saml.person("u-5", acr=MFA)
    mine = SamlBrowser()
    mine.get("/account/single-sign-on/")
    assert mine.account == str(account.pk)
    path = f"/admin/operation/account/invite/{people['tester'].pk}/"

    def signs() -> None:
        answer = mine.client.post(path, {"reason": "lost device"}, headers={"accept-language": "en"})
        assert answer.status_code == 401 and "Add a passkey" in answer.content.decode()
        assert not Account.objects.get(pk=people["tester"].pk).invitation

    signs()
    assert "/single-sign-on/prove/" in mine.client.get("/account/mfa/totp/activate/").headers["location"]
    mine.get("/account/single-sign-on/prove/?next=/account/mfa/totp/activate/&go=1")
    done = mine.client.post("/account/single-sign-on/go-on/", {"next": "/account/mfa/totp/activate/"})
    assert done.headers["location"] == "/account/mfa/totp/activate/"
    assert mine.client.get("/account/mfa/totp/activate/").status_code == 200
    signs()
    assert not ProviderKey.objects.exists()


def test_a_sign_in_is_no_proof_for_who_has_a_password(
    saml: SamlProvider, people: dict[str, Any], browsers: Any
) -> None:
    connected(people["developer"], saml.issuer, "u-2")
    answer = browsers("developer").get("/account/single-sign-on/prove/?go=1", headers={"accept-language": "en"})
    assert answer.status_code == 403 and "no signature" in answer.content.decode()


def test_without_saml_there_are_no_such_pages(people: dict[str, Any]) -> None:
    visitor = SamlBrowser()
    assert visitor.client.post(ANSWER, {"SAMLResponse": "x", "here": "1"}).status_code == 404
    assert visitor.client.get("/account/single-sign-on/saml/metadata/").status_code == 404


def test_metadata_that_cannot_be_used_is_refused(running_saml: SamlProvider, tmp_path: Path) -> None:

    good = running_saml.metadata()
    assert readable(good) and readable("\ufeff" + good)
    make_key(tmp_path, "small", bits=1024)
    small = SamlProvider(1, tmp_path).metadata("small")
    for wrong in (
        "",
        "no XML",
        DOCTYPE + good,
        small,
        good.replace("HTTP-Redirect", "HTTP-POST"),
        good.replace('Location="http://localhost', 'Location="http://id.example'),
        good.replace("IDPSSODescriptor", "SPSSODescriptor"),
        good.replace('use="signing"', 'use="encryption"'),
        good.replace("X509Certificate>M", "X509Certificate>A"),
        good.replace(running_saml.entity_id + '">', "x" * 251 + '">'),
        f"<EntitiesDescriptor>{good}</EntitiesDescriptor>",
    ):
        assert not readable(wrong), wrong
