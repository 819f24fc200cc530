#!/usr/bin/env python3
"""Witness a Ringi ledger from another machine; nothing but the standard library (3.9 or newer) and ringi_verify.py
beside it.

    ringi_witness.py FOLDER --name NAME --key KEY [--key KEY]... [--bind HOST:PORT]
    ringi_witness.py FOLDER --name NAME --show

It takes checkpoints over HTTP (C2SP tlog-witness: POST /add-checkpoint), believes only those that KEY signed and that
are proved to extend the last one it saw, appends them to FOLDER/checkpoints.txt, and answers with a cosignature (C2SP
tlog-cosignature, cosignature/v1) of its own key in FOLDER/key. A ledger that was restored or rewritten gets 409 or 422,
for ever: only the person who runs the witness may remove FOLDER/last.json. GET / returns the last note. --show prints
the witness's public key. Put TLS in front of it where others could read or change what passes.

FOLDER/checkpoints.txt holds what ringi_verify.py wants as --checkpoint. The curve is written for reading, not against
someone who measures times on this machine.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import secrets
import sys
import threading
import time
from hashlib import sha512
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from ringi_verify import BASE, Claim, Key, L, P, Point, begins_with, ed25519_verifies, from_base64, key_id, sum_of  # type: ignore[import-not-found]  # noqa: E402

MOST = 1 << 16


class Refused(Exception):
    """A request that is not witnessed: HTTP status, text, and its content type."""

    def __init__(self, status: int, text: str, kind: str = "text/plain; charset=utf-8") -> None:
        self.status, self.text, self.kind = status, text, kind
        super().__init__(text)


def encoded(point: Point) -> bytes:
    """Encode a point as 32 bytes."""
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


class Signer:
    """An Ed25519 key (RFC 8032, 5.1.5 and 5.1.6) from a seed of 32 bytes."""

    def __init__(self, seed: bytes) -> None:
        spread = sha512(seed).digest()
        self.scalar = int.from_bytes(spread[:32], "little") & ~7 & (1 << 254) - 1 | 1 << 254
        self.prefix = spread[32:]
        self.public = encoded(sum_of(self.scalar, BASE, 0, BASE))

    def sign(self, message: bytes) -> bytes:
        """Return the signature, 64 bytes."""
        nonce = int.from_bytes(sha512(self.prefix + message).digest(), "little") % L
        r = encoded(sum_of(nonce, BASE, 0, BASE))
        challenge = int.from_bytes(sha512(r + self.public + message).digest(), "little") % L
        return r + ((nonce + challenge * self.scalar) % L).to_bytes(32, "little")


def read_key(text: str) -> Key:
    """Read `name+keyid+base64`; return name and key. Raises ValueError."""
    name, identity, word = text.strip().split("+", 2)
    raw = from_base64(word)
    if raw[:1] != b"\x01" or len(raw) != 33 or key_id(name, raw[1:]).hex() != identity:
        raise ValueError("the public key is not an Ed25519 key or its id is wrong")
    return name, raw[1:]


def append_note(file: Path, note: str) -> None:
    """Append a note; what a crash left behind the last line of a signature that is whole is cut off before."""
    with file.open("a+b") as out:
        length = out.seek(0, os.SEEK_END)
        for begin in (max(0, length - 4096), 0):
            out.seek(begin)
            read = out.read()
            end = len(read)
            while (end := read.rfind(b"\n", 0, end)) >= 0:
                if read[read.rfind(b"\n", 0, end) + 1 : end].startswith("\u2014 ".encode()):
                    break
            if end >= 0:
                break
        out.truncate(begin + end + 1)
        out.write(note.encode())
        out.flush()
        os.fsync(out.fileno())


class Witness:
    """The last checkpoint seen of each ledger, and the key that signs it."""

    def __init__(self, folder: Path, name: str, keys: list[Key]) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder, self.name, self.keys, self.lock = folder, name, keys, threading.Lock()
        file = folder / "key"
        if not file.exists():
            with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
                out.write(base64.b64encode(secrets.token_bytes(32)).decode() + "\n")
        self.signer = Signer(base64.b64decode(file.read_text(encoding="utf-8")))
        self.memory = folder / "last.json"
        self.last: dict[str, dict[str, Any]] = json.loads(self.memory.read_text()) if self.memory.exists() else {}

    def public(self) -> str:
        """Return the witness's public key, as verifiers of cosignatures want it."""
        key = base64.b64encode(b"\x04" + self.signer.public).decode()
        return f"{self.name}+{key_id(self.name, self.signer.public, bytes([4])).hex()}+{key}"

    def add_checkpoint(self, body: bytes) -> str:
        """Take a request of tlog-witness; return the cosignature line. Raises Refused."""
        try:
            head, note = body.decode().split("\n\n", 1)
            first, *proof = head.split("\n")
            word, size = first.split(" ")
            text, signatures = note.rsplit("\n\n", 1)
            origin, number, root = text.split("\n")[:3]
            whole = note.endswith("\n") and all(line.startswith("\u2014 ") for line in signatures[:-1].split("\n"))
            if max(len(size), len(number)) > 19 or not whole:
                raise ValueError
            old, path = int(size), [from_base64(line) for line in proof]
            claim = (int(number), from_base64(root))
            if word != "old" or str(old) != size or len(path) > 63 or len(claim[1]) != 32 or str(claim[0]) != number:
                raise ValueError
        except ValueError:
            raise Refused(400, "the request can't be read\n")
        if origin not in {name for name, _public in self.keys}:
            raise Refused(404, "this ledger is not known here\n")
        if not self.signed(origin, text + "\n", signatures):
            raise Refused(403, "no key that is known here signed this\n")
        if old > claim[0]:
            raise Refused(400, "the old size is greater than the new one\n")
        with self.lock:
            known = self.last.get(origin, {"size": 0, "root": ""})
            if old != known["size"]:
                raise Refused(409, f"{known['size']}\n", "text/x.tlog.size")
            if old == claim[0] and old and claim[1].hex() != known["root"]:
                raise Refused(409, f"{known['size']}\n", "text/x.tlog.size")
            if old and not begins_with((old, bytes.fromhex(known["root"])), claim, path):
                raise Refused(422, "this does not extend what was seen before\n")
            if not old and path:
                raise Refused(422, "there is nothing before the first\n")
            self.remember(origin, claim, note)
        return self.cosign(text + "\n")

    def signed(self, origin: str, text: str, signatures: str) -> bool:
        """Tell whether one of the ledger's keys signed the text."""
        for line in signatures.splitlines():
            words = line.split(" ")
            if len(words) != 3 or words[0] != "\u2014" or words[1] != origin:
                continue
            try:
                raw = from_base64(words[2])
            except ValueError:
                raise Refused(400, "a signature can't be read\n")
            for name, public in self.keys:
                if name == origin and raw[:4] == key_id(name, public):
                    return ed25519_verifies(public, text.encode(), raw[4:])
        return False

    def remember(self, origin: str, claim: Claim, note: str) -> None:
        """Keep the note before anything is signed for it."""
        if self.last.get(origin, {}).get("size") != claim[0]:
            append_note(self.folder / "checkpoints.txt", note)
        self.last[origin] = {"size": claim[0], "root": claim[1].hex(), "note": note}
        fresh = self.memory.with_suffix(".new")
        with fresh.open("w", encoding="utf-8") as out:
            json.dump(self.last, out)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(self.memory)

    def cosign(self, text: str) -> str:
        """Return the cosignature line for the text at the present time."""
        moment = int(time.time())
        signature = self.signer.sign(f"cosignature/v1\ntime {moment}\n{text}".encode())
        raw = key_id(self.name, self.signer.public, bytes([4])) + moment.to_bytes(8, "big") + signature
        return f"\u2014 {self.name} {base64.b64encode(raw).decode()}\n"


