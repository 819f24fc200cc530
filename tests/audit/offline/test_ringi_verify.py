"""The one-file verifier, run as its own process with nothing of the project to import."""

from __future__ import annotations

import ast
import base64
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from audit import export
from audit.ledger.checkpoint import LedgerSigner
from audit.ledger.note import notes_of
from audit.offline import ringi_verify, ringi_witness
from tests.audit.conftest import LedgerDatabase, fill

PROGRAM = Path(ringi_verify.__file__)
SIZE = 12


@pytest.fixture(scope="module")
def exported(clone: Callable[..., LedgerDatabase], tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """Twelve events, signed at 5 and at 12; the lines of the export and the ledger signer's folder."""
    app, folder = clone().as_app(), tmp_path_factory.mktemp("ledger_signer")
    signer = LedgerSigner(folder)
    for count in (5, 7):
        fill(app, count)
        signer.sign(app)
    return list(export.lines(app, signer.public)), folder


def _run(tmp_path: Path, lines: list[str] | str, *arguments: str) -> tuple[int, str]:
    file = tmp_path / "export.jsonl"
    file.write_text("".join(lines), encoding="utf-8", newline="")
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(PROGRAM), str(file), *arguments], capture_output=True, text=True, cwd=tmp_path
    )
    assert not done.stderr
    return done.returncode, done.stdout


def _changed(line: str, **fields: Any) -> str:
    return json.dumps(json.loads(line) | fields, ensure_ascii=False) + "\n"


def test_a_true_export_holds(exported: tuple[list[str], Path], tmp_path: Path) -> None:
    lines, folder = exported
    assert len(lines) == 1 + SIZE + 2 + 1
    checkpoints = str(folder / "checkpoints.txt")
    status, said = _run(tmp_path, lines, "--key", str(folder / "key.pub"), "--checkpoint", checkpoints)
    assert status == 0 and said.startswith("HOLDS: 12 events, 4 checkpoints")


def test_nothing_from_outside_the_file_is_inconclusive(exported: tuple[list[str], Path], tmp_path: Path) -> None:
    """The person who made the file could have made the key in it: it holds as far as can be seen, which is 2."""
    lines, folder = exported
    status, said = _run(tmp_path, lines)
    assert status == 2 and "hold as far as can be seen" in said and "came from the file" in said
    assert _run(tmp_path, lines, "--key", str(folder / "key.pub"))[0] == 0
    first = tmp_path / "march.txt"
    first.write_text(notes_of(folder / "checkpoints.txt")[0])
    status, said = _run(tmp_path, lines, "--checkpoint", str(first))
    assert status == 0 and said.startswith("HOLDS: 12 events, signed up to 5 of 12, 3 checkpoints")


