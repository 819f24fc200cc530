"""The check of certificate and headers, against real TLS on the loopback."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from environments.targets.base import TargetSpec
from releases.check_types.base import CheckContext, CheckResult, Result
from releases.check_types.security import Security, SecurityParameters, days_left
from tests.releases.metric_sources.pages import Page, site

SAFE = {"strict-transport-security": r"max-age=\d{8,}.*", "x-content-type-options": "nosniff"}


def certificate(folder: Path, days: float, host: str = "127.0.0.1") -> Path:
    """Write a key and a self-signed certificate that expires in so many days."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "service")])
    moment = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - timedelta(days=400))
        .not_valid_after(moment + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"service-{days}.pem"
    plain = serialization.NoEncryption()
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(b"over TLS")

    def log_message(self, format: str, *values: object) -> None:
        pass


@contextmanager
def over_tls(pem: Path) -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Answering)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_a: None  # a refused handshake is no server fault
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def check(base: str, trusted: Path | str = "", **parameters: Any) -> CheckResult:
    settings = {"urls": {"base": base}, "trusted_certificates": str(trusted)}
    context = CheckContext(TargetSpec("a", "e", Path("/"), settings))
    return Security().run(context, SecurityParameters.model_validate(parameters))


def test_the_days_of_the_certificate_are_counted(tmp_path: Path) -> None:
    pem = certificate(tmp_path, 30.5)
    with over_tls(pem) as base:
        fine = check(base, pem, certificate_days=30, headers=SAFE)
        assert (fine.result, fine.value) == (Result.PASSED, "30 days left"), fine.output
        assert check(base, pem, certificate_days=31).result is Result.FAILED


def test_an_untrusted_certificate_fails(tmp_path: Path) -> None:
    ended, other, foreign = certificate(tmp_path, -1), certificate(tmp_path, 10), certificate(tmp_path, 9, "10.0.0.1")
    with over_tls(ended) as base:
        result = check(base, ended, certificate_days=1)
        assert result.result is Result.FAILED and "expired" in result.output
    with over_tls(other) as base:
        assert check(base, certificate_days=1).result is Result.FAILED, "no authority vouches for it"
        assert check(base, tmp_path / "none.pem", certificate_days=1).result is Result.ERROR
    with over_tls(foreign) as base:
        assert check(base, foreign, certificate_days=1).result is Result.FAILED, "it names another host"


def test_missing_headers_are_named() -> None:
    with site() as plain:
        plain.pages["/"] = [Page("", headers={"X-Content-Type-Options": "nosniff", "X-Powered-By": "PHP/5"})]
        assert check(plain.base, headers={"x-content-type-options": "nosniff"}).result is Result.PASSED
        missing = check(plain.base, headers=SAFE)
        assert missing.result is Result.FAILED and "strict-transport-security is missing" in missing.output
        assert check(plain.base, headers={"x-content-type-options": "no"}).result is Result.FAILED, "as a whole"
        assert check(plain.base, absent=["x-powered-by"]).result is Result.FAILED
        assert check(plain.base, absent=["server-timing"]).result is Result.PASSED
        assert check(plain.base, certificate_days=1).value == "no TLS"
        assert check(plain.base, certificate_days=1).result is Result.FAILED


def test_a_missing_answer_is_an_error() -> None:
    assert check("http://127.0.0.1:1", certificate_days=1).result is Result.ERROR
    assert check("", certificate_days=1).result is Result.ERROR


def test_days_are_whole_and_negative_after_expiry(tmp_path: Path) -> None:
    made = x509.load_pem_x509_certificate(certificate(tmp_path, 2).read_bytes())
    content, moment = made.public_bytes(serialization.Encoding.DER), datetime.now(UTC)
    assert days_left(content, moment) == 1
    assert days_left(content, moment + timedelta(days=3)) == -2


@pytest.mark.parametrize(
    "wrong", [{}, {"headers": {"a": "("}}, {"certificate_days": -1}, {"path": "//x", "absent": ["a"]}]
)
def test_parameters_are_checked_when_the_plan_is_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SecurityParameters.model_validate(wrong)
