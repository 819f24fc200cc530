"""A real SAML provider (`make identity`): the npm package samlp, with a key that the tests have too."""

from __future__ import annotations

import re
import shutil
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from django.test import Client
from lxml import etree

HERE = Path(__file__).parent
MODULES = HERE.parents[2] / "var" / "identity" / "node_modules"
ANSWER = "/account/single-sign-on/saml/"
PAST = "2020-01-01T00:00:00Z"
NAMES = {
    "a": "urn:oasis:names:tc:SAML:2.0:assertion",
    "p": "urn:oasis:names:tc:SAML:2.0:protocol",
    "ds": "http://www.w3.org/2000/09/xmldsig#",
}
DOCTYPE = '<!DOCTYPE r [<!ENTITY a "u"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
FIELD = re.compile(r'name="(SAMLResponse|RelayState)"\s+value="([^"]*)"')


class SamlProvider:
    """The provider that runs. folder: of its key and certificate."""

    def __init__(self, port: int, folder: Path) -> None:
        self.entity_id, self.folder = f"http://localhost:{port}/saml", folder
        self.issuer = f"saml:{self.entity_id}"

    def person(self, sub: str, **more: Any) -> None:
        """Let this person sit at the browser. options: of the package samlp."""
        httpx.post(self.entity_id, json={"sub": sub, **more}).raise_for_status()

    def metadata(self, name: str = "own") -> str:
        """Return the metadata of this provider, with the certificate of this name."""
        certificate = "".join((self.folder / f"{name}.crt").read_text().splitlines()[1:-1])
        return (
            f'<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{self.entity_id}">'
            '<IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">'
            '<KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data>'
            f"<X509Certificate>{certificate}</X509Certificate></X509Data></KeyInfo></KeyDescriptor>"
            '<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"'
            f' Location="{self.entity_id}"/></IDPSSODescriptor></EntityDescriptor>'
        )


def make_key(folder: Path, name: str, *, bits: int = 2048, days: int = 3650) -> None:
    """Write a key and its own certificate, which ends after so many days."""
    key, now = rsa.generate_private_key(65537, bits), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "provider of the tests")])
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - timedelta(days=99)).not_valid_after(now + timedelta(days=days))
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / f"{name}.key").write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
    (folder / f"{name}.crt").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(pem))


@contextmanager
def begun_saml(port: int, folder: Path) -> Iterator[SamlProvider]:
    """Run a provider for a block; skip where there is none."""
    node = shutil.which("node")
    if node is None or not (MODULES / "samlp").exists():
        pytest.skip("no SAML provider on this machine: it needs Node.js and `make identity`")
    make_key(folder, "own")
    make_key(folder, "other")
    argv = [node, HERE / "saml_provider.mjs", MODULES, str(port), folder / "own.key", folder / "own.crt"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield SamlProvider(port, folder)
    finally:
        process.kill()
        process.communicate()


class SamlBrowser:
    """A browser: a client of Ringi, and forms that the provider lets it post there."""

    def __init__(self, client: Client | None = None) -> None:
        self.client = client or Client()

    def asked(self, path: str) -> str:
        """Follow to the address of the provider, and return it."""
        found = self.client.get(path, headers={"accept-language": "en"})
        assert found.status_code == 302, found.content.decode()
        return found.headers["location"]

    def answered(self, address: str) -> dict[str, str]:
        """Return the form with which the provider answers."""
        page = httpx.get(address)
        return {name: unescape(value) for name, value in FIELD.findall(page.raise_for_status().text)}

    def send(self, form: dict[str, str]) -> Any:
        """Post the form, and once more from the page that this leads to."""
        bounced = self.client.post(ANSWER, form, headers={"accept-language": "en"})
        assert bounced.status_code == 200, bounced.content.decode()
        (again,) = re.findall(r'name="SAMLResponse" value="([^"]*)"', bounced.content.decode())
        form = {"SAMLResponse": unescape(again), "here": "1"}
        return self.client.post(ANSWER, form, headers={"accept-language": "en"})

    def get(self, path: str) -> Any:
        """Go to the provider and come back."""
        return self.send(self.answered(self.asked(path)))

    @property
    def account(self) -> str:
        """Who is signed in; empty: a visitor."""
        return self.client.session.get("_auth_user_id", "")


def read(form: dict[str, str]) -> str:
    """Return the XML of an answer."""
    return b64decode(form["SAMLResponse"]).decode()


def written(text: str | bytes) -> dict[str, str]:
    """Return the form with this XML."""
    return {"SAMLResponse": b64encode(text.encode() if isinstance(text, str) else text).decode()}


def resigned(text: str, saml: SamlProvider, alter: Callable[[Any], None], name: str = "own", sha: int = 256) -> str:
    """Return an answer whose assertion was altered and then signed by the key of this name."""
    root = etree.fromstring(text)
    (assertion,) = root.xpath("/p:Response/a:Assertion", namespaces=NAMES)
    (old,) = assertion.xpath("./ds:Signature", namespaces=NAMES)
    assertion.remove(old)
    alter(assertion)
    how, digest = {256: ("RSA_SHA256", "SHA256"), 1: ("RSA_SHA1", "SHA1")}[sha]
    node = xmlsec.template.create(assertion, xmlsec.Transform.EXCL_C14N, getattr(xmlsec.Transform, how))
    assertion.insert(1, node)
    reference = xmlsec.template.add_reference(node, getattr(xmlsec.Transform, digest), uri=f"#{assertion.get('ID')}")
    xmlsec.template.add_transform(reference, xmlsec.Transform.ENVELOPED)
    xmlsec.template.add_transform(reference, xmlsec.Transform.EXCL_C14N)
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_file(str(saml.folder / f"{name}.key"), xmlsec.KeyFormat.PEM)
    xmlsec.tree.add_ids(assertion, ["ID"])
    context.sign(node)
    return etree.tostring(root).decode()


def setting(path: str, name: str, value: str | None) -> Callable[[Any], None]:
    """Return what sets an attribute of a part of an assertion, or takes it away."""

    def alter(assertion: Any) -> None:
        (part,) = assertion.xpath(path, namespaces=NAMES)
        if value is None:
            del part.attrib[name]
        else:
            part.set(name, value)

    return alter
