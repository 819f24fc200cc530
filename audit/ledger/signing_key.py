"""The private key of the ledger signer: in a file of its folder, or in a token that never gives it away.

The file holds the name of the ledger, and the 32 bytes of an Ed25519 key in base64, or `pkcs11:` and the label of a key
in the token (PKCS #11 3.0, 2.3.14). The address of the token is a URI of RFC 7512.
"""

import base64
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings

from audit.private_files import write_private

if TYPE_CHECKING:
    from pkcs11 import Session

IN_TOKEN = "pkcs11:"
# The object identifier of Ed25519 in DER (RFC 8410, section 3).
ED25519 = bytes.fromhex("06032b6570")
_sessions: "list[Session]" = []


class TokenFault(Exception):
    """The token does not answer, or not as an Ed25519 key; the message says why."""


class SigningKey(Protocol):
    """A private key, as cryptography's own Ed25519PrivateKey."""

    def sign(self, data: bytes, /) -> bytes:
        """Return the 64 bytes of the signature. Raises TokenFault."""

    def public_key(self) -> Ed25519PublicKey:
        """Return the public key."""


class TokenKey:
    """A key that the token holds under a label; it signs there."""

    def __init__(self, label: str) -> None:
        from pkcs11 import Attribute, ObjectClass

        self._label = label
        with _token() as session:
            found = session.get_key(object_class=ObjectClass.PUBLIC_KEY, label=label)
            self._public = Ed25519PublicKey.from_public_bytes(bytes(found[Attribute.EC_POINT])[-32:])
        # A token may sign otherwise (Ed25519ph), and another key may bear the label.
        try:
            self._public.verify(self.sign(b"ringi"), b"ringi")
        except InvalidSignature:
            raise TokenFault(f"the key {label} of the token does not sign by Ed25519") from None

    def public_key(self) -> Ed25519PublicKey:
        """Return the public key."""
        return self._public

    def sign(self, data: bytes, /) -> bytes:
        """Let the token sign."""
        from pkcs11 import Mechanism, ObjectClass

        with _token() as session:
            private: Any = session.get_key(object_class=ObjectClass.PRIVATE_KEY, label=self._label)
            return bytes(private.sign(data, mechanism=Mechanism.EDDSA))


def make(file: Path, origin: str) -> None:
    """Make a key, in the token where one is set, and write its file. Raises TokenFault."""
    held = _made_in_token() if settings.LEDGER_TOKEN else base64.b64encode(secrets.token_bytes(32)).decode()
    write_private(file, f"{origin}\n{held}\n")


def read(file: Path) -> tuple[str, SigningKey]:
    """Return the name of the ledger and the key. Raises OSError, ValueError, TokenFault."""
    origin, held = file.read_text(encoding="utf-8").split()
    if held.startswith(IN_TOKEN):
        return origin, TokenKey(held.removeprefix(IN_TOKEN))
    return origin, Ed25519PrivateKey.from_private_bytes(base64.b64decode(held))


def token_address(uri: str) -> tuple[str, str]:
    """Return label and module of `pkcs11:token=LABEL?module-path=FILE`. Raises ValueError."""
    label, module = uri.removeprefix("pkcs11:token=").split("?module-path=")
    return unquote(label), unquote(module)


def _made_in_token() -> str:
    from pkcs11 import Attribute, KeyType, Mechanism

    label = f"ringi-{secrets.token_hex(8)}"
    with _token() as session:
        domain = session.create_domain_parameters(KeyType.EC_EDWARDS, {Attribute.EC_PARAMS: ED25519}, local=True)
        domain.generate_keypair(
            mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
            store=True,
            label=label,
            private_template={Attribute.EXTRACTABLE: False, Attribute.SENSITIVE: True},
        )
    return IN_TOKEN + label


@contextmanager
def _token() -> Iterator["Session"]:
    """Yield the open session of the token; after a fault the next call opens another. Raises TokenFault."""
    from pkcs11 import PKCS11Error, lib

    try:
        if not _sessions:
            label, module = token_address(settings.LEDGER_TOKEN)
            held = lib(module).get_token(token_label=label)
            _sessions.append(held.open(user_pin=settings.LEDGER_TOKEN_PIN, rw=True))
        yield _sessions[0]
    except (PKCS11Error, OSError, ValueError) as fault:
        close_token()
        raise TokenFault(f"the token of RINGI_LEDGER_TOKEN: {str(fault) or type(fault).__name__}") from fault


def close_token() -> None:
    """Close the session of the token, where one is open: a token takes no second sign-in beside it."""
    from pkcs11 import PKCS11Error

    while _sessions:
        with suppress(PKCS11Error):
            _sessions.pop().close()
