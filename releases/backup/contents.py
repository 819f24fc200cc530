"""What a backup holds: a manifest, a dump of the database, and the private files of the processes."""

import hashlib
import json
import os
import pwd
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from releases.backup.programs import BackupFailed

FORMAT = 1
MANIFEST, DUMP = "manifest.json", "database.dump"
# The parts of a state folder without which something is lost (docs/how-to/recover.md).
PARTS = ("secrets", "statements", "ledger_signer")
CHUNK = 1 << 20


@dataclass(frozen=True)
class Stored:
    """One file: SHA-256 in hex, and the name of the account that it belongs to."""

    sha256: str
    owner: str


@dataclass(frozen=True)
class Manifest:
    """version: of the code; events, chain: number and chain value (hex) of the ledger's last event; checkpoint: number
    of events under its last signature; signer: whether the ledger signer's memory is in it.
    """

    made_at: str
    version: str
    server: str
    events: int
    chain: str
    checkpoint: int
    signer: bool
    files: dict[str, Stored] = field(default_factory=dict)

    def text(self) -> str:
        """Return the manifest as JSON."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2, sort_keys=True)

    @classmethod
    def read(cls, text: str) -> "Manifest":
        """Read what `text` wrote; raises BackupFailed."""
        try:
            kept: dict[str, Any] = json.loads(text)
            if kept.pop("format") != FORMAT:
                raise BackupFailed("the backup has another format: restore it with the version that made it")
            files = {name: Stored(**row) for name, row in kept.pop("files").items()}
            return cls(**kept, files=files)
        except (ValueError, KeyError, TypeError) as fault:
            raise BackupFailed(f"the manifest of the backup cannot be read: {fault}") from fault


def ledger_of(connection: Any) -> dict[str, Any]:
    """Return what a manifest says of the ledger in the database of a connection."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce((SELECT number FROM audit_ledgerhead WHERE id = 1), 0),"
            " coalesce((SELECT encode(chain, 'hex') FROM audit_ledgerhead WHERE id = 1), ''),"
            " coalesce((SELECT max(number) FROM audit_checkpoint), 0)"
        )
        return dict(zip(("events", "chain", "checkpoint"), cursor.fetchone(), strict=True))


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stored(original: Path, copy: Path) -> Stored:
    """Describe a file by what was copied, and by whose the original is."""
    account = original.stat().st_uid
    try:
        owner = pwd.getpwuid(account).pw_name
    except KeyError:
        owner = str(account)
    return Stored(digest_of(copy), owner)


def private_files(states: list[Path]) -> dict[str, Path]:
    """Return name in the backup → file, of the parts of state folders; raises BackupFailed for one without any."""
    found: dict[str, Path] = {}
    for folder in states:
        parts = [folder / part for part in PARTS if (folder / part).is_dir()]
        files = [file for part in parts for file in sorted(part.rglob("*")) if file.is_file() and not file.is_symlink()]
        if not files:
            raise BackupFailed(f"{folder} holds none of: {', '.join(PARTS)}")
        for file in files:
            name = f"state/{folder.name}/{file.relative_to(folder).as_posix()}"
            if name in found:
                raise BackupFailed(f"two state folders have the name {folder.name}")
            found[name] = file
    return found


def checked_name(name: str) -> PurePosixPath:
    """Return the place of a file of a state folder below the root of all; raises BackupFailed for any other name."""
    path = PurePosixPath(name)
    right = len(path.parts) >= 4 and path.parts[0] == "state" and path.parts[2] in PARTS
    if not right or ".." in path.parts or path.is_absolute() or os.sep != "/":
        raise BackupFailed(f"the backup names a file that does not belong there: {name}")
    return PurePosixPath(*path.parts[1:])
