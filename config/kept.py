"""Private files of a state folder: the secrets of its servers and its site, made on first use."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path


class Unavailable(Exception):
    """Something can't be started or reached; the message is for the person at the terminal."""


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner may read, replacing it in one step."""
    fresh = file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
    fresh.replace(file)


def kept_secrets(file: Path, names: Sequence[str]) -> dict[str, str]:
    """Return the secrets of a state folder, random ones on first use of a name. Raises Unavailable."""
    try:
        kept: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        if missing := {name: secrets.token_urlsafe(40) for name in names if name not in kept}:
            write_private(file, json.dumps(kept | missing))
        return {name: (kept | missing)[name] for name in names}
    except (ValueError, LookupError, TypeError):
        raise Unavailable(f"{file} can't be read; restore it, or remove {file.parent} to begin anew")
