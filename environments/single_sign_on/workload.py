"""Which workload calls, as the platform of a pipeline states by a JSON Web Token (RFC 7519), in place of a secret.

The platform publishes its keys as OpenID Connect Discovery 1.0 says. GitHub and GitLab do.
"""

import json
import threading
import time
from dataclasses import dataclass, replace
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
# Keys are asked for again after an hour; for an unknown key at most once a minute, however many ask.
KEPT, PAUSE = 3600.0, 60.0
FAULTS = (JoseError, requests.RequestException, LookupError, TypeError, ValueError, AttributeError, RecursionError)


@dataclass(frozen=True)
class _Keys:
    """Keys of an issuer, when it has answered, and when it was asked last. None: it has not answered yet."""

    keys: KeySet | None = None
    at: float = -KEPT
    asked: float = -KEPT


_known: dict[str, _Keys] = {}
_asking = threading.Lock()


def wrong_issuer(address: str) -> bool:
    """Tell whether an address is none of an issuer: https, without query; http only on this machine."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return True
    secure = parts.scheme == "https" or parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")
    return not (secure and parts.hostname) or bool(parts.query or parts.fragment or parts.username)


def issuer_of(token: str) -> str:
    """Return the issuer that a token names, which is not verified. Raises FAULTS."""
    if len(token) > LONGEST:
        raise ValueError("the token is too long")
    return _name(json.loads(extract_compact(token.encode()).payload)["iss"])


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
    return _name(claims["sub"])


def _name(value: Any) -> str:
    """Return an issuer or a subject as rows can have it. Raises ValueError."""
    if not isinstance(value, str) or not 0 < len(value) <= 255 or not value.isprintable():
        raise ValueError("the token names no issuer, or no subject")
    return value


def _keys(issuer: str, key_id: str) -> KeySet:
    """Return the keys of an issuer, as fresh as a key with this ID needs. No call waits for the answer to another."""
    known, moment = _known.get(issuer, _Keys()), time.monotonic()
    has = key_id in {key.kid for key in known.keys.keys} if known.keys is not None else False
    if has and moment - known.at < KEPT:
        assert known.keys is not None
        return known.keys
    with _asking:
        if moment - _known.get(issuer, _Keys()).asked < PAUSE:
            raise ValueError("the issuer was asked for its keys a moment ago")
        _known[issuer] = replace(known, asked=moment)
    keys = _asked(issuer)
    _known[issuer] = _Keys(keys, moment, moment)
    return keys


def _asked(issuer: str) -> KeySet:
    found = _read(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    address = found["jwks_uri"]
    if (
        found["issuer"] != issuer
        or wrong_issuer(address)
        or address.startswith("http:")
        and issuer.startswith("https:")
    ):
        raise ValueError("the issuer calls itself otherwise, or publishes its keys without https")
    keys = [key for key in _read(address)["keys"] if key.get("kty") in ("RSA", "EC", "OKP")]
    return KeySet.import_key_set({"keys": keys})


def _read(address: str) -> Any:
    began, content = time.monotonic(), bytearray()
    with requests.get(address, timeout=TIMEOUT, allow_redirects=False, stream=True) as answer:
        if answer.status_code != 200:
            raise ValueError(f"{address} answered {answer.status_code}")
        for part in answer.iter_content(4096):
            content += part
            if len(content) > LONGEST_ANSWER or time.monotonic() - began > 2 * TIMEOUT:
                raise ValueError(f"{address} answered more than {LONGEST_ANSWER} bytes, or too slowly")
    return json.loads(content)
