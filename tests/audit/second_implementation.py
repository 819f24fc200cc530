"""A second implementation of the tree and the notes, for tests alone: RFC 6962, section 2.1, as it is written there.

It imports nothing of the project and follows the definitions literally (each hash computed again, lists cut in two), so
that it shares no shortcut with audit/ledger/proof.py. It was written by the same hands; pymerkle, where it is
installed, was not.
"""

from __future__ import annotations

import base64
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def largest_power_below(n: int) -> int:
    """Return k of the RFC: the largest power of two smaller than n."""
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def mth(d: list[bytes]) -> bytes:
    """Return MTH(D[n]) of the entries (events), not of leaves."""
    if not d:
        return sha256(b"").digest()
    if len(d) == 1:
        return sha256(b"\x00" + d[0]).digest()
    k = largest_power_below(len(d))
    return sha256(b"\x01" + mth(d[:k]) + mth(d[k:])).digest()


def path(m: int, d: list[bytes]) -> list[bytes]:
    """Return PATH(m, D[n]), m from 0."""
    if len(d) == 1:
        return []
    k = largest_power_below(len(d))
    return path(m, d[:k]) + [mth(d[k:])] if m < k else path(m - k, d[k:]) + [mth(d[:k])]


def proof(m: int, d: list[bytes]) -> list[bytes]:
    """Return PROOF(m, D[n])."""
    return subproof(m, d, True)


def subproof(m: int, d: list[bytes], b: bool) -> list[bytes]:
    """Return SUBPROOF(m, D[n], b)."""
    if m == len(d):
        return [] if b else [mth(d)]
    k = largest_power_below(len(d))
    if m <= k:
        return subproof(m, d[:k], b) + [mth(d[k:])]
    return subproof(m - k, d[k:], False) + [mth(d[:k])]


def note_says(note: str, key: str) -> tuple[str, int, bytes] | None:
    """Return origin, size and root of a signed note, as docs/reference/ledger.md has it; None when it is not by
    `key`.
    """
    name, identity, encoded = key.split("+", 2)
    typed = base64.b64decode(encoded)
    if sha256(name.encode() + b"\n" + typed).digest()[:4].hex() != identity:
        return None
    text, _empty, signatures = note.partition("\n\n")
    for line in signatures.splitlines():
        dash, signer, blob = line.split(" ")
        raw = base64.b64decode(blob)
        if dash == "\u2014" and signer == name and raw[:4].hex() == identity:
            try:
                Ed25519PublicKey.from_public_bytes(typed[1:]).verify(raw[4:], (text + "\n").encode())
            except InvalidSignature:
                return None
            origin, size, root = text.split("\n")
            return origin, int(size), base64.b64decode(root)
    return None
