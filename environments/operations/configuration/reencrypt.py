"""configuration:reencrypt, account:reencrypt_two_factor: the same secrets under the key that encrypts now; nothing else
changes.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from allauth.mfa.models import Authenticator

from audit.operation import operation
from environments import key_ring
from environments.models import ConfigurationVersion
from environments.secrets import decrypt, encrypt, key_of
from environments.sign_in import FACTOR_AAD

# Where the sign-in library keeps what FactorAdapter encrypted, by type of second factor.
FACTOR_FIELDS = {"totp": ("secret",), "recovery_codes": ("seed", "migrated_codes")}


@dataclass(frozen=True)
class Place:
    """A table of another package that holds encrypted values. texts: row id → what is encrypted there; reencrypt: the
    operation for one row.
    """

    texts: Callable[[], Iterable[tuple[int, Iterable[str]]]]
    reencrypt: Callable[[int], None]

    def stale(self) -> list[int]:
        """Return the rows that hold a value under another key than the present one."""
        current = key_ring.read().current
        return [pk for pk, texts in self.texts() if any(key_of(text) != current for text in texts)]


# Packages with such tables add theirs when they are ready.
ELSEWHERE: list[Place] = []


def in_use() -> Counter[str]:
    """Return key id → how many values are encrypted under it, over every place that holds encrypted values."""
    found: Counter[str] = Counter()
    for encrypted in ConfigurationVersion.objects.values_list("encrypted", flat=True):
        found.update(key_of(text) for text in encrypted.values())
    for kind, data in Authenticator.objects.values_list("type", "data"):
        found.update(key_of(text) for text in _texts(kind, data))
    for place in ELSEWHERE:
        for _pk, texts in place.texts():
            found.update(key_of(text) for text in texts)
    return found


def stale_configurations() -> list[int]:
    """Return the versions that hold a value under another key than the present one."""
    current = key_ring.read().current
    rows = ConfigurationVersion.objects.order_by("pk").values_list("pk", "encrypted")
    return [pk for pk, encrypted in rows if any(key_of(text) != current for text in encrypted.values())]


def stale_factors() -> list[int]:
    """Return the second factors that hold a value under another key than the present one."""
    current = key_ring.read().current
    rows = Authenticator.objects.order_by("pk").values_list("pk", "type", "data")
    return [pk for pk, kind, data in rows if any(key_of(text) != current for text in _texts(kind, data))]


def reencrypt(version_id: int) -> None:
    """Re-encrypt one version's secrets. Its digest is compared before and after; a difference changes nothing."""
    with operation("configuration:reencrypt", (ConfigurationVersion, version_id)) as op:
        version = op.get(ConfigurationVersion)
        before = version.present_digest()
        op.details["from"] = sorted({key_of(text) for text in version.encrypted.values()})
        version.encrypted = {key: _anew(text, version.aad(key)) for key, text in version.encrypted.items()}
        op.details["to"] = sorted({key_of(text) for text in version.encrypted.values()})
        if version.present_digest() != before:
            raise RuntimeError(f"configuration {version_id}: other secrets after encryption than before")


def reencrypt_factor(authenticator_id: int) -> None:
    """Re-encrypt the secret of one second factor."""
    with operation("account:reencrypt_two_factor", (Authenticator, authenticator_id)) as op:
        factor = op.get(Authenticator)
        op.details["from"] = sorted({key_of(text) for text in _texts(factor.type, factor.data)})
        for name in FACTOR_FIELDS.get(factor.type, ()):
            if name in factor.data:
                factor.data[name] = _each(factor.data[name], lambda text: _anew(text, FACTOR_AAD))
        op.details["to"] = sorted({key_of(text) for text in _texts(factor.type, factor.data)})


def _anew(text: str, bound_to: str) -> str:
    return encrypt(decrypt(text, bound_to), bound_to)


def _each(value: Any, made: Callable[[str], str]) -> Any:
    return [made(text) for text in value] if isinstance(value, list) else made(value)


def _texts(kind: str, data: dict[str, Any]) -> list[str]:
    found: list[str] = []
    for name in FACTOR_FIELDS.get(kind, ()):
        value = data.get(name, [])
        found += value if isinstance(value, list) else [value]
    return found
