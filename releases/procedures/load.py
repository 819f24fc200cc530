"""Read written procedures from files and give each the digest that consent rests on."""

from __future__ import annotations

import hashlib
from pathlib import Path

import rfc8785

from releases.procedures.document import Fault, Procedure, ProcedureFaults

DEFAULT = Path(__file__).with_name("default.toml")


def read(path: Path) -> Procedure:
    """Read a procedure from a TOML file (UTF-8). Raises ProcedureFaults, also for no such file."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as fault:
        raise ProcedureFaults([Fault(path.name, f"can't be read: {fault.strerror}")]) from None
    except UnicodeDecodeError as fault:
        raise ProcedureFaults(
            [Fault(path.name, f"is not UTF-8: {fault.reason} at byte {fault.start}")]
        ) from None
    return Procedure.from_toml(text)


def default() -> Procedure:
    """Return the procedure that the product brings along."""
    return read(DEFAULT)


def digest(procedure: Procedure) -> str:
    """Return the SHA-256 (hex) of the procedure's canonical JSON (RFC 8785)."""
    return hashlib.sha256(rfc8785.dumps(procedure.model_dump(mode="json"))).hexdigest()
