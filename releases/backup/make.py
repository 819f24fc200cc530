"""Making a backup: database, keys and the ledger signer's memory, as they belong together."""

import json
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from environments.code_version import code_version
from releases.backup.contents import DUMP, MANIFEST, Manifest, ledger_of, private_files, stored
from releases.backup.programs import BackupFailed, encrypting, postgres_environment, run

TRIES, PAUSE = 40, 0.25


class _Apart(BackupFailed):
    """The signer's memory and the database are of different moments."""


def make(folder: Path, *, states: list[Path], recipient: Path) -> tuple[Path, Manifest]:
    """Write one encrypted file into a folder; return it with its manifest. The processes may run; while the ledger
    signer is at work, it is tried again.

    states: the state folders of this server's processes; recipient: a file with the OpenPGP public key that it is
    encrypted for. Raises BackupFailed; then nothing is left in the folder.
    """
    for _try in range(TRIES - 1):
        try:
            return _made(folder, states, recipient)
        except _Apart:
            time.sleep(PAUSE)
    return _made(folder, states, recipient)


def _made(folder: Path, states: list[Path], recipient: Path) -> tuple[Path, Manifest]:
    if not folder.is_dir():
        raise BackupFailed(f"the folder {folder} does not exist")
    files = private_files(states)
    made_at = datetime.now(UTC)
    target = folder / f"ringi-{made_at:%Y%m%dT%H%M%SZ}.backup"
    with tempfile.TemporaryDirectory(dir=folder, prefix=".backup-") as place:
        work = Path(place)
        with _snapshot() as snapshot:
            facts = _facts(work, files, snapshot)
            words = ["pg_dump", "--format=custom", f"--snapshot={facts.pop('snapshot')}", f"--file={work / DUMP}"]
            run(words, postgres_environment())
        copies = {DUMP: work / DUMP, **{name: work / name for name in files}}
        described = {name: stored(files.get(name, copy), copy) for name, copy in copies.items()}
        manifest = Manifest(made_at=made_at.isoformat(), version=code_version(), files=described, **facts)
        (work / MANIFEST).write_text(manifest.text(), encoding="utf-8")
        fresh = work / "encrypted"
        with encrypting(recipient, fresh) as out, tarfile.open(fileobj=out, mode="w|") as archive:
            for name in (MANIFEST, *copies):
                archive.add(work / name, arcname=name)
        fresh.chmod(0o600)
        fresh.replace(target)
    return target, manifest


@contextmanager
def _snapshot() -> Iterator[Any]:
    """Open a transaction that always sees the same, for as long as the dump takes."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield cursor


def _facts(work: Path, files: dict[str, Path], cursor: Any) -> dict[str, Any]:
    """Copy the private files, and return what the manifest says of the database that the transaction sees."""
    cursor.execute("SELECT current_setting('server_version'), pg_export_snapshot()")
    server, snapshot = cursor.fetchone()
    ledger = ledger_of(connection)
    checkpoint = ledger["checkpoint"]
    for name, file in files.items():
        copy = work / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    memory = next((work / name for name in files if name.endswith("/ledger_signer/state.json")), None)
    signed = json.loads(memory.read_text("utf-8"))["size"] if memory is not None else None
    if signed is not None and signed != (checkpoint or 0):
        raise _Apart(
            f"the ledger signer remembers {signed} events, and the database {checkpoint or 0}: stop it for the backup"
        )
    return {"server": server, "snapshot": snapshot, **ledger, "signer": memory is not None}