def test_it_needs_nothing_but_the_standard_library() -> None:
    imported = set()
    for node in ast.walk(ast.parse(PROGRAM.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
    assert {"json", "hashlib"} <= imported
    assert {name.split(".")[0] for name in imported} <= sys.stdlib_module_names


@pytest.mark.parametrize("more", ['"Event":"eyJub3QiOiJzbyJ9",', '"event":"eyJub3QiOiJzbyJ9",', '"NUMBER":7,'])
def test_a_line_that_readers_take_in_two_ways_is_found(
    exported: tuple[list[str], Path], tmp_path: Path, more: str
) -> None:
    """Decoders that do not heed capitals show the other event."""
    lines, folder = exported
    forged = [*lines[:3], "{" + more + lines[3][1:], *lines[4:]]
    status, said = _run(tmp_path, forged, "--key", str(folder / "key.pub"))
    assert (status, said) == (1, "BROKEN at number 3: line 4 can't be read\n")


def test_a_carriage_return_ends_no_line(exported: tuple[list[str], Path], tmp_path: Path) -> None:
    """Two records on one line are one to some readers, and two to others."""
    lines, _folder = exported
    joined = [*lines[:2], lines[2].removesuffix("\n") + "\r", *lines[3:]]
    assert _run(tmp_path, joined) == (1, "BROKEN at number 2: line 3 can't be read\n")


def test_a_cut_tail_is_found(exported: tuple[list[str], Path], tmp_path: Path) -> None:
    lines, folder = exported
    assert _run(tmp_path, lines[:10]) == (1, "BROKEN at number 9: the export ends without its head\n")
    head = json.loads(lines[4])
    short = [*lines[:5], json.dumps({"head": {"number": 4, "chain": head["chain"]}}) + "\n"]
    assert _run(tmp_path, short) == (
        2,
        "CAN'T TELL whether anybody signed the 4 events, which fit each other: no checkpoint was compared\n",
    )
    status, said = _run(tmp_path, short, "--checkpoint", str(folder / "checkpoints.txt"))
    assert (status, said) == (1, "BROKEN at number 5: the event is missing: a checkpoint covers 12 events\n")


def test_what_lies_behind_the_last_checkpoint_is_not_said_to_be_signed(
    exported: tuple[list[str], Path], tmp_path: Path
) -> None:
    lines, folder = exported
    last = len(lines) - 2
    assert "checkpoint" in json.loads(lines[last])
    later = [*lines[:last], *lines[last + 1 :]]
    status, said = _run(tmp_path, later, "--key", str(folder / "key.pub"))
    assert status == 0 and said.startswith("HOLDS: 12 events, signed up to 5 of 12, 1 checkpoints, root ")
    status, said = _run(tmp_path, later, "--checkpoint", str(folder / "checkpoints.txt"))
    assert status == 0 and said.startswith("HOLDS: 12 events, 3 checkpoints, root ")
    none = [line for line in lines if "checkpoint" not in json.loads(line)]
    assert _run(tmp_path, none, "--key", str(folder / "key.pub"))[0] == 2
    assert _run(tmp_path, none, "--checkpoint", str(folder / "checkpoints.txt"))[0] == 0
    assert _run(tmp_path, '{"ringi":"proofs","v":1,"key":""}\n')[0] == 2
    assert _run(tmp_path, [lines[0], json.dumps({"head": {"number": 0, "chain": "00" * 32}}) + "\n"])[0] == 2


def test_a_forged_checkpoint_is_found(exported: tuple[list[str], Path], tmp_path: Path) -> None:
    lines, folder = exported
    forged = [line.replace("\\n\\n— ", "\\nmore\\n\\n— ") for line in lines]
    status, said = _run(tmp_path, forged)
    assert (status, said) == (1, "BROKEN at number 5: checkpoint after this event: the signature does not verify\n")


def test_inconclusive_exports_are_named(exported: tuple[list[str], Path], tmp_path: Path) -> None:
    lines, folder = exported
    deep = 200_000 * "[" + "\n"
    for wrong in ("", "hello\n", '{"v": 1}\n', '["x"]\n', deep):
        assert _run(tmp_path, wrong)[0] == 2
    assert _run(tmp_path, [*lines[:3], deep, *lines[3:]])[1].startswith("BROKEN at number 3: line 4 can't be read")
    assert _run(tmp_path, lines, "--key", "nonsense")[0] == 2
    assert _run(tmp_path, lines, "--checkpoint", str(tmp_path / "nowhere"))[0] == 2
    keyless = [_changed(lines[0], key=""), *lines[1:]]
    status, said = _run(tmp_path, keyless)
    assert status == 2 and "no public key" in said and "HOLDS" not in said
    other = LedgerSigner(tmp_path / "other").public
    status, said = _run(tmp_path, lines, "--key", str(other), "--checkpoint", str(folder / "checkpoints.txt"))
    assert status == 1 and "bears no signature" in said


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (3, lambda line: line.replace('{"number"', '{"x":NaN,"number"')),
        (3, lambda line: line.replace('{"number"', '{"number":3,"number"')),
        (0, lambda line: line.replace('"v":1', '"v":1.0')),
        (0, lambda line: line.replace('"v":1', '"v":true')),
    ],
)
def test_a_line_that_readers_could_read_in_two_ways_is_refused(
    exported: tuple[list[str], Path], tmp_path: Path, place: int, wrong: Callable[[str], str]
) -> None:
    lines, folder = exported
    altered = [*lines[:place], wrong(lines[place]), *lines[place + 1 :]]
    assert altered != lines
    status, _said = _run(tmp_path, altered, "--key", str(folder / "key.pub"))
    assert status == (1 if place else 2)


