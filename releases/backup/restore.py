"""Restoring a backup into an empty database and empty state folders."""

import os
import pwd
import re
import tarfile
import tempfile
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection

from environments.code_version import code_version
from releases.backup.contents import DUMP, MANIFEST, Manifest, checked_name, digest_of, ledger_of
from releases.backup.programs import BackupFailed, decrypting, postgres_environment, run


def restore(source: Path, *, root: Path, work_in: Path | None = None) -> Manifest:
    """Restore a backup: the database that DATABASE_URL names, as its owner, and the state folders below `root`.

    work_in: a folder with space for the decrypted contents. Everything is checked before anything is written, but for
    the ledger: it is compared with the manifest before a private file is written. Raises BackupFailed.
    """
    with tempfile.TemporaryDirectory(dir=work_in, prefix="ringi-restore-") as place:
        work = Path(place)
        manifest = _unpacked(source, work)
        targets = {name: root / checked_name(name) for name in manifest.files if name != DUMP}
        _require_empty(targets)
        words = [
            "pg_restore",
            "--exit-on-error",
            "--single-transaction",
            f"--dbname={connection.settings_dict['NAME']}",
        ]
        run([*words, str(work / DUMP)], postgres_environment())
        connection.close()
        _require_the_ledger_of(manifest)
        call_command("migrate", verbosity=0)
        for name, target in targets.items():
            _put(work / name, target, manifest.files[name].owner)
    return manifest


def _unpacked(source: Path, work: Path) -> Manifest:
    """Decrypt into a folder; the contents must be those that the manifest names, and no others."""
    if not source.is_file():
        raise BackupFailed(f"{source} does not exist")
    try:
        with decrypting(source) as contents, tarfile.open(fileobj=contents, mode="r|") as archive:
            archive.extractall(work, filter="data")
    except tarfile.TarError as fault:
        raise BackupFailed(f"the backup cannot be unpacked: {fault}") from fault
    if not (work / MANIFEST).is_file():
        raise BackupFailed("the file holds no manifest: it is no backup of Ringi")
    manifest = Manifest.read((work / MANIFEST).read_text("utf-8"))
    if _parts(manifest.version) > _parts(code_version()):
        text = f"the backup was made with version {manifest.version}, and this is {code_version()}"
        raise BackupFailed(f"{text}: install version {manifest.version} or a newer one")
    there = {file.relative_to(work).as_posix() for file in work.rglob("*") if file.is_file()} - {MANIFEST}
    if there != manifest.files.keys() or DUMP not in there:
        raise BackupFailed("the files of the backup are not those that its manifest names")
    for name, one in manifest.files.items():
        if digest_of(work / name) != one.sha256:
            raise BackupFailed(f"{name} is not what the manifest says")
    return manifest


def _parts(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, to compare it; a version and its trials are one."""
    return tuple(int(part) for part in re.findall(r"\d+", re.match(r"[\d.]*", version)[0]))  # type: ignore[index]


def _require_empty(targets: dict[str, Path]) -> None:
    """Refuse a database with tables, or with other connections, one without Ringi's roles, and files that are there."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"
        )
        if cursor.fetchone()[0]:
            raise BackupFailed("the database is not empty: rename it, and create an empty one of this name")
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        if others := cursor.fetchone()[0]:
            raise BackupFailed(f"the database has {others} other connections: stop all processes first")
        wanted = sorted(settings.DATABASE_ROLES.values())
        cursor.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", [wanted])
        present = {name for (name,) in cursor.fetchall()}
        if lacking := [name for name in wanted if name not in present]:
            raise BackupFailed(f"create these database roles first: {', '.join(lacking)}")
    if occupied := [str(target) for target in targets.values() if target.exists()]:
        raise BackupFailed(f"these files are there already; move them away: {', '.join(occupied[:3])}")


def _require_the_ledger_of(manifest: Manifest) -> None:
    """Refuse a database whose ledger is not the one that the manifest names; its transaction is over."""
    there = ledger_of(connection)
    named = {name: getattr(manifest, name) for name in there}
    if there != named:
        text = f"the ledger of the dump is not that of its manifest ({there} and {named}): no private file was written"
        raise BackupFailed(f"{text}. Drop the database, and restore another backup")


def _put(copy: Path, target: Path, owner: str) -> None:
    """Write a private file in its place; root gives it, and new folders, to its account."""
    made = []
    for folder in reversed(target.parents):
        if not folder.exists():
            folder.mkdir(mode=0o700)
            made.append(folder)
    with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(copy.read_bytes())
        out.flush()
        os.fsync(out.fileno())
    if os.geteuid() == 0:
        try:
            account = pwd.getpwnam(owner)
        except KeyError:
            return  # the doctor names files of another account
        for path in (*made, target):
            os.chown(path, account.pw_uid, account.pw_gid)
