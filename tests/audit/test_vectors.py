"""The page of the ledger, its test vectors, the code, a second implementation and another library say the same."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from audit.ledger import proof
from audit.ledger.note import PublicKey, read
from audit.offline import ringi_verify
from audit.offline.ringi_verify import KEYS
from tests.audit import second_implementation, vectors
from tests.audit.conftest import LedgerDatabase
from tests.audit.envelopes import opened
from tests.audit.ledger import reference

PAGE = vectors.FILE.with_name("ledger.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def held() -> dict[str, Any]:
    """The vectors of the file."""
    return dict(json.loads(vectors.FILE.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def entries(held: dict[str, Any]) -> list[bytes]:
    """The bytes of the events."""
    return [link["event"].encode() for link in held["events"]]


def hexes(path: list[bytes]) -> list[str]:
    """Return hashes as the file has them."""
    return [node.hex() for node in path]


def test_the_file_is_what_the_code_makes_today() -> None:
    assert vectors.FILE.read_text(encoding="utf-8") == vectors.written(vectors.built())


def test_events_are_canonical_and_have_the_keys_of_the_page(held: dict[str, Any], entries: list[bytes]) -> None:
    table = PAGE[PAGE.index("## An event") : PAGE.index("## The chain")]
    named = set(
        re.findall(r"`(\w+)`", " ".join(row.split("|")[1] for row in table.splitlines() if row.startswith("| `")))
    )
    assert named == set(KEYS)
    assert {json.loads(entry)["kind"] for entry in entries} == {"row", "operation", "refusal", "access"}
    for entry in entries:
        assert json.loads(entry).keys() == named and rfc8785.dumps(json.loads(entry)) == entry


def test_the_database_makes_the_canonical_bytes_of_the_file(held: dict[str, Any], ledger: LedgerDatabase) -> None:
    app = ledger.as_app()
    for vector in held["canonical"]:
        made = app.execute("SELECT ringi_canonical(%s::jsonb)", [vector["value"]]).fetchone()
        assert made == (vector["bytes"],)


def test_the_database_makes_the_commitments_of_the_file(held: dict[str, Any], ledger: LedgerDatabase) -> None:
    owner = ledger.as_owner()
    for number, one in enumerate(held["personal"]):
        label = f"releases.GroupRecipient:{number}"
        owner.execute("INSERT INTO audit_personal_key VALUES (%s, %s)", [label, bytes.fromhex(one["key"])])
        made = owner.execute("SELECT ringi_commitment(%s, %s, %s)", [label, one["column"], one["value"]]).fetchone()
        assert made == (one["recorded"],)
    commitments = [one["recorded"] for one in held["personal"] if "sha256" in one["recorded"]]
    assert len({*commitments}) == len(commitments) == 4


def test_leaves_and_chain_follow_the_formulas_of_the_page(held: dict[str, Any], entries: list[bytes]) -> None:
    for formula in (
        "leaf(n)  = SHA-256( 0x00 ‖ bytes(n) )",
        "chain(0) = 32 zero bytes",
        "chain(n) = SHA-256( 0x01 ‖ chain(n−1) ‖ leaf(n) )",
    ):
        assert formula in PAGE
    chain = bytes(32)
    for number, (link, entry) in enumerate(zip(held["events"], entries, strict=True), 1):
        leaf = sha256(b"\x00" + entry).digest()
        chain = sha256(b"\x01" + chain + leaf).digest()
        assert (link["number"], link["leaf"], link["chain"]) == (number, leaf.hex(), chain.hex())


def test_roots_and_proofs_are_those_of_a_second_implementation(held: dict[str, Any], entries: list[bytes]) -> None:
    assert [root["size"] for root in held["roots"]] == list(range(len(entries) + 1))
    for root in held["roots"]:
        assert second_implementation.mth(entries[: root["size"]]).hex() == root["root"]
    for one in held["inclusion"]:
        assert hexes(second_implementation.path(one["number"] - 1, entries[: one["size"]])) == one["path"]
    for one in held["consistency"]:
        assert hexes(second_implementation.proof(one["from"], entries[: one["to"]])) == one["path"]
    assert len(held["inclusion"]) == len(held["consistency"]) == 45


def test_the_code_and_the_offline_verifier_take_every_proof_and_no_other(held: dict[str, Any]) -> None:
    roots = {root["size"]: bytes.fromhex(root["root"]) for root in held["roots"]}
    leaves = [bytes.fromhex(link["leaf"]) for link in held["events"]]
    for one in held["inclusion"]:
        leaf, index, size, root = leaves[one["number"] - 1], one["number"] - 1, one["size"], roots[one["size"]]
        path = [bytes.fromhex(node) for node in one["path"]]
        for check in (proof.verify_inclusion, ringi_verify.leads_to):
            assert check(leaf, index, size, path, root)
            assert not check(leaf, index, size, [*path, root], root)
            assert not check(leaf[::-1], index, size, path, root)
            assert not path or not check(leaf, index, size, path[1:], root)
    for one in held["consistency"]:
        old, size, path = one["from"], one["to"], [bytes.fromhex(node) for node in one["path"]]
        assert reference.verify_consistency(old, size, roots[old], roots[size], path)
        assert ringi_verify.begins_with((old, roots[old]), (size, roots[size]), path)
        assert not reference.verify_consistency(old, size, roots[old][::-1], roots[size], path)
        assert not ringi_verify.begins_with((old, roots[old]), (size, roots[size][::-1]), path)


def test_notes_are_read_alike_by_three(held: dict[str, Any]) -> None:
    roots, key = {root["size"]: bytes.fromhex(root["root"]) for root in held["roots"]}, held["key"]
    for one in held["notes"]:
        size, note = one["size"], one["note"]
        assert second_implementation.note_says(note, key) == (vectors.ORIGIN, size, roots[size])
        found = read(note, PublicKey.parse(key))
        assert (found.origin, found.size, found.root) == (vectors.ORIGIN, size, roots[size])
        assert ringi_verify.parse_note(note) == (size, roots[size])
        assert ringi_verify.signed_by(note, [ringi_verify.parse_key(key)])
        forged = note.replace(f"\n{size}\n", f"\n{size + 1}\n")
        assert second_implementation.note_says(forged, key) is None
        with pytest.raises(ValueError, match="signature does not verify"):
            ringi_verify.signed_by(forged, [ringi_verify.parse_key(key)])
    assert held["notes"][-1]["note"] in PAGE and f"`{vectors.FILE.name}`" in PAGE


def test_what_is_no_note_is_none_for_all_three(held: dict[str, Any]) -> None:
    key = held["key"]
    assert len({one["why"] for one in held["no_notes"]}) == len(held["no_notes"]) == 16
    for one in held["no_notes"]:
        note = one["note"]
        with pytest.raises(ValueError, match="note|signature"):  # BadNote is one
            read(note, PublicKey.parse(key))
        try:
            ringi_verify.parse_note(note)
            assert not ringi_verify.signed_by(note, [ringi_verify.parse_key(key)]), one["why"]
        except ValueError:
            continue


def test_keys_are_written_and_named_as_the_page_says(held: dict[str, Any]) -> None:
    for one in held["keys"]:
        typed = b"\x01" + bytes.fromhex(one["public"])
        identity = sha256(one["name"].encode() + b"\n" + typed).digest()[:4].hex()
        assert (identity, f"{one['name']}+{identity}+{base64.b64encode(typed).decode()}") == (one["id"], one["key"])
        assert ringi_verify.parse_key(one["key"]) == (one["name"], typed[1:])
        assert str(PublicKey.parse(one["key"])) == one["key"]
    assert held["keys"][0]["key"] == held["key"]


def test_statements_are_signed_as_the_page_of_the_pack_says(held: dict[str, Any]) -> None:
    page = vectors.FILE.with_name("evidence-pack.md").read_text(encoding="utf-8")
    assert '"DSSEv1" SP length(type) SP type SP length(payload) SP payload' in page
    public = base64.b64decode(held["statements"]["public"])
    assert held["statements"]["keyid"] == sha256(public).hexdigest()
    for one in held["statements"]["signed"]:
        kind, body, envelope = one["type"], base64.b64decode(one["payload"]), json.loads(one["envelope"])
        encoded = b" ".join([b"DSSEv1", str(len(kind)).encode(), kind.encode(), str(len(body)).encode(), body])
        assert (encoded.hex(), envelope["payload"], envelope["payloadType"]) == (one["encoded"], one["payload"], kind)
        (signature,) = envelope["signatures"]
        assert signature["keyid"] == held["statements"]["keyid"]
        assert ringi_verify.ed25519_verifies(public, encoded, base64.b64decode(signature["sig"]))
        assert opened(one["envelope"].encode(), public) == (kind, body)


def test_altered_exports_get_the_result_of_the_file(held: dict[str, Any], tmp_path: Path) -> None:
    """By the program as an auditor runs it."""
    cases = [*held["exports"], *held["proofs"]]
    assert {one["status"] for one in cases} == {0, 1, 2} and (len(held["exports"]), len(held["proofs"])) == (58, 12)
    earlier = tmp_path / "earlier.txt"
    for one in cases:
        file = tmp_path / "export.jsonl"
        file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in one["lines"]))
        earlier.write_text("".join(one["earlier"]))
        options = ["--key", held["key"]] if one.get("key", held["key"]) else []
        done = subprocess.run(
            [sys.executable, "-I", "-S", ringi_verify.__file__, str(file), *options, "--checkpoint", str(earlier)],
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (one["status"], ""), (one["altered"], done.stdout)
        said = ("HOLDS: ", f"BROKEN at number {one['number']}:", "CAN'T TELL")[one["status"]]
        assert done.stdout.startswith(said), (one["altered"], done.stdout)
        if not one["status"]:
            behind = "signed" in one and one["signed"] < 3
            assert (f"signed up to {one.get('signed')} of 3" in done.stdout) == behind, (one["altered"], done.stdout)


def test_roots_and_proofs_are_those_of_an_independent_library(held: dict[str, Any], entries: list[bytes]) -> None:
    """pymerkle is an independent library for development; without it this test is skipped."""
    pymerkle = pytest.importorskip("pymerkle")
    more = [*entries, *(bytes([n]) * n for n in range(200))]
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for size, entry in enumerate(more, 1):
        tree.append_entry(entry)
        root = proof.tree_hash(map(proof.leaf_hash, more[:size]))
        assert bytes(tree.get_root()) == root == bytes(tree.get_root(size))
        if size <= len(entries):
            assert held["roots"][size]["root"] == root.hex()
    leaves = [proof.leaf_hash(entry) for entry in more]
    for index in range(0, len(more), 13):
        theirs = tree.prove_inclusion(index + 1)
        ours = reference.inclusion_proof(index, leaves)
        pymerkle.verify_inclusion(leaves[index], proof.tree_hash(leaves), theirs)
        assert set(ours) <= {bytes.fromhex(node) for node in theirs.serialize()["path"]}
