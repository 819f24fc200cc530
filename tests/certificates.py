"""Certificates for the servers of tests, signed by themselves."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path


def self_signed(folder: Path, name: str) -> tuple[Path, Path]:
    """Return the files of a key and of its certificate for a name, such as `DNS:localhost` or `IP:127.0.0.1`."""
    key, certificate = folder / "ringi.key", folder / "ringi.pem"
    how = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=ringi"
    made = [
        "openssl",
        "req",
        *shlex.split(how),
        "-addext",
        f"subjectAltName={name}",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    subprocess.run(made, check=True, capture_output=True)
    return key, certificate
