"""Which workload calls, as the platform of a pipeline states by a JSON Web Token (RFC 7519), in place of a secret.

The platform publishes its keys as OpenID Connect Discovery 1.0 says. GitHub and GitLab do.
"""

import json
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import extract_compact
from joserfc.jwt import decode

from environments.single_sign_on.provider import ALGORITHMS

LONGEST, LONGEST_ANSWER = 16_384, 262_144  # bytes
TIMEOUT, LEEWAY = 5.0, 60  # seconds
# Keys are asked for again after an hour; for an unknown key at most once a minute, whoever calls.
KEPT, PAUSE = 3600.0, 60.0
FAULTS = (JoseError, requests.RequestException, LookupError, TypeError, ValueError, AttributeError, RecursionError)


@dataclass(frozen=True)
class _Keys:
    """Keys of an issuer, and when it was asked; None where it has not answered."""

    keys: KeySet | None
    at: float


_known: dict[str, _Keys] = {}
_asking = threading.Lock()


def wrong_issuer(address: str) -> bool:
    """Tell whether an address is none of an issuer: https, without query; http only on this machine."""
    parts = urlsplit(address)
    secure = parts.scheme == "https" or parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")
    return not (secure and parts.hostname) or bool(parts.query or parts.fragment or parts.username)


def issuer_of(token: str) -> str:
    """Return the issuer that a token names, which is not verified. Raises FAULTS."""
    if len(token) > LONGEST:
        raise ValueError("the token is too long")
    return str(json.loads(extract_compact(token.encode()).payload)["iss"])


def subject_of(token: str, *, issuer: str, audience: str) -> str:
    """Return whom an issuer states by a token for an audience, now. Raises FAULTS for any other token."""
    key_id = extract_compact(token.encode()).headers()["kid"]
    claims = decode(token, _keys(issuer, key_id), algorithms=list(ALGORITHMS)).claims
    audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    moment = time.time()
    if claims["iss"] != issuer or audience not in audiences:
        raise ValueError("the token is of another issuer, or for somebody else")
    if not claims["exp"] > moment - LEEWAY or not claims.get("nbf", 0) <= moment + LEEWAY:
        raise ValueError("the token has ended, or does not count yet")
    if not isinstance(claims["sub"], str) or not claims["sub"]:
        raise ValueError("the token has no subject")
    return claims["sub"]


def _keys(issuer: str, key_id: str) -> KeySet:
    """Return the keys of an issuer, as fresh as a key with this ID needs."""
    with _asking:
        known, moment = _known.get(issuer, _Keys(None, -KEPT)), time.monotonic()
        fits = known.keys is not None and key_id in {key.kid for key in known.keys.keys}
        if moment - known.at >= (KEPT if fits else PAUSE):
            _known[issuer] = _Keys(None, moment)  # one that does not answer is not asked again at once
            known = _known[issuer] = _Keys(_asked(issuer), moment)
        if known.keys is None:
            raise ValueError("the issuer has not answered")
        return known.keys


def _asked(issuer: str) -> KeySet:
    found = _read(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    if found["issuer"] != issuer or wrong_issuer(found["jwks_uri"]):
        raise ValueError("the issuer calls itself otherwise, or publishes its keys without https")
    keys = [key for key in _read(found["jwks_uri"])["keys"] if key.get("kty") in ("RSA", "EC", "OKP")]
    return KeySet.import_key_set({"keys": keys})


def _read(address: str) -> Any:
    with requests.get(address, timeout=TIMEOUT, allow_redirects=False, stream=True) as answer:
        if answer.status_code != 200:
            raise ValueError(f"{address} answered {answer.status_code}")
        content = answer.raw.read(LONGEST_ANSWER + 1, decode_content=True)
        if len(content) > LONGEST_ANSWER:
            raise ValueError(f"{address} answered more than {LONGEST_ANSWER} bytes")
        return json.loads(content)
