"""Signing with a passkey: its challenge is made of what is signed, and its answer is kept with the signature.

The public keys stand in the ledger (`account:add_passkey`), so that anybody with an export can check what was signed
with them: audit/offline/ringi_verify.py does, and docs/reference/ledger.md says how.
"""

import json
import secrets
from typing import Any

from allauth.account.internal.flows.reauthentication import STATE_SESSION_KEY
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authenticator_added
from allauth.mfa.webauthn.internal import auth
from allauth.mfa.webauthn.views import ReauthenticateWebAuthnView
from django.dispatch import receiver
from django.http import HttpResponse
from fido2.cose import CoseKey
from fido2.server import Fido2Server
from fido2.utils import websafe_decode, websafe_encode
from fido2.webauthn import UserVerificationRequirement

from audit.offline.ringi_verify import from_base64url, jwk_verifies, passkey_message, signing_challenge
from audit.operation import label, record_event
from environments.actors import ASSERTION

_CHALLENGE = "ringi_challenge"
# ES256, EdDSA and RS256: what those who verify the ledger can read.
ALGORITHMS = (-7, -8, -257)
# Raised where an assertion has not the form that its verifier reads.
MALFORMED = (IndexError, KeyError, TypeError, ValueError)
_server = auth.get_server


def _get_server() -> Fido2Server:
    """Return allauth's server, which asks for keys that can be verified."""
    server = _server()
    server.allowed_algorithms = [kind for kind in server.allowed_algorithms if kind.alg in ALGORITHMS]
    return server


auth.get_server = _get_server


class SigningView(ReauthenticateWebAuthnView):  # type: ignore[misc]
    """The page that asks for the passkey before a signature. The key must verify its holder: it is both factors."""

    def get_context_data(self, **rest: Any) -> dict[str, Any]:
        """Begin with a challenge over the contents that wait for the signature."""
        context: dict[str, Any] = super(ReauthenticateWebAuthnView, self).get_context_data(**rest)
        waiting = self.request.session.get(STATE_SESSION_KEY) or {}
        contents = waiting.get("contents", [])
        asked = {"nonce": secrets.token_hex(16), "contents": contents}
        options, state = auth.get_server().authenticate_begin(
            auth.get_credentials(self.request.user),
            UserVerificationRequirement.REQUIRED,
            signing_challenge(asked["nonce"], contents),
        )
        auth.set_state(state)
        self.request.session[_CHALLENGE] = asked
        return context | {
            "js_data": {"request_options": dict(options)},
            "digests": [digest for digest in (one.rpartition(" ")[2] for one in contents) if ":" not in digest],
            "enough": waiting.get("kind") != "second_factor_required",
        }

    def form_invalid(self, form: Any) -> HttpResponse:
        """Show the page again, with a new challenge."""
        return self.render_to_response(self.get_context_data(form=form))

    def form_valid(self, form: Any) -> HttpResponse:
        """Keep what the passkey signed for the operation that waits, and do it."""
        given = json.loads(form.data["credential"])
        names = {"authenticator_data": "authenticatorData", "client_data": "clientDataJSON", "signature": "signature"}
        kept = {ours: _plain(given["response"][theirs]) for ours, theirs in names.items()}
        asked = self.request.session.pop(_CHALLENGE)
        self.request.session[ASSERTION] = {**asked, **kept, "credential": _plain(given["rawId"])}
        answer: HttpResponse = super().form_valid(form)
        return answer


def signed(assertion: dict[str, Any], content: str, passkey: Authenticator) -> bool:
    """Tell whether those who verify the ledger will find that a passkey signed a content."""
    key = passkey.wrap().authenticator_data.credential_data.public_key
    try:
        message = passkey_message(assertion, content, auth.get_server().rp.id)
        ours = assertion["credential"] == credential_of(passkey) and message != b""
        return ours and jwk_verifies(jwk_of(key), message, from_base64url(assertion["signature"]))
    except MALFORMED:
        return False


def credential_of(passkey: Authenticator) -> str:
    """Return the id of a passkey, base64url."""
    return str(websafe_encode(passkey.wrap().authenticator_data.credential_data.credential_id))


def _plain(text: str) -> str:
    return websafe_encode(websafe_decode(text))


@receiver(authenticator_added)
def note_passkey(user: Any, authenticator: Authenticator, **_rest: Any) -> None:
    """Write the public key of a new passkey into the ledger. Its row's end is in the ledger too."""
    if authenticator.type != Authenticator.Type.WEBAUTHN:
        return
    credential = authenticator.wrap().authenticator_data.credential_data
    record_event(
        "account:add_passkey",
        object=label(user),
        passkey=authenticator.pk,
        credential=credential_of(authenticator),
        site=auth.get_server().rp.id,
        key=jwk_of(credential.public_key),
    )


def jwk_of(key: CoseKey) -> dict[str, str]:
    """Return a public key as a JSON Web Key (RFC 7517); of a type that no verifier reads, only its COSE number."""
    match key.get(3):
        case -7:
            return {"kty": "EC", "crv": "P-256", "x": websafe_encode(key[-2]), "y": websafe_encode(key[-3])}
        case -8:
            return {"kty": "OKP", "crv": "Ed25519", "x": websafe_encode(key[-2])}
        case -257:
            return {"kty": "RSA", "n": websafe_encode(key[-1]), "e": websafe_encode(key[-2])}
    return {"kty": "", "alg": str(key.get(3))}
