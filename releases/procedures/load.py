"""Read written procedures from files and give each the digest that approval rests on."""

import hashlib
from collections.abc import Collection
from pathlib import Path

import rfc8785

from releases.procedures.document import Fault, Procedure, ProcedureFaults
from releases.procedures.values import CHECK_TYPES, STEP_TYPES

DEFAULT = Path(__file__).with_name("default.toml")


def read(
    path: Path, *, step_types: Collection[str] = STEP_TYPES, check_types: Collection[str] = CHECK_TYPES
) -> Procedure:
    """Read a procedure from a TOML file (UTF-8). Raises ProcedureFaults, also for a file that can't be read.

    step_types, check_types: the names that plans and checks may use, and the models of their parameters; whoever has
    the registries passes theirs.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as fault:
        raise ProcedureFaults([Fault(path.name, f"can't be read: {fault.strerror}")]) from None
    except UnicodeDecodeError as fault:
        raise ProcedureFaults([Fault(path.name, f"is not UTF-8: {fault.reason} at byte {fault.start}")]) from None
    return Procedure.from_toml(text, step_types=step_types, check_types=check_types)


def default() -> Procedure:
    """Return the procedure that the product brings along."""
    return read(DEFAULT)


def digest(procedure: Procedure) -> str:
    """Return the SHA-256 (hex) of the procedure's canonical JSON (RFC 8785)."""
    return hashlib.sha256(rfc8785.dumps(procedure.model_dump(mode="json"))).hexdigest()
