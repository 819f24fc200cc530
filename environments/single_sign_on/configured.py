"""The identity provider that the settings name, by OpenID Connect or by SAML 2.0: what is known without asking it."""

from base64 import b64decode
from dataclasses import dataclass
from functools import cache
from xml.etree.ElementTree import ParseError

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import Certificate, load_der_x509_certificate
from defusedxml.ElementTree import fromstring
from django.conf import settings

METADATA = "{urn:oasis:names:tc:SAML:2.0:metadata}"
REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
CERTIFICATE = "{http://www.w3.org/2000/09/xmldsig#}X509Certificate"
# Marks who somebody is by SAML: a provider may have one name in both protocols, and means other persons by its names.
SAML = "saml:"
LONGEST = 255
SMALLEST_KEY = 2048


@dataclass(frozen=True)
class Metadata:
    """A SAML provider: its entity ID, where a browser takes a request, and the certificates whose keys sign answers."""

    entity_id: str
    address: str
    certificates: tuple[Certificate, ...]


def offered() -> bool:
    """Tell whether a provider is set."""
    return bool(settings.OIDC_ISSUER or settings.SAML_METADATA)


def by_saml() -> bool:
    """Tell whether the provider speaks SAML. Its answers sign nothing that Ringi keeps."""
    return bool(settings.SAML_METADATA)


def name() -> str:
    """Return what people call the provider; where no name is set, its host or its entity ID."""
    if by_saml():
        return settings.SAML_NAME or metadata().entity_id
    return settings.OIDC_NAME or settings.OIDC_ISSUER.split("/")[2]


def issuer() -> str:
    """Return the name of the provider in the identities of accounts."""
    return f"{SAML}{metadata().entity_id}" if by_saml() else settings.OIDC_ISSUER


def method() -> str:
    """Return how a sign-in at the provider is called in a record."""
    return "saml" if by_saml() else "oidc"


def second_factors() -> list[str]:
    """Return what the provider says where it asked for a second factor that counts here."""
    return settings.SAML_SECOND_FACTOR if by_saml() else settings.OIDC_SECOND_FACTOR


def groups_named() -> str:
    """Return the claim or attribute that lists the groups of a person; empty: groups give no roles."""
    return settings.SAML_GROUPS_ATTRIBUTE if by_saml() else settings.OIDC_GROUPS_CLAIM


def metadata() -> Metadata:
    """Return what is known of the SAML provider. Raises ValueError."""
    return read(settings.SAML_METADATA)


def readable(text: str) -> bool:
    """Tell whether this is metadata that Ringi can use."""
    try:
        read(text)
    except ValueError:
        return False
    return True


@cache
def read(text: str) -> Metadata:
    """Return what SAML 2.0 metadata of one provider says. Raises ValueError."""
    try:
        root = fromstring(text.lstrip("\ufeff"), forbid_dtd=True)
        (provider,) = root.findall(f"{METADATA}IDPSSODescriptor")
        services = provider.findall(f"{METADATA}SingleSignOnService")
        address = next(one.attrib["Location"] for one in services if one.get("Binding") == REDIRECT)
        keys = [one for one in provider.findall(f"{METADATA}KeyDescriptor") if one.get("use", "signing") == "signing"]
        texts = [one.text or "" for key in keys for one in key.iter(CERTIFICATE)]
        certificates = tuple(load_der_x509_certificate(b64decode(one)) for one in texts)
        signs = all(_signs(one.public_key()) for one in certificates)
    except (ParseError, LookupError, StopIteration, UnsupportedAlgorithm) as fault:
        raise ValueError(f"no metadata of a SAML provider: {fault!r}") from fault
    entity_id = root.get("entityID", "")
    if not (entity_id and certificates and signs and len(SAML + entity_id) <= LONGEST):
        raise ValueError("no metadata of a SAML provider: entity ID or certificate")
    if not address.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
        raise ValueError("the SAML provider has no address of https")
    return Metadata(entity_id, address, certificates)


def _signs(key: object) -> bool:
    return isinstance(key, EllipticCurvePublicKey) or (isinstance(key, RSAPublicKey) and key.key_size >= SMALLEST_KEY)
