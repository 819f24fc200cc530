"""Sign-in by SAML 2.0 (Web Browser SSO Profile): the request to the provider, and who its answer says came back.

python3-saml and xmlsec verify the answer. Where they leave something open, it is closed here: the assertion itself is
signed, by algorithms from a list; it answers the request of this session; and nothing else in the answer is read.
The two are native code that only an installation with SAML loads.
"""

import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Any
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree

from cryptography.hazmat.primitives.serialization import Encoding
from django.conf import settings
from django.urls import reverse

from audit.clock import now
from environments.single_sign_on import configured
from environments.single_sign_on.provider import SignIn

ASSERTION, PROTOCOL = "urn:oasis:names:tc:SAML:2.0:assertion", "urn:oasis:names:tc:SAML:2.0:protocol"
SIGNATURE = "http://www.w3.org/2000/09/xmldsig#"
NAMES = {"a": ASSERTION, "p": PROTOCOL, "ds": SIGNATURE}
POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
# No SHA-1, no transform that could leave something out.
ALGORITHMS = frozenset(
    {
        *(f"http://www.w3.org/2001/04/xmldsig-more#{key}-sha{n}" for key in ("rsa", "ecdsa") for n in (256, 384, 512)),
        "http://www.w3.org/2001/04/xmlenc#sha256",
        "http://www.w3.org/2001/04/xmldsig-more#sha384",
        "http://www.w3.org/2001/04/xmlenc#sha512",
        f"{SIGNATURE}enveloped-signature",
        "http://www.w3.org/2001/10/xml-exc-c14n#",
    }
)
PARTS = ("SignatureMethod", "DigestMethod", "Transform", "CanonicalizationMethod")
# Bytes of an answer: one of a person in very many groups is shorter.
LONGEST = 300_000
# By how much the clocks of provider and server may differ.
LEEWAY = timedelta(seconds=60)
# How providers call a person for people to read; for the page that asks before an account is connected.
CALLED = (
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
    "urn:oid:0.9.2342.19200300.100.1.3",
    "email",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
)
# Entra ID names another place for groups that are too many for an answer.
ELSEWHERE = "http://schemas.microsoft.com/claims/groups.link"


def own_id() -> str:
    """Return the entity ID of this Ringi: the address of its metadata."""
    return settings.BASE_URL.rstrip("/") + reverse("single-sign-on-metadata")


def own_address() -> str:
    """Return where the provider's answers go (assertion consumer service)."""
    return settings.BASE_URL.rstrip("/") + reverse("single-sign-on-answer")


def own_metadata() -> bytes:
    """Return the metadata that the provider reads."""
    root = ElementTree.Element("EntityDescriptor", xmlns=configured.METADATA.strip("{}"), entityID=own_id())
    attributes = {"AuthnRequestsSigned": "false", "WantAssertionsSigned": "true"}
    part = ElementTree.SubElement(root, "SPSSODescriptor", attributes, protocolSupportEnumeration=PROTOCOL)
    if not settings.SAML_SUBJECT_ATTRIBUTE:
        ElementTree.SubElement(part, "NameIDFormat").text = PERSISTENT
    service = {"Binding": POST, "Location": own_address(), "index": "0", "isDefault": "true"}
    ElementTree.SubElement(part, "AssertionConsumerService", service)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def address_for(*, again: bool = False) -> tuple[str, str]:
    """Return (address of the provider, ID of the request) for one sign-in. again: the person signs in there even where
    they have a session.
    """
    provider, request_id = configured.metadata(), f"_{token_hex(20)}"
    attributes = {
        "ID": request_id,
        "Version": "2.0",
        "IssueInstant": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "Destination": provider.address,
        "ProtocolBinding": POST,
        "AssertionConsumerServiceURL": own_address(),
        **({"ForceAuthn": "true"} if again else {}),
    }
    root = ElementTree.Element(f"{{{PROTOCOL}}}AuthnRequest", attributes)
    ElementTree.SubElement(root, f"{{{ASSERTION}}}Issuer").text = own_id()
    if not settings.SAML_SUBJECT_ATTRIBUTE:
        ElementTree.SubElement(root, f"{{{PROTOCOL}}}NameIDPolicy", Format=PERSISTENT, AllowCreate="true")
    if settings.SAML_SECOND_FACTOR:
        wanted = ElementTree.SubElement(root, f"{{{PROTOCOL}}}RequestedAuthnContext", Comparison="exact")
        for one in settings.SAML_SECOND_FACTOR:
            ElementTree.SubElement(wanted, f"{{{ASSERTION}}}AuthnContextClassRef").text = one
    packed = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    query = b64encode(packed.compress(ElementTree.tostring(root)) + packed.flush()).decode()
    joint = "&" if "?" in provider.address else "?"
    return f"{provider.address}{joint}{urlencode({'SAMLRequest': query})}", request_id


