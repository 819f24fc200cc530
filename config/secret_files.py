"""Private files of a state folder: the secrets of its servers and its site, made on first use."""

import json
import secrets
from collections.abc import Sequence
from pathlib import Path

from audit.private_files import write_private


class Unavailable(Exception):
    """Something can't be started or reached; the message is for the person at the terminal."""


def load_or_create_secrets(file: Path, names: Sequence[str]) -> dict[str, str]:
    """Return the secrets of a state folder, random ones on first use of a name. Raises Unavailable."""
    try:
        kept: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        if missing := {name: secrets.token_urlsafe(40) for name in names if name not in kept}:
            write_private(file, json.dumps(kept | missing))
        return {name: (kept | missing)[name] for name in names}
    except (ValueError, LookupError, TypeError):
        raise Unavailable(f"{file} can't be read; restore it, or remove {file.parent} to begin anew")