def handler(witness: Witness) -> type[BaseHTTPRequestHandler]:
    """Return the class that answers requests for a witness."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            try:
                length = int(self.headers.get("Content-Length") or 0)
                if self.path != "/add-checkpoint" or not 0 < length <= MOST:
                    raise Refused(404 if self.path != "/add-checkpoint" else 400, "POST /add-checkpoint\n")
                self.answer(200, witness.add_checkpoint(self.rfile.read(length)))
            except Refused as refused:
                self.answer(refused.status, refused.text, refused.kind)
            except ValueError:
                self.answer(400, "the request can't be read\n")

        def do_GET(self) -> None:
            self.answer(200, "".join(last["note"] for last in witness.last.values()))

        def answer(self, status: int, text: str, kind: str = "text/plain; charset=utf-8") -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Witness a Ringi ledger.")
    parser.add_argument("folder", type=Path, help="where key, memory and checkpoints are kept")
    parser.add_argument("--name", required=True, help="the name of this witness, such as auditor.example/ringi")
    parser.add_argument(
        "--key", action="append", default=[], help="public key of the ledger signer, or a file with keys"
    )
    parser.add_argument("--bind", default="127.0.0.1:8600", help="address and port to listen on")
    parser.add_argument("--show", action="store_true", help="print the witness's public key and end")
    options = parser.parse_args(arguments)
    try:
        words = [Path(word).read_text(encoding="utf-8") if os.path.exists(word) else word for word in options.key]
        keys = [read_key(line) for word in words for line in word.splitlines() if line.strip()]
    except (ValueError, OSError) as fault:
        print(f"ringi_witness: {fault}", file=sys.stderr)
        return 2
    witness = Witness(options.folder, options.name, keys)
    if options.show:
        print(witness.public())
        return 0
    if not keys:
        print("ringi_witness: --key is needed, or no checkpoint is believed", file=sys.stderr)
        return 2
    host, _, port = options.bind.rpartition(":")
    with ThreadingHTTPServer((host, int(port)), handler(witness)) as server:
        print(f"listening on {host}:{server.server_port}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