def who_came_back(answer: str, request_id: str) -> SignIn:
    """Return who signed in, as the provider states it in answer to this request. Raises ValueError."""
    _settings, _response, faults = library()
    try:
        return _stated(_verified(answer, request_id), request_id)
    except faults as fault:
        raise ValueError(f"{type(fault).__name__}: {fault}") from fault


def library() -> tuple[Any, Any, tuple[type[Exception], ...]]:
    """Return of python3-saml the settings, the response, and what a wrong answer raises.

    Raises RuntimeError, also where lxml and xmlsec contain different versions of libxml2: they are pinned together.
    """
    try:
        from lxml.etree import LxmlError
        from onelogin.saml2.errors import OneLogin_Saml2_Error, OneLogin_Saml2_ValidationError
        from onelogin.saml2.response import OneLogin_Saml2_Response
        from onelogin.saml2.settings import OneLogin_Saml2_Settings
        from xmlsec import Error
    except Exception as fault:
        raise RuntimeError(f"python3-saml, lxml and xmlsec cannot be loaded together: {fault}") from fault
    faults = (LxmlError, OneLogin_Saml2_Error, OneLogin_Saml2_ValidationError, Error, LookupError, TypeError)
    return OneLogin_Saml2_Settings, OneLogin_Saml2_Response, faults


def _verified(answer: str, request_id: str) -> Any:
    """Return the one assertion of an answer, which is signed."""
    settings_of, response_of, _faults = library()
    if len(answer) > LONGEST:
        raise ValueError("the answer is too long")
    text = b64decode("".join(answer.split()), validate=True)
    if b"<!" in text or b"<?" in text[2:]:
        raise ValueError("the answer has a comment, an instruction, an entity or a document type")
    response = response_of(settings_of(_library_settings()), b64encode(text))
    root = response.document
    if root.getroottree().docinfo.encoding.upper() not in ("UTF-8", "ASCII", "US-ASCII"):
        raise ValueError("the answer is not written in UTF-8")
    used = set(_all(root, " | ".join(f"//ds:{part}/@Algorithm" for part in PARTS)))
    if not used <= ALGORITHMS:
        raise ValueError(f"algorithms that do not count: {sorted(used - ALGORITHMS)}")
    ids = _all(root, "//@*[translate(local-name(), 'ID', 'id') = 'id']")
    if len(ids) != len(set(ids)):
        raise ValueError("an ID that is there twice")
    own, signatures = urlsplit(own_address()), _all(root, "//ds:Signature")
    if len(_all(root, "//ds:Reference")) != len(signatures):
        raise ValueError("a signature of more than one part")
    received = {"https": "on" if own.scheme == "https" else "off", "http_host": own.netloc, "script_name": own.path}
    response.is_valid(received, request_id, raise_exceptions=True)
    assertion = _one(root, "/p:Response/a:Assertion")
    if _one(assertion, "./ds:Signature/ds:SignedInfo/ds:Reference/@URI") != f"#{assertion.get('ID')}":
        raise ValueError("another part of the answer is signed")
    return assertion


def _library_settings() -> dict[str, Any]:
    provider = configured.metadata()
    certificates = [one.public_bytes(Encoding.PEM).decode() for one in provider.certificates]
    return {
        "strict": True,
        "sp": {"entityId": own_id(), "assertionConsumerService": {"url": own_address(), "binding": POST}},
        "idp": {
            "entityId": provider.entity_id,
            "singleSignOnService": {"url": provider.address, "binding": configured.REDIRECT},
            "x509certMulti": {"signing": certificates},
        },
        "security": {
            "wantAssertionsSigned": True,
            "rejectDeprecatedAlgorithm": True,
            "wantAttributeStatement": False,
            "requestedAuthnContext": False,
            "allowSingleLabelDomains": True,
        },
    }


