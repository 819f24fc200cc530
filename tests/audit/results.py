"""The part of the test vectors that says what a verifier must answer; `tests/audit/vectors.py` puts it into the
file.
"""

from __future__ import annotations

import base64
import string
from collections.abc import Iterator
from typing import Any

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.dsse import Signer, to_sign
from audit.ledger.note import Checkpoint, PublicKey, sign
from audit.ledger.proof import EMPTY_ROOT
from tests.audit.ledger.reference import consistency_proof, inclusion_proof
from tests.audit.result_log import NEXT_SEED, SIGNATURE_MARK, Line, Log, _renewing, _with, private


def exports(log: Log, title: Line, renewal: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what is not about altered bytes: notes, keys, forms, and inconclusive cases. log: of three events."""
    one, two, three, head = *log.lines(), log.head()
    note = {"checkpoint": log.note(3)}
    fresh = private(NEXT_SEED)
    named, unsigned, by_itself, elsewhere, as_row = (
        Log(log.origin, log.key, [log.events[0], rfc8785.dumps(event), log.events[2]])
        for event in (
            _renewing(log, renewal, log.key, EMPTY_ROOT),
            renewal,
            _renewing(log, renewal, fresh, EMPTY_ROOT),
            _renewing(log, renewal, log.key, bytes(32)),
            _renewing(log, renewal, log.key, EMPTY_ROOT) | {"kind": "row"},
        )
    )
    spaced = Log(log.origin, log.key, [log.events[0], log.events[1] + b" ", log.events[2]])
    older = {key: value for key, value in renewal.items() if key != "session_user"} | {
        "operation": "release:plan",
        "v": 1,
    }
    aged, version = (
        Log(log.origin, log.key, [log.events[0], rfc8785.dumps(event), log.events[2]])
        for event in (older, older | {"session_user": "ringi"})
    )
    short = Log(log.origin, log.key, [log.events[0], rfc8785.dumps({"v": 1}), log.events[2]])
    by_next = {"checkpoint": named.note(3, fresh)}
    other = log.note(2, root=bytes(32))
    cases: list[tuple[str, int, int, int, list[Line], list[str]]] = [
        ("no checkpoint: nobody signed it", 2, 0, 0, log.exported(), []),
        ("no event and no checkpoint", 2, 0, 0, [{"head": {"number": 0, "chain": bytes(32).hex()}}], []),
        ("an event behind the last checkpoint", 0, 0, 2, log.exported(2), []),
        (
            "another signature, by a witness, below the note",
            0,
            0,
            3,
            [
                one,
                two,
                three,
                {
                    "checkpoint": note["checkpoint"]
                    + f"{SIGNATURE_MARK}witness.example/w {base64.b64encode(bytes(72)).decode()}\n"
                },
                head,
            ],
            [],
        ),
        (
            "the signature is of another note",
            1,
            3,
            0,
            [
                one,
                two,
                three,
                {"checkpoint": note["checkpoint"].rpartition("\n\n")[0] + "\n\n" + log.note(2).rpartition("\n\n")[2]},
                head,
            ],
            [],
        ),
        (
            "a key of that name that nobody named",
            1,
            3,
            3,
            [one, two, three, {"checkpoint": log.note(3, fresh)}, head],
            [],
        ),
        (
            "a checkpoint of less than what stands before it",
            1,
            3,
            0,
            [one, two, three, {"checkpoint": log.note(2)}, head],
            [],
        ),
        ("a checkpoint of more than what stands before it", 1, 3, 0, [one, two, note, three, head], []),
        ("a line behind the head", 1, 4, 3, [one, two, three, note, head, head], []),
        ("a line that is no object", 1, 2, 0, [one, [], two, three, note, head], []),
        ("a line of no kind", 1, 2, 0, [one, {"x": 1}, two, three, note, head], []),
        ("the event of a link is missing", 1, 2, 0, [one, two | {"event": None}, three, note, head], []),
        ("white space behind an event, all else fits", 1, 2, 0, spaced.exported(3), []),
        ("an event with too few keys, all else fits", 1, 2, 0, short.exported(3), []),
        ("an event of version 1, which had no session_user, all else fits", 1, 2, 0, aged.exported(3), []),
        ("an event that calls itself version 1, all else fits", 1, 2, 0, version.exported(3), []),
        (
            "the chain value of the head",
            1,
            3,
            3,
            [one, two, three, note, {"head": {"number": 3, "chain": bytes(32).hex()}}],
            [],
        ),
        (
            "the ledger names the next key, signed by the one before",
            0,
            0,
            3,
            [*named.exported(2)[:-1], by_next, named.head()],
            [],
        ),
        (
            "the next key is named, signed, and covered by a checkpoint of its own alone",
            0,
            0,
            3,
            [*named.lines(), by_next, named.head()],
            [],
        ),
        ("the next key is named, and the key before has not signed that", 1, 2, 0, unsigned.exported(1), []),
        ("the same, and a believed checkpoint covers it: the signer knew of it", 0, 0, 3, unsigned.exported(1, 3), []),
        (
            "the same, and a checkpoint by that key covers it",
            1,
            3,
            0,
            [*unsigned.lines(), {"checkpoint": unsigned.note(3, fresh)}, unsigned.head()],
            [],
        ),
        ("the next key is named, signed by itself", 1, 2, 0, by_itself.exported(1), []),
        (
            "the same, and a checkpoint by that key covers it; before it there is none",
            1,
            3,
            0,
            [*by_itself.lines(), {"checkpoint": by_itself.note(3, fresh)}, by_itself.head()],
            [],
        ),
        ("the next key is named, signed with the root of another ledger", 1, 2, 0, elsewhere.exported(1), []),
        (
            "a row that says what only an operation may",
            1,
            3,
            3,
            [*as_row.exported(2)[:-1], {"checkpoint": as_row.note(3, fresh)}, as_row.head()],
            [],
        ),
        ("a checkpoint from earlier agrees, the file has none", 0, 0, 2, log.exported(), [log.note(2)]),
        ("a checkpoint from earlier of another past; the file's own agree", 1, 1, 1, log.exported(1, 3), [other]),
        ("one from earlier agrees, the next one not", 1, 2, 1, log.exported(3), [log.note(1), other]),
        (
            "a checkpoint from earlier covers more than there is",
            1,
            4,
            3,
            log.exported(3),
            [sign(Checkpoint(log.origin, 5, bytes(32)), log.key)],
        ),
        ("a checkpoint from earlier that no known key signed", 2, 0, 3, log.exported(3), [log.note(2, fresh)]),
        (
            "one from earlier that no known key signed agrees, the next one not: it bounds nothing",
            1,
            1,
            0,
            log.exported(3),
            [log.note(1, fresh), other],
        ),
        ("upper-case hex", 1, 2, 0, [one, two | {"leaf": two["leaf"].upper()}, three, note, head], []),
        (
            "upper-case hex in the head",
            1,
            3,
            0,
            [one, two, three, note, {"head": {"number": 3, "chain": three["chain"].upper()}}],
            [],
        ),
        ("a number that is true", 1, 1, 0, [one | {"number": True}, two, three, note, head], []),
        ("a number with a fraction", 1, 1, 0, [one | {"number": 1.0}, two, three, note, head], []),
        (
            "a head with a fraction",
            1,
            4,
            0,
            [one, two, three, note, {"head": {"number": 3.0, "chain": three["chain"]}}],
            [],
        ),
        (
            "more padding than base64 has",
            1,
            2,
            0,
            [one, two | {"event": two["event"].rstrip("=") + "===="}, three, note, head],
            [],
        ),
        (
            "a signature line without a signature",
            1,
            3,
            0,
            [one, two, three, {"checkpoint": note["checkpoint"] + f"{SIGNATURE_MARK}witness.example/w\n"}, head],
            [],
        ),
        (
            "a signature line of a key id alone",
            1,
            3,
            0,
            [
                one,
                two,
                three,
                {"checkpoint": note["checkpoint"] + f"{SIGNATURE_MARK}witness.example/w AAAAAA==\n"},
                head,
            ],
            [],
        ),
        ("a kind that there is not, all else fits", 1, 2, 0, _with(log, renewal | {"kind": "foo"}).exported(3), []),
        (
            "a key of an event stands twice, all else fits",
            1,
            2,
            0,
            Log(log.origin, log.key, [log.events[0], log.events[1][:-1] + b',"reason":"x"}', log.events[2]]).exported(
                3
            ),
            [],
        ),
    ]
    for what, status, number, signed, lines, earlier in cases:
        case = {"altered": what, "status": status, "number": number, "signed": signed if not status else 0}
        yield case | {"earlier": earlier, "lines": [title, *lines]}
    yield {
        "altered": "another version of the form",
        "status": 2,
        "number": 0,
        "signed": 0,
        "earlier": [],
        "lines": [title | {"v": 2}, one, two, three, note, head],
    }
    yield {
        "altered": "the public key of the file alone",
        "status": 2,
        "number": 0,
        "signed": 0,
        "earlier": [],
        "key": "",
        "lines": [title, one, two, three, note, head],
    }
    yield {
        "altered": "the public key of the file alone, and a checkpoint from earlier",
        "status": 0,
        "number": 0,
        "signed": 2,
        "earlier": [log.note(2)],
        "key": "",
        "lines": [title, one, two, three, note, head],
    }
    yield {
        "altered": "no public key",
        "status": 2,
        "number": 0,
        "signed": 0,
        "earlier": [],
        "key": "",
        "lines": [title | {"key": ""}, one, two, three, note, head],
    }


def proofs(log: Log, key: PublicKey) -> Iterator[dict[str, Any]]:
    """Yield files of proofs. log: of at least nine events."""

    def proof(number: int, size: int) -> Line:
        path = [node.hex() for node in inclusion_proof(number - 1, log.leaves[:size])]
        event = base64.b64encode(log.events[number - 1]).decode()
        return {"number": number, "event": event, "path": path, "checkpoint": log.note(size)}

    def since(old: int, size: int) -> Line:
        path = [node.hex() for node in consistency_proof(old, log.leaves[:size])]
        return {"since": log.note(old), "path": path, "checkpoint": log.note(size)}

    title, seven = {"ringi": "proofs", "v": 1, "key": str(key)}, proof(7, 9)
    other = base64.b64encode(log.events[5]).decode()
    forged = log.note(3, root=bytes(32))
    cases: list[tuple[str, int, int, list[Line], list[str]]] = [
        ("nothing", 0, 0, [title, proof(2, 3), seven], []),
        ("no title", 0, 0, [seven, proof(2, 5)], []),
        ("no proof at all", 2, 0, [title], []),
        ("another event", 1, 7, [title, proof(2, 3), seven | {"event": other}], []),
        ("a node of the path", 1, 7, [title, seven | {"path": [*seven["path"][:-1], bytes(32).hex()]}], []),
        ("the path is cut", 1, 7, [title, seven | {"path": seven["path"][:-1]}], []),
        ("a number that the checkpoint does not cover", 1, 5, [title, seven | {"checkpoint": log.note(5)}], []),
        (
            "a checkpoint by a key that nobody named",
            1,
            7,
            [title, seven | {"checkpoint": log.note(9, private(NEXT_SEED))}],
            [],
        ),
        ("a checkpoint from earlier that the file proves", 0, 0, [title, seven, since(3, 9)], [log.note(3)]),
        ("a checkpoint from earlier that it says nothing of", 2, 0, [title, seven], [log.note(3)]),
        ("two checkpoints of one size differ", 1, 3, [title, proof(2, 3)], [forged]),
        ("an older checkpoint is not the beginning", 1, 1, [title, seven, since(3, 9) | {"since": forged}], []),
    ]
    for what, status, number, lines, earlier in cases:
        yield {"altered": what, "status": status, "number": number, "earlier": earlier, "lines": lines}


def no_notes(log: Log) -> Iterator[dict[str, str]]:
    """Yield what is no checkpoint, each made of one that is."""
    note = log.note(3)
    origin, size, root, _empty, signature, _end = note.split("\n")

    def signed(text: str) -> str:
        blob = base64.b64decode(signature.split(" ")[2])[:4] + log.key.sign(text.encode())
        return f"{text}\n{SIGNATURE_MARK}{origin} {base64.b64encode(blob).decode()}\n"

    yield {"why": "no newline at the end", "note": note[:-1]}
    yield {"why": "no empty line", "note": note.replace("\n\n", "\n")}
    yield {"why": "no signature", "note": f"{origin}\n{size}\n{root}\n"}
    yield {"why": "two lines", "note": signed(f"{origin}\n{size}\n")}
    yield {"why": "an empty line in the text", "note": signed(f"{origin}\n{size}\n{root}\n\nmore\n")}
    for why, wrong in (
        ("a leading zero", "03"),
        ("a sign", "+3"),
        ("a size below none", "-3"),
        ("no number", "x"),
        ("twenty digits", "1" + 19 * "0"),
    ):
        yield {"why": why, "note": signed(f"{origin}\n{wrong}\n{root}\n")}
    yield {"why": "a root of 31 bytes", "note": signed(f"{origin}\n{size}\n{base64.b64encode(bytes(31)).decode()}\n")}
    yield {"why": "a root without its padding", "note": signed(f"{origin}\n{size}\n{root.rstrip('=')}\n")}
    raw = base64.b64decode(signature.split(" ")[2])
    order = 2**252 + 27742317777372353535851937790883648493
    beyond = raw[:36] + (int.from_bytes(raw[36:], "little") + order).to_bytes(32, "little")
    text = f"{origin}\n{size}\n{root}\n"
    yield {
        "why": "s of the signature is not below L",
        "note": f"{text}\n{SIGNATURE_MARK}{origin} {base64.b64encode(beyond).decode()}\n",
    }
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    spare = root[:-2] + alphabet[alphabet.index(root[-2]) | 1] + "="
    yield {"why": "a root with bits to spare", "note": signed(f"{origin}\n{size}\n{spare}\n")}
    yield {"why": "no dash before the signature", "note": note.replace(SIGNATURE_MARK, "- ")}
    yield {"why": "another key's id", "note": log.note(3, private(NEXT_SEED))}


def statements(key: Ed25519PrivateKey) -> dict[str, Any]:
    """Return DSSE envelopes by this key."""
    signer = Signer(key)
    kinds = (
        ("application/vnd.ringi.manifest.v1+json", b'{"v":1}'),
        ("text/plain", "内容".encode()),
        ("text/plain", b""),
    )
    return {
        "public": base64.b64encode(signer.public).decode(),
        "keyid": signer.key_id,
        "signed": [
            {
                "type": kind,
                "payload": base64.b64encode(body).decode(),
                "encoded": to_sign(kind, body).hex(),
                "envelope": signer.envelope(kind, body).decode(),
            }
            for kind, body in kinds
        ],
    }
