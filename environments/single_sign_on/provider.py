"""The organisation's OpenID provider: where to send a person, and who came back.

The protocol is Authlib's (code flow with PKCE, state and nonce). Which keys count is decided here: the proof of a
signature is verified for years by programs that know these three algorithms.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

from authlib.common.errors import AuthlibBaseError
from authlib.integrations.django_client import DjangoOAuth2App, OAuth
from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from joserfc.errors import JoseError
from joserfc.jws import extract_compact
from requests import RequestException

from audit.offline.ringi_verify import from_base64url, token_verifies

ALGORITHMS = ("RS256", "ES256", "EdDSA")
TIMEOUT = 10
# What an answer or a provider that is not as it should be raises.
FAULTS = (AuthlibBaseError, JoseError, RequestException, LookupError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class SignIn:
    """Who signed in at the provider. second_factor: it says that it asked for one. authenticated_at: seconds since
    1970. groups: those of the person; None where groups give no roles. id_token: the provider's statement (JWS,
    compact), and key the JSON Web Key that signed it; empty by SAML.
    """

    issuer: str
    subject: str
    second_factor: bool
    authenticated_at: float
    groups: tuple[str, ...] | None
    claims: dict[str, Any]
    id_token: str = ""
    key: dict[str, str] = field(default_factory=dict)
    key_id: str = ""


@cache
def _client(issuer: str, client_id: str, secret: str) -> DjangoOAuth2App:
    oauth = OAuth()
    registered = oauth.register(
        "provider",
        client_id=client_id,
        client_secret=secret,
        server_metadata_url=f"{issuer.rstrip('/')}/.well-known/openid-configuration",
        client_kwargs={"scope": settings.OIDC_SCOPE, "code_challenge_method": "S256", "default_timeout": TIMEOUT},
    )
    return cast("DjangoOAuth2App", registered)


def client() -> DjangoOAuth2App:
    """Return the client of the provider, which knows its addresses and keys. Raises FAULTS."""
    found = _client(settings.OIDC_ISSUER, settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET)
    metadata = found.load_server_metadata()
    if metadata["issuer"] != settings.OIDC_ISSUER:
        raise ValueError("the provider calls itself otherwise")
    known = metadata["id_token_signing_alg_values_supported"]
    metadata["id_token_signing_alg_values_supported"] = [one for one in ALGORITHMS if one in known]
    return found


def ask() -> None:
    """Ask the provider for its addresses and keys, whatever is known of them. Raises FAULTS."""
    _client.cache_clear()
    client().fetch_jwk_set(force=True)


def address_for(request: HttpRequest, nonce: str = "", *, again: bool = False) -> tuple[str, str]:
    """Return (address of the provider, state) for one sign-in. nonce: what the provider is to sign. again: the person
    signs in there even where they have a session. Raises FAULTS.
    """
    asked = {"acr_values": " ".join(settings.OIDC_SECOND_FACTOR)} if settings.OIDC_SECOND_FACTOR else {}
    asked |= {"max_age": "0", "prompt": "login"} if again else {}
    asked |= {"nonce": nonce} if nonce else {}
    provider, back = client(), settings.BASE_URL.rstrip("/") + reverse("single-sign-on-return")
    made = provider.create_authorization_url(back, **asked)
    provider.save_authorize_data(request, redirect_uri=back, **made)
    return made["url"], made["state"]


def who_came_back(request: HttpRequest) -> SignIn:
    """Return who signed in, as the provider states it in answer to `address_for`. Raises FAULTS."""
    provider = client()
    issuer = settings.OIDC_ISSUER
    if request.GET.get("iss", issuer) != issuer:
        raise ValueError("another provider answered")
    required = {"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": provider.client_id}}
    token = provider.authorize_access_token(request, claims_options=required)
    claims = dict(token["userinfo"])
    key, key_id = _key_of(provider, token["id_token"])
    return SignIn(
        issuer=issuer,
        subject=str(claims["sub"]),
        second_factor=claims.get("acr") in settings.OIDC_SECOND_FACTOR,
        authenticated_at=float(claims.get("auth_time", 0)),
        id_token=token["id_token"],
        key=key,
        key_id=key_id,
        groups=groups_of(claims),
        claims=claims,
    )


def verifies(who: SignIn) -> bool:
    """Tell whether those who verify the ledger later will find the statement signed: they know fewer forms of keys."""
    message, _dot, signature = who.id_token.rpartition(".")
    try:
        algorithm = extract_compact(who.id_token.encode()).protected["alg"]
        return token_verifies(algorithm, who.key, message.encode(), from_base64url(signature))
    except (IndexError, KeyError, ValueError):
        return False


def groups_of(claims: dict[str, Any]) -> tuple[str, ...] | None:
    """Return the groups that the provider states; a person in none may have no such claim. None: groups give no roles,
    or the provider does not state them. Raises ValueError.
    """
    if not settings.OIDC_GROUPS_CLAIM:
        return None
    if settings.OIDC_GROUPS_CLAIM in claims.get("_claim_names", {}):
        return None  # too many to be stated here (OpenID Connect Core 1.0, 5.6.2): what the person has stays
    stated = claims.get(settings.OIDC_GROUPS_CLAIM) or []
    if not isinstance(stated, list) or not all(isinstance(one, str) for one in stated):
        raise ValueError("the groups are no list of names")
    return tuple(stated)


def _key_of(provider: DjangoOAuth2App, id_token: str) -> tuple[dict[str, str], str]:
    """Return the public key of a verified statement, and its name."""
    key_id = extract_compact(id_token.encode()).protected.get("kid", "")
    keys = provider.fetch_jwk_set()["keys"]
    (found,) = [key for key in keys if key.get("kid", "") == key_id] if key_id else keys
    return {part: found[part] for part in ("kty", "crv", "x", "y", "n", "e") if part in found}, key_id
