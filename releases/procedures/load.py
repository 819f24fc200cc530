"""Reads written procedures from files or folders and computes the digest that approval depends on."""

import hashlib
from collections.abc import Collection
from pathlib import Path

import rfc8785
from django.utils.translation import gettext as _

from releases.procedures.document import Fault, Procedure, ProcedureFaults
from releases.procedures.left_out import DEFAULT as DEFAULT


def texts(path: Path) -> dict[str, str]:
    """Return file name → text of a TOML file (UTF-8), or of a folder's TOML files by name. Raises ProcedureFaults."""
    files = sorted(path.glob("*.toml")) if path.is_dir() else [path]
    found, faults = {}, [] if files else [Fault(str(path), _("contains no TOML file"))]
    for file in files:
        try:
            found[file.name] = file.read_bytes().decode("utf-8-sig")
        except OSError as fault:
            faults.append(Fault(file.name, _("cannot be read: %(fault)s") % {"fault": fault.strerror}))
        except UnicodeDecodeError as fault:
            details = {"reason": fault.reason, "byte": fault.start}
            faults.append(Fault(file.name, _("is not UTF-8: %(reason)s at byte %(byte)d") % details))
    if faults:
        raise ProcedureFaults(faults)
    return found


def read(path: Path, organisation: Procedure | None = None, **types: Collection[str]) -> Procedure:
    """Read a procedure from a TOML file or a folder of them; arguments as in `Procedure.from_toml`. Raises
    ProcedureFaults.
    """
    return Procedure.from_toml(texts(path), organisation, **types)


def default() -> Procedure:
    """Return the default procedure."""
    return read(DEFAULT)


def default_text() -> str:
    """Return the default procedure as one text, as the page takes it: its files one after another."""
    return "\n".join(texts(DEFAULT).values())


def digest(procedure: Procedure) -> str:
    """Return the SHA-256 (hex) of the procedure's canonical JSON (RFC 8785)."""
    return hashlib.sha256(rfc8785.dumps(procedure.model_dump(mode="json"))).hexdigest()