def test_a_cosignature_is_checked_and_missed(exported: tuple[list[str], Path], tmp_path: Path) -> None:
    lines, folder = exported
    witness, other = (
        ringi_witness.Witness(
            tmp_path / name, f"{name}.example/w", [ringi_witness.read_key((folder / "key.pub").read_text())]
        )
        for name in ("one", "other")
    )
    note = list(notes_of(folder / "checkpoints.txt"))[0]
    line = witness.add_checkpoint(f"old 0\n\n{note}".encode())
    cosigned = tmp_path / "cosignatures.txt"
    cosigned.write_text(note + line)
    given = ("--key", str(folder / "key.pub"), "--checkpoint", str(cosigned), "--witness")
    status, said = _run(tmp_path, lines, *given, witness.public())
    assert status == 0 and said.endswith("cosigned by one.example/w up to 5\n")
    status, said = _run(tmp_path, lines, *given, other.public())
    assert (status, said) == (2, "CAN'T TELL: no earlier checkpoint bears a cosignature of other.example/w\n")
    raw = bytearray(base64.b64decode(line.split(" ")[2]))
    raw[11] ^= 1  # another time
    cosigned.write_text(note + f"\N{EM DASH} one.example/w {base64.b64encode(raw).decode()}\n")
    status, said = _run(tmp_path, lines, *given, witness.public())
    assert status == 2 and "the cosignature of one.example/w does not verify" in said


def _jwk(public: Any) -> dict[str, str]:
    numbers = public.public_numbers()
    names = (
        {"kty": "RSA", "n": numbers.n, "e": numbers.e}
        if hasattr(numbers, "n")
        else {"kty": "EC", "x": numbers.x, "y": numbers.y}
    )
    return {
        name: value
        if isinstance(value, str)
        else ringi_verify.to_base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))
        for name, value in names.items()
    }


def test_the_signatures_of_passkeys_agree_with_another_implementation() -> None:
    one, other = generate_private_key(SECP256R1()), rsa.generate_private_key(65537, 2048)
    for n in range(6):
        message = b"m" * n
        signed = [
            (_jwk(one.public_key()), one.sign(message, ECDSA(SHA256()))),
            (_jwk(other.public_key()), other.sign(message, PKCS1v15(), SHA256())),
        ]
        for key, signature in signed:
            assert ringi_verify.jwk_verifies(key, message, signature)
            assert not ringi_verify.jwk_verifies(key, message + b"x", signature)
            assert not ringi_verify.jwk_verifies(key, message, signature[:-1] + bytes([signature[-1] ^ 1]))
    elsewhere = _jwk(one.public_key()) | {"y": _jwk(generate_private_key(SECP256R1()).public_key())["y"]}
    assert not ringi_verify.jwk_verifies(elsewhere, b"", one.sign(b"", ECDSA(SHA256())))
    r, s = decode_dss_signature(one.sign(b"", ECDSA(SHA256())))
    for wrong in ((0, s), (r, 0), (r, s + ringi_verify.N256)):
        assert not ringi_verify.jwk_verifies(_jwk(one.public_key()), b"", encode_dss_signature(*wrong))


def test_ed25519_agrees_with_another_implementation() -> None:
    for n in range(8):
        private = Ed25519PrivateKey.generate()
        public, message = private.public_key().public_bytes_raw(), b"m" * n
        signature = private.sign(message)
        assert ringi_verify.ed25519_verifies(public, message, signature)
        for place in (0, 31, 32, 63):
            forged = signature[:place] + bytes([signature[place] ^ 1]) + signature[place + 1 :]
            assert not ringi_verify.ed25519_verifies(public, message, forged)
        assert not ringi_verify.ed25519_verifies(public, message + b"x", signature)
        s = int.from_bytes(signature[32:], "little") + ringi_verify.L
        assert not ringi_verify.ed25519_verifies(public, message, signature[:32] + s.to_bytes(32, "little"))


def test_it_runs_without_the_project(tmp_path: Path) -> None:
    assert importlib.util.find_spec("audit") is not None
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(PROGRAM), "--help"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0 and "offline" in done.stdout
