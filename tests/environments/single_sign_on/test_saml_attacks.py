"""Answers of a real SAML provider that somebody has altered: each is refused, with its cause in the log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from lxml import etree

from audit.models import Event
from tests.environments.single_sign_on.conftest import BASE
from tests.environments.single_sign_on.saml import (
    ANSWER,
    DOCTYPE,
    NAMES,
    PAST,
    SamlBrowser,
    SamlProvider,
    read,
    resigned,
    setting,
    written,
)
from tests.environments.single_sign_on.test_sign_in import connected


def without(path: str) -> Callable[[Any], None]:
    def alter(assertion: Any) -> None:
        for part in assertion.xpath(path, namespaces=NAMES):
            part.getparent().remove(part)

    return alter


def named(name: str) -> Callable[[Any], None]:
    def alter(assertion: Any) -> None:
        assertion.xpath("./a:Subject/a:NameID", namespaces=NAMES)[0].text = name

    return alter


DATA = "./a:Subject/a:SubjectConfirmation/a:SubjectConfirmationData"
FUTURE = "2999-01-01T00:00:00Z"
# What the provider itself would have to sign: each is refused with its right signature.
SIGNED = {
    "expired": setting("./a:Conditions", "NotOnOrAfter", PAST),
    "never expires": setting("./a:Conditions", "NotOnOrAfter", None),
    "not yet": setting("./a:Conditions", "NotBefore", FUTURE),
    "subject expired": setting(DATA, "NotOnOrAfter", PAST),
    "subject never expires": setting(DATA, "NotOnOrAfter", None),
    "no request": setting(DATA, "InResponseTo", None),
    "other request": setting(DATA, "InResponseTo", "_of-another"),
    "no recipient": setting(DATA, "Recipient", None),
    "other recipient": setting(DATA, "Recipient", f"{BASE}{ANSWER}x"),
    "other confirmation": setting("./a:Subject/a:SubjectConfirmation", "Method", "urn:oasis:names:tc:SAML:2.0:cm:x"),
    "transient": setting("./a:Subject/a:NameID", "Format", "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"),
    "no audience": without("./a:Conditions/a:AudienceRestriction"),
    "no conditions": without("./a:Conditions"),
    "no statement": without("./a:AuthnStatement"),
    "no subject": without("./a:Subject"),
    "no issuer": without("./a:Issuer"),
    "blank name": named(" "),
    "padded name": named("u-1 "),
}


def refused(visitor: SamlBrowser, form: dict[str, str], caplog: Any, why: str = "") -> None:
    """Demand that an answer is refused: no session, an event, and the cause in the log."""
    caplog.clear()
    before = Event.objects.filter(operation="session:sign_in", outcome="refused").count()
    with caplog.at_level(logging.WARNING):
        answer = visitor.send(form)
    assert answer.status_code == 403 and not visitor.account
    assert Event.objects.filter(operation="session:sign_in", outcome="refused").count() == before + 1
    assert not Event.objects.filter(operation="session:sign_in", kind="access").exists()
    (said,) = [one.getMessage() for one in caplog.records if "did not confirm" in one.getMessage()]
    assert why in said, said


def begun(saml: SamlProvider) -> tuple[SamlBrowser, str]:
    """Return a visitor who has gone to the provider, and its answer."""
    visitor = SamlBrowser()
    return visitor, read(visitor.answered(visitor.asked("/account/single-sign-on/")))


def test_an_answer_that_was_signed_anew_counts(saml: SamlProvider, people: dict[str, Any]) -> None:
    """Or the refusals below would say nothing."""
    visitor, text = begun(saml)
    assert visitor.send(written(resigned(text, saml, lambda _assertion: None))).status_code == 302
    assert visitor.account == str(people["outsider"].pk)


@pytest.mark.parametrize("wrong", SIGNED)
def test_an_answer_that_is_not_for_this_request_is_refused(saml: SamlProvider, caplog: Any, wrong: str) -> None:
    visitor, text = begun(saml)
    refused(visitor, written(resigned(text, saml, SIGNED[wrong])), caplog)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"signAssertion": False}, "not signed"),
        ({"signAssertion": False, "signResponse": True}, "not signed"),
        ({"signatureAlgorithm": "rsa-sha1"}, "algorithms that do not count"),
        ({"digestAlgorithm": "sha1"}, "algorithms that do not count"),
        ({"audience": "https://wiki.example"}, "audience"),
        ({"lifetimeInSeconds": -600}, "expired"),
        ({"recipient": "https://wiki.example/acs"}, "SubjectConfirmation"),
        ({"destination": "https://wiki.example/acs"}, "received at"),
        ({"inResponseTo": "_another"}, "does not match"),
        ({"issuer": "https://other.example"}, "issuer"),
        ({"nameIdentifierFormat": "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"}, "persistent"),
        ({"samlStatusCode": "urn:oasis:names:tc:SAML:2.0:status:Responder"}, "status code"),
    ],
)
def test_what_the_provider_answers_otherwise_is_refused(
    saml: SamlProvider, caplog: Any, options: dict[str, Any], why: str
) -> None:
    saml.person("u-1", options=options)
    visitor, text = begun(saml)
    refused(visitor, written(text), caplog, why)


def test_another_key_signs_nobody_in(saml: SamlProvider, caplog: Any) -> None:
    visitor, text = begun(saml)
    refused(visitor, written(resigned(text, saml, lambda _assertion: None, name="other")), caplog, "Signature")


def test_an_altered_name_is_refused(saml: SamlProvider, people: dict[str, Any], caplog: Any) -> None:
    connected(people["administrator"], saml.issuer, "u-9")
    visitor, text = begun(saml)
    refused(visitor, written(text.replace(">u-1<", ">u-9<")), caplog, "Signature")


WRAPPED = "before, before keeps, before same, after, after keeps same, extensions, extensions keeps, extensions same, "
WRAPPED += "object, object same, inside, inside keeps, inside same, response, response same"


def wrapped(text: str, where: str) -> str:
    """Return an answer with another assertion, about u-9, in the place of the signed one, which is elsewhere."""
    root = etree.fromstring(text)
    (signed,) = root.xpath("/p:Response/a:Assertion", namespaces=NAMES)
    forged = etree.fromstring(etree.tostring(signed))
    forged.xpath("./a:Subject/a:NameID", namespaces=NAMES)[0].text = "u-9"
    (signature,) = forged.xpath("./ds:Signature", namespaces=NAMES)
    if "same" not in where:
        forged.set("ID", "_forged")
    if "keeps" not in where:
        forged.remove(signature)
    place, names = signed.getparent(), f"{{{NAMES['p']}}}Extensions"
    if "before" in where:
        signed.addprevious(forged)
    elif "after" in where:
        signed.addnext(forged)
    elif "extensions" in where:
        place.replace(signed, forged)
        place.insert(1, etree.Element(names))
        place[1].append(signed)
    elif "object" in where:
        place.replace(signed, forged)
        own = etree.fromstring(etree.tostring(signed.xpath("./ds:Signature", namespaces=NAMES)[0]))
        etree.SubElement(own, f"{{{NAMES['ds']}}}Object").append(signed)
        forged.insert(1, own)
    elif "inside" in where:
        place.replace(signed, forged)
        forged.append(signed)
    elif "response" in where:
        inner = etree.fromstring(text)
        place.replace(signed, forged)
        place.insert(1, etree.Element(names))
        place[1].append(inner)
    return etree.tostring(root).decode()


@pytest.mark.parametrize("where", WRAPPED.split(", "))
def test_a_wrapped_assertion_is_refused(saml: SamlProvider, people: dict[str, Any], caplog: Any, where: str) -> None:
    connected(people["administrator"], saml.issuer, "u-9")
    visitor, text = begun(saml)
    refused(visitor, written(wrapped(text, where)), caplog)


@pytest.mark.parametrize("where", ["before", "extensions", "response same"])
def test_a_signed_answer_around_a_wrapped_assertion_is_refused(
    saml: SamlProvider, people: dict[str, Any], caplog: Any, where: str
) -> None:
    connected(people["administrator"], saml.issuer, "u-9")
    saml.person("u-1", options={"signResponse": True})
    visitor, text = begun(saml)
    refused(visitor, written(wrapped(text, where)), caplog)


def test_an_assertion_and_an_answer_that_are_both_signed_count(saml: SamlProvider, people: dict[str, Any]) -> None:
    saml.person("u-1", options={"signResponse": True})
    visitor = SamlBrowser()
    visitor.get("/account/single-sign-on/")
    assert visitor.account == str(people["outsider"].pk)


@pytest.mark.parametrize(
    "alter",
    [
        lambda text: text.replace(">u-1<", ">u-1<!-- -->.elsewhere<"),
        lambda text: text.replace(">u-1<", "><![CDATA[u-1]]><"),
        lambda text: DOCTYPE + text,
        lambda text: DOCTYPE + text.replace(">u-1<", ">&b;<"),
        lambda text: f'<?xml version="1.0" encoding="utf-16"?>{text}'.encode("utf-16"),
        lambda text: f'<?xml version="1.0" encoding="ISO-8859-1"?>{text}',
        lambda text: '<?xml version="1.0" encoding="UTF-7"?>' + text.replace(">u-1<", ">u-1+ADwAIQ---- --+AD4<"),
        lambda text: "no XML",
        lambda text: "",
        lambda text: "<a>" * 100_000,
    ],
)
def test_an_answer_that_is_written_otherwise_is_refused(saml: SamlProvider, caplog: Any, alter: Any) -> None:
    visitor, text = begun(saml)
    refused(visitor, written(alter(text)), caplog)


def test_a_comment_in_a_name_changes_nobody(saml: SamlProvider, people: dict[str, Any], caplog: Any) -> None:
    """The signature holds with the comment in it, which is not part of what is signed."""
    connected(people["administrator"], saml.issuer, "admin@x")
    saml.person("admin@x.elsewhere")
    visitor, text = begun(saml)
    forged = text.replace(">admin@x.elsewhere<", ">admin@x<!---->.elsewhere<")
    assert forged != text
    refused(visitor, written(forged), caplog, "comment")


def test_an_instruction_in_a_name_is_none(saml: SamlProvider, people: dict[str, Any], caplog: Any) -> None:
    connected(people["administrator"], saml.issuer, "admin@x")
    saml.person("admin@x.elsewhere")
    visitor, text = begun(saml)
    refused(visitor, written(text.replace(">admin@x.elsewhere<", ">admin@x<?a?>.elsewhere<")), caplog)


def test_an_answer_counts_once_and_in_the_browser_that_asked(
    saml: SamlProvider, people: dict[str, Any], caplog: Any
) -> None:
    visitor, text = begun(saml)
    refused(SamlBrowser(), written(text), caplog, "not what this browser went for")
    other = SamlBrowser()
    other.asked("/account/single-sign-on/")
    refused(other, written(text), caplog, "does not match")
    assert visitor.send(written(text)).status_code == 302 and visitor.account == str(people["outsider"].pk)
    visitor.client.post("/account/logout/")
    replayed = visitor.send(written(text))
    assert replayed.status_code == 403 and not visitor.account


def test_an_answer_that_was_not_asked_for_is_refused(saml: SamlProvider, caplog: Any) -> None:
    saml.person("u-1", options={"inResponseTo": " "})
    _visitor, text = begun(saml)
    plain = resigned(text.replace(' InResponseTo=" "', ""), saml, lambda _assertion: None)
    assert "InResponseTo" not in plain
    refused(SamlBrowser(), written(plain), caplog, "not what this browser went for")
    asking = SamlBrowser()
    asking.asked("/account/single-sign-on/")
    refused(asking, written(plain), caplog, "another request")
