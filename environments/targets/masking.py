"""Masking of secrets in a stream of output, across the borders of its chunks; called by the runner and by the
executor.
"""

import base64
import json
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus, unquote, urlsplit

T = TypeVar("T")

MASK = b"****"

# Encodings of very short values occur by chance in any text; the raw value is masked anyway.
SHORTEST_ENCODED = 4


def _base64_forms(secret: bytes) -> set[bytes]:
    """Return what base64 makes of the secret at each of its three alignments, without the bits shared with
    neighbours.
    """
    forms: set[bytes] = set()
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + secret)
        first = (shift * 8 + 5) // 6
        last = (shift + len(secret)) * 8 // 6
        form = encoded[first:last]
        if len(form) >= SHORTEST_ENCODED:
            forms.update((form, form.translate(bytes.maketrans(b"+/", b"-_"))))
    return forms


def forms_of(secret: str) -> set[bytes]:
    """Return the byte strings under which the secret may appear: raw, base64, URL-, JSON- and hex-encoded, its
    lines.
    """
    raw = secret.encode()
    forms = {raw}
    if len(raw) >= SHORTEST_ENCODED:
        forms |= _base64_forms(raw)
        escaped = (quote(secret, safe=""), quote(secret), quote_plus(secret))
        forms.update(text.encode() for text in escaped)
        forms.update(re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), text).encode() for text in escaped)
        forms.update(json.dumps(secret, ensure_ascii=ascii_only)[1:-1].encode() for ascii_only in (True, False))
        forms.update((raw.hex().encode(), raw.hex().upper().encode()))
        forms.update(line.strip() for line in raw.splitlines() if len(line.strip()) >= 8)
    forms.discard(b"")
    return forms


def passwords_in(values: Iterable[str]) -> set[str]:
    """Return the passwords inside those values that are URLs, as written and decoded."""
    found: set[str] = set()
    for value in values:
        if "://" not in value:
            continue
        try:
            password = urlsplit(value).password
        except ValueError:
            continue
        if password:
            found.update((password, unquote(password)))
    return found


class Mask:
    """Replaces secrets in a byte stream: feed() returns what is certain so far, flush() the rest."""

    def __init__(self, secrets: Iterable[str]) -> None:
        given = {secret for secret in secrets if secret}
        forms: set[bytes] = set()
        for secret in given | passwords_in(given):
            forms |= forms_of(secret)
        ordered = sorted(forms, key=lambda form: (-len(form), form))
        # Looking ahead finds matches that overlap; the longest alternative comes first.
        pattern = b"(?=(" + b"|".join(re.escape(form) for form in ordered) + b"))"
        self._pattern = re.compile(pattern) if ordered else None
        self._forms = ordered
        self._starts: set[bytes] = {form[:length] for form in ordered for length in range(1, len(form))}
        self._longest = len(ordered[0]) if ordered else 0
        self._held = b""

    def _spans(self, text: bytes) -> list[tuple[int, int]]:
        spans: list[tuple[int, int]] = []
        if self._pattern is None:
            return spans
        for found in self._pattern.finditer(text):
            start, end = found.start(1), found.end(1)
            if spans and start < spans[-1][1]:
                spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
            else:
                spans.append((start, end))
        return spans

    @staticmethod
    def _masked(text: bytes, spans: list[tuple[int, int]]) -> bytes:
        parts: list[bytes] = []
        at = 0
        for start, end in spans:
            parts += [text[at:start], MASK]
            at = end
        return b"".join([*parts, text[at:]])

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes and return those that no longer can be the beginning of a secret, masked."""
        if self._pattern is None:
            return chunk
        text = self._held + chunk
        cut = len(text)
        for start in range(max(0, len(text) - self._longest + 1), len(text)):
            if text[start:] in self._starts:
                cut = start
                break
        spans = self._spans(text)
        # A secret that reaches over the cut is kept whole, so that a longer one that overlaps it is seen as
        # well.
        for start, end in reversed(spans):
            if start < cut < end:
                cut = start
        self._held = text[cut:]
        return self._masked(text[:cut], [span for span in spans if span[1] <= cut])

    def flush(self) -> bytes:
        """Return what was held back, masked; nothing more will come."""
        text, self._held = self._held, b""
        return self._masked(text, self._spans(text))


def masked(text: str, secrets: Iterable[str]) -> str:
    """Return the text with every form of the secrets replaced."""
    return masker(secrets)(text)


def masker(secrets: Iterable[str]) -> Callable[[str], str]:
    """Return a function that does the same to one text after the other."""
    mask = Mask(secrets)
    return lambda text: (mask.feed(text.encode()) + mask.flush()).decode(errors="replace")


def clean(value: T, secrets: Iterable[str]) -> T:
    """Return a JSON value with every form of the secrets replaced in its texts and keys."""
    known = tuple(secrets)
    return value if not known else _clean(value, known)  # type: ignore[no-any-return]


def _clean(value: Any, secrets: tuple[str, ...]) -> Any:
    if isinstance(value, str):
        return masked(value, secrets) if value else value
    if isinstance(value, dict):
        return {_clean(key, secrets): _clean(entry, secrets) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(entry, secrets) for entry in value]
    return value
