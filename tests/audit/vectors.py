"""The test vectors of docs/reference/ledger.md; `python -m tests.audit.vectors` writes them again.

The key signs vectors and nothing else: its seed is the SHA-256 of SEED, so that anybody can make the same file.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.ledger.note import Checkpoint, PublicKey, sign
from audit.ledger.proof import leaf_hash, tree_hash
from audit.offline.ringi_verify import key_id
from tests.audit import results
from tests.audit.ledger.reference import consistency_proof, inclusion_proof

FILE = Path(__file__).parents[2] / "docs" / "reference" / "ledger-vectors.json"
SEED = b"ringi: key of the test vectors"
ORIGIN = "ringi.example/ledger/vectors"
SIGNED_SIZES = (3, 5, 9)

# What canonical form is about: order by UTF-16, NFC, numbers that JSON cannot hold, characters that are escaped.
CANONICAL: tuple[tuple[str, str], ...] = (
    ('{"b": 1, "a": [true, null, false]}', '{"a":[true,null,false],"b":1}'),
    ('{"\\uffff": 1, "\\ud842\\udfb7": 2}', '{"\U00020bb7":2,"\uffff":1}'),
    ('"か\\u3099"', '"が"'),
    ("[9007199254740991, 9007199254740992, -1, 0.5, 1e3]", '[9007199254740991,"9007199254740992",-1,"0.5",1000]'),
    ('"line\\nquote\\" back\\\\ \\u001f / \\u007f é"', '"line\\nquote\\" back\\\\ \\u001f / \u007f é"'),
    ('"\\u0001\\b\\f\\r\\t\\u001F"', '"\\u0001\\b\\f\\r\\t\\u001f"'),
    (
        "[1.50, -0, 0.0, 1E2, -9007199254740991, -9007199254740992]",
        '["1.50",0,"0.0",100,-9007199254740991,"-9007199254740992"]',
    ),
    ("{}", "{}"),
)


# Personal columns: the column, and its value as canonical JSON. Empty values are recorded as they are.
PERSONAL: tuple[tuple[str, str], ...] = (
    ("telephone", '"+81-90-1111-2222"'),
    ("address", '"+81-90-1111-2222"'),
    ("name", '"佐藤 玲子"'),
    ("git_addresses", '["a@example.com","b@example.com"]'),
    ("telephone", '""'),
    ("git_addresses", "[]"),
)


def _personal() -> Iterator[dict[str, str]]:
    for number, (column, value) in enumerate(PERSONAL):
        key = sha256(SEED + bytes([number])).digest()
        made = "personal:sha256:" + sha256(key + f"{column}:{value}".encode()).hexdigest()
        recorded = value if value in ('""', "[]") else json.dumps(made)
        yield {"key": key.hex(), "column": column, "value": value, "recorded": recorded}


def _event(number: int, **fields: Any) -> dict[str, Any]:
    blank = {
        "v": 2,
        "id": f"019b2f00-0000-7{number:03x}-8000-00000000000{number:x}",
        "kind": "operation",
        "operation_id": f"5f1b2f00-0000-4000-8000-00000000000{(number + 1) // 2:x}",
        "ts": f"2026-12-16T04:00:0{number}.000001Z",
        "tx": 700 + number,
        "actor": "person:7:佐藤 玲子",
        "on_behalf": "",
        "channel": "admin",
        "request": {"address": "192.0.2.7", "id": "r-1"},
        "session_user": "ringi",
        "operation": "release:plan",
        "object": "releases.Release:1",
        "before": None,
        "after": {},
        "reason": "利用部門の要望",
        "outcome": "done",
    }
    return blank | fields


EVENTS: tuple[dict[str, Any], ...] = (
    _event(1, kind="row", outcome="inserted", after={"id": 1, "title": "メタデータ検索の改善", "score": "0.5"}),
    _event(2),
    _event(3, kind="row", outcome="updated", before={"id": 1, "title": "古い"}, after={"id": 1, "title": "新しい"}),
    _event(
        4, kind="refusal", outcome="refused", after={"kind": "not_permitted", "reasons": ["You wrote it."]}, reason=""
    ),
    _event(
        5,
        kind="access",
        operation="session:sign_in",
        object="",
        operation_id=None,
        after={"method": "password"},
        reason="",
    ),
    _event(6, kind="row", outcome="deleted", before={"id": 2, "file": "sha256:" + 64 * "0"}, actor="break-glass:mori"),
    _event(7, actor="service:3:CI", channel="api", on_behalf="", after={"\uffff": 1, "\U00020bb7": 2}),
    _event(
        8, actor="worker:host:41", channel="worker", after={"signature": {"name": "佐藤 玲子", "meaning": "approve"}}
    ),
    _event(9, actor="command:migrate", channel="command", request={"address": "", "id": ""}, object=""),
)


def _links(events: list[bytes]) -> Iterator[dict[str, Any]]:
    chain = bytes(32)
    for number, event in enumerate(events, 1):
        leaf = leaf_hash(event)
        chain = sha256(b"\x01" + chain + leaf).digest()
        yield {"number": number, "event": event.decode(), "leaf": leaf.hex(), "chain": chain.hex()}


def _export(links: list[dict[str, Any]], notes: dict[int, str], key: str) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = [{"ringi": "export", "v": 1, "key": key}]
    for link in links:
        lines.append(link | {"event": base64.b64encode(link["event"].encode()).decode()})
        if link["number"] in notes:
            lines.append({"checkpoint": notes[link["number"]]})
    return [*lines, {"head": {"number": len(links), "chain": links[-1]["chain"]}}]


def _altered(lines: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield how an export of three events is altered, and the expected result."""
    one, two, three, note, head = lines[1:]
    changed = base64.b64encode(base64.b64decode(two["event"]).replace(b"person:7", b"person:8")).decode()
    leaf = leaf_hash(base64.b64decode(changed))
    chain = sha256(b"\x01" + bytes.fromhex(one["chain"]) + leaf).digest()
    last = sha256(b"\x01" + chain + bytes.fromhex(three["leaf"])).hexdigest()
    fitting = {"event": changed, "leaf": leaf.hex(), "chain": chain.hex()}
    short = {"head": {"number": 2, "chain": two["chain"]}}
    for what, number, altered in (
        ("nothing", 0, [one, two, three, note, head]),
        ("the bytes of an event", 2, [one, two | {"event": changed}, three, note, head]),
        ("bytes and leaf", 2, [one, two | {"event": changed, "leaf": leaf.hex()}, three, note, head]),
        ("bytes, leaf and link", 3, [one, two | fitting, three, note, head]),
        (
            "the chain from there on; the checkpoint of 3 tells, so the fault lies in 1 to 3",
            1,
            [one, two | fitting, three | {"chain": last}, note, {"head": {"number": 3, "chain": last}}],
        ),
        ("an event is missing", 2, [one, three, note, head]),
        ("an event is doubled", 3, [one, two, two, three, note, head]),
        ("two are swapped", 2, [one, three, two, note, head]),
        ("the tail is cut, the head says so", 3, [one, two, head]),
        ("tail and head are cut, the checkpoint is left", 3, [one, two, note, short]),
        ("the head is missing", 4, [one, two, three, note]),
        (
            "the root in the note",
            3,
            [one, two, three, {"checkpoint": note["checkpoint"].replace("\n3\n", "\n2\n")}, head],
        ),
    ):
        case = {"altered": what, "status": 1 if number else 0, "number": number, "signed": 0 if number else 3}
        yield case | {"earlier": [], "lines": [lines[0], *altered]}