def _stated(assertion: Any, request_id: str) -> SignIn:
    """Return whom an assertion is about; it is for this Ringi, now, and answers this request."""
    if _texts(assertion, "./a:Issuer") != [configured.metadata().entity_id]:
        raise ValueError("another provider answered")
    confirmation = _one(assertion, "./a:Subject/a:SubjectConfirmation")
    data = _one(confirmation, "./a:SubjectConfirmationData")
    if confirmation.get("Method") != BEARER or data.get("Recipient") != own_address():
        raise ValueError("the answer is for another recipient")
    if data.get("InResponseTo") != request_id:
        raise ValueError("the answer is to another request")
    conditions = _one(assertion, "./a:Conditions")
    for part, leeway in ((data, timedelta(0)), (conditions, LEEWAY)):
        if _time(part.attrib["NotOnOrAfter"]) + leeway <= now():
            raise ValueError("the answer has expired")
        if "NotBefore" in part.attrib and _time(part.attrib["NotBefore"]) - LEEWAY > now():
            raise ValueError("the answer does not count yet")
    audiences = [_texts(one, "./a:Audience") for one in _all(conditions, "./a:AudienceRestriction")]
    if not audiences or not all(own_id() in one for one in audiences):
        raise ValueError("the answer is for another audience")
    statement = _one(assertion, "./a:AuthnStatement")
    contexts = _texts(statement, "./a:AuthnContext/a:AuthnContextClassRef")
    attributes = _attributes(assertion)
    return SignIn(
        issuer=configured.issuer(),
        subject=_subject(assertion, attributes),
        second_factor=any(one in settings.SAML_SECOND_FACTOR for one in contexts),
        authenticated_at=_time(statement.attrib["AuthnInstant"]).timestamp(),
        groups=groups_of(attributes),
        claims={"email": next((attributes[key][0] for key in CALLED if attributes.get(key)), "")},
    )


def _subject(assertion: Any, attributes: dict[str, list[str]]) -> str:
    """Return the lasting name of a person. Raises ValueError."""
    if settings.SAML_SUBJECT_ATTRIBUTE:
        (subject,) = attributes[settings.SAML_SUBJECT_ATTRIBUTE]
    else:
        name = _one(assertion, "./a:Subject/a:NameID")
        subject = name.text or ""
        if name.get("Format") != PERSISTENT or len(name):
            raise ValueError("the name of the person is not persistent")
    if not 0 < len(subject) <= configured.LONGEST or subject != subject.strip():
        raise ValueError("the person has no name that can be kept")
    return subject


def groups_of(attributes: dict[str, list[str]]) -> tuple[str, ...] | None:
    """Return the groups that the provider states, as `groups_of` of the OpenID provider."""
    if not settings.SAML_GROUPS_ATTRIBUTE or ELSEWHERE in attributes:
        return None
    return tuple(attributes.get(settings.SAML_GROUPS_ATTRIBUTE, ()))


def _attributes(assertion: Any) -> dict[str, list[str]]:
    """Return the values of each attribute; a provider may state an attribute in several parts."""
    found = dict[str, list[str]]()
    for one in _all(assertion, "./a:AttributeStatement/a:Attribute"):
        found.setdefault(one.attrib["Name"], []).extend(_texts(one, "./a:AttributeValue"))
    return found


def _all(element: Any, path: str) -> list[Any]:
    found: list[Any] = element.xpath(path, namespaces=NAMES)
    return found


def _one(element: Any, path: str) -> Any:
    """Return what there is once. Raises ValueError."""
    found = _all(element, path)
    if len(found) != 1:
        raise ValueError(f"{len(found)} of {path}, in place of one")
    return found[0]


def _texts(element: Any, path: str) -> list[str]:
    """Return what elements say. One with elements inside says nothing."""
    found: Iterable[Any] = _all(element, path)
    return [one.text for one in found if one.text and not len(one)]


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a time without a zone")
    return found
