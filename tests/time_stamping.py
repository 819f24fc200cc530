"""A time-stamping authority on this machine: an HTTP server that answers with what `openssl ts -reply` makes."""

from __future__ import annotations

import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

CONFIGURATION = """
[tsa]
default_tsa = here
[here]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
certs = {folder}/ca.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.3.6.1.4.1.55555.1
digests = sha256
ordering = yes
tsa_name = yes
ess_cert_id_alg = sha256
"""


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _certificate(
    name: str, key: Any, issuer: str, by: Any, days: tuple[float, float], *extensions: Any
) -> x509.Certificate:
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(
        _named(issuer), _named(name), key.public_key(), x509.random_serial_number()
    ).not_valid_before(now + timedelta(days=days[0]))
    made = made.not_valid_after(now + timedelta(days=days[1]))
    for extension in extensions:
        made = made.add_extension(extension, critical=True)
    return made.sign(by, hashes.SHA256())


class Authority:
    """An authority with a CA of its own. `days`: from when until when its certificate counts, from now on. `answer`:
    what it does with a query.
    """

    def __init__(self, folder: Path, name: str = "Test", days: tuple[float, float] = (-1, 365)) -> None:
        folder.mkdir()
        self.folder, self.ca, self.answer, self.asked = folder, folder / "ca.pem", "good", list[bytes]()
        self.ca_key, self.name = ec.generate_private_key(ec.SECP256R1()), name
        root = x509.BasicConstraints(ca=True, path_length=None)
        self._write("ca.pem", _certificate(f"{name} CA", self.ca_key, f"{name} CA", self.ca_key, (-999, 9999), root))
        self.certify(days)
        (folder / "serial").write_text("01")
        (folder / "tsa.cnf").write_text(CONFIGURATION.format(folder=folder))
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}/tsa"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def certify(self, days: tuple[float, float], usage: x509.ObjectIdentifier | None = None) -> None:
        """Give the authority a new key and certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        use = x509.ExtendedKeyUsage([usage or x509.ExtendedKeyUsageOID.TIME_STAMPING])
        self._write("tsa.pem", _certificate(f"{self.name} TSA", key, f"{self.name} CA", self.ca_key, days, use))
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (self.folder / "tsa.key").write_bytes(key.private_bytes(*form))

    def _write(self, name: str, certificate: x509.Certificate) -> None:
        (self.folder / name).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def close(self) -> None:
        """End the server."""
        self.server.shutdown()
        self.server.server_close()

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", "ts", *words], check=True, capture_output=True)

    def reply(self, query: bytes) -> bytes:
        """Return the answer to a query, or to another one, as `answer` says."""
        asked, answered = self.folder / "query", self.folder / "answer"
        asked.write_bytes(query)
        if self.answer == "nonce":
            digest = query[query.index(b"\x04\x20") + 2 :][:32].hex()
            self._openssl("-query", "-digest", digest, "-sha256", "-cert", "-out", str(asked))
        elif self.answer == "hash":
            place = query.index(b"\x04\x20") + 2
            asked.write_bytes(query[:place] + bytes(32) + query[place + 32 :])
        self._openssl(
            "-reply", "-config", str(self.folder / "tsa.cnf"), "-queryfile", str(asked), "-out", str(answered)
        )
        return answered.read_bytes()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                query = self.rfile.read(int(self.headers["Content-Length"]))
                owner.asked.append(query)
                assert self.headers["Content-Type"] == "application/timestamp-query"
                if owner.answer == "silent":
                    time.sleep(3)
                    return
                content = bytes(70_000) if owner.answer == "large" else owner.reply(query)
                if owner.answer == "garbage":
                    content = content[:-9]
                self.send_response(503 if owner.answer == "503" else 200)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        return Handler