def built() -> dict[str, Any]:
    """Return all vectors."""
    private = Ed25519PrivateKey.from_private_bytes(sha256(SEED).digest())
    key = PublicKey(ORIGIN, private.public_key().public_bytes_raw())
    events = [rfc8785.dumps(event) for event in EVENTS]
    leaves = [leaf_hash(event) for event in events]
    links, sizes = list(_links(events)), range(1, len(events) + 1)
    log, title = results.Log(ORIGIN, private, events), {"ringi": "export", "v": 1, "key": str(key)}
    fresh = PublicKey(ORIGIN, results.private(results.NEXT_SEED).public_key().public_bytes_raw())
    renewal = _event(
        2,
        operation="audit:renew_key",
        object="",
        actor="worker:ledger_signer",
        channel="worker",
        request={"address": "", "id": ""},
        after={"key": str(fresh), "previous": str(key)},
        reason="yearly",
    )
    notes = {size: sign(Checkpoint(ORIGIN, size, tree_hash(leaves[:size])), private) for size in SIGNED_SIZES}
    return {
        "ringi": "vectors",
        "v": 1,
        "seed": f"SHA-256 of {SEED.decode()!r}, a key for vectors only",
        "key": str(key),
        "canonical": [{"value": value, "bytes": written} for value, written in CANONICAL],
        "personal": list(_personal()),
        "keys": [
            {"name": one.name, "public": one.public.hex(), "id": key_id(one.name, one.public).hex(), "key": str(one)}
            for one in (key, fresh, PublicKey("witness.example/w", key.public))
        ],
        "events": links,
        "roots": [{"size": size, "root": tree_hash(leaves[:size]).hex()} for size in (0, *sizes)],
        "notes": [{"size": size, "note": note} for size, note in notes.items()],
        "no_notes": list(results.no_notes(log)),
        "inclusion": [
            {"number": n, "size": size, "path": [node.hex() for node in inclusion_proof(n - 1, leaves[:size])]}
            for size in sizes
            for n in range(1, size + 1)
        ],
        "consistency": [
            {"from": old, "to": size, "path": [node.hex() for node in consistency_proof(old, leaves[:size])]}
            for size in sizes
            for old in range(1, size + 1)
        ],
        "exports": [
            *_altered(_export(links[:3], notes, str(key))),
            *results.exports(results.Log(ORIGIN, private, events[:3]), title, renewal),
        ],
        "proofs": list(results.proofs(log, key)),
        "statements": results.statements(private),
    }


def written(vectors: dict[str, Any]) -> str:
    """Return the text of the file: one vector on each line."""
    parts = []
    for name, value in vectors.items():
        if isinstance(value, list):
            rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in value)
            parts.append(f' "{name}": [\n  {rows}\n ]')
        else:
            parts.append(f' "{name}": {json.dumps(value, ensure_ascii=False)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    FILE.write_text(written(built()), encoding="utf-8")
    sys.exit(0)
