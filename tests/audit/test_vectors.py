"""The page of the ledger, its test vectors, the code, a second implementation and another library say the same."""

from __future__ import annotations

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
from audit.ledger.chain import KEYS
from audit.ledger.note import PublicKey, read
from audit.offline import ringi_verify
from tests.audit import second, vectors
from tests.audit.conftest import LedgerDatabase

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
    assert {json.loads(entry)["kind"] for entry in entries} == {"row", "action", "refusal", "access"}
    for entry in entries:
        assert json.loads(entry).keys() == named and rfc8785.dumps(json.loads(entry)) == entry


def test_the_database_makes_the_canonical_bytes_of_the_file(held: dict[str, Any], ledger: LedgerDatabase) -> None:
    app = ledger.as_app()
    for vector in held["canonical"]:
        made = app.execute("SELECT ringi_canonical(%s::jsonb)", [vector["value"]]).fetchone()
        assert made == (vector["bytes"],)


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
        assert second.mth(entries[: root["size"]]).hex() == root["root"]
    for one in held["inclusion"]:
        assert hexes(second.path(one["number"] - 1, entries[: one["size"]])) == one["path"]
    for one in held["consistency"]:
        assert hexes(second.proof(one["from"], entries[: one["to"]])) == one["path"]
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
        assert proof.verify_consistency(old, size, roots[old], roots[size], path)
        assert ringi_verify.begins_with((old, roots[old]), (size, roots[size]), path)
        assert not proof.verify_consistency(old, size, roots[old][::-1], roots[size], path)
        assert not ringi_verify.begins_with((old, roots[old]), (size, roots[size][::-1]), path)


def test_notes_are_read_alike_by_three(held: dict[str, Any]) -> None:
    roots, key = {root["size"]: bytes.fromhex(root["root"]) for root in held["roots"]}, held["key"]
    for one in held["notes"]:
        size, note = one["size"], one["note"]
        assert second.note_says(note, key) == (vectors.ORIGIN, size, roots[size])
        found = read(note, PublicKey.parse(key))
        assert (found.origin, found.size, found.root) == (vectors.ORIGIN, size, roots[size])
        assert ringi_verify.parse_note(note) == (size, roots[size])
        assert ringi_verify.signed_by(note, [ringi_verify.parse_key(key)])
        forged = note.replace(f"\n{size}\n", f"\n{size + 1}\n")
        assert second.note_says(forged, key) is None
        with pytest.raises(ValueError, match="signature does not verify"):
            ringi_verify.signed_by(forged, [ringi_verify.parse_key(key)])
    assert held["notes"][-1]["note"] in PAGE and f"`{vectors.FILE.name}`" in PAGE


def test_altered_exports_get_the_verdict_of_the_file(held: dict[str, Any], tmp_path: Path) -> None:
    """By the program as an auditor runs it."""
    assert {export["status"] for export in held["exports"]} == {0, 1} and len(held["exports"]) == 12
    for export in held["exports"]:
        file = tmp_path / "export.jsonl"
        file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in export["lines"]))
        done = subprocess.run(
            [sys.executable, "-I", "-S", ringi_verify.__file__, str(file), "--key", held["key"]],
            capture_output=True,
            text=True,
        )
        assert done.returncode == export["status"], (export["altered"], done.stdout)
        said = f"BROKEN at number {export['number']}:" if export["status"] else "HOLDS: 3 events"
        assert done.stdout.startswith(said), (export["altered"], done.stdout)


def test_roots_and_proofs_are_those_of_an_independent_library(held: dict[str, Any], entries: list[bytes]) -> None:
    """pymerkle is written by others; it is a tool of development, and where it is not installed this is not told."""
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
        ours = proof.inclusion_proof(index, leaves)
        pymerkle.verify_inclusion(leaves[index], proof.tree_hash(leaves), theirs)
        assert set(ours) <= {bytes.fromhex(node) for node in theirs.serialize()["path"]}
