"""The check type for a fresh and restorable newest backup; used by deployments and monitoring."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from environments.targets.base import Parameters, StepFailed, TargetSpec
from environments.targets.data_store import SCRATCH, DataStore
from environments.targets.declared import Field, field_validator
from environments.targets.postgresql import PostgreSQL
from environments.targets.runner import run_tool
from environments.targets.target import data_store_of
from environments.targets.trees import sha256_of
from environments.targets.words import gettext as _
from releases.check_types.base import CheckContext, CheckResult, Result, TargetCheck
from releases.check_types.excerpt import excerpt

# Clocks of two hosts may differ by so much.
CLOCKS_DIFFER = timedelta(minutes=5)


class BackupCheckParameters(Parameters):
    """within_hours: greatest age of the newest one. files: pattern of dumps below the target's folder; empty = Ringi's.

    verify: digest = the file equals the recorded one (Ringi's only), list = its table of contents can be read,
    restore = it is restored into a scratch database and, for Ringi's own, compared table by table.
    """

    within_hours: float = Field(default=26.0, gt=0)
    files: str = ""
    verify: Literal["digest", "list", "restore"] = "list"

    @field_validator("files")
    @classmethod
    def _stays_on_the_target(cls, value: str) -> str:
        if value.startswith("/") or ".." in Path(value).parts:
            raise ValueError(_("must be a pattern below the target's folder"))
        return value


@dataclass(frozen=True)
class Found:
    """The newest dump: its file, the time of its completion, and the record of its backup step."""

    path: Path
    at: datetime
    facts: Mapping[str, Any] = field(default_factory=dict)


class Backup(TargetCheck):
    """Checks the newest dump: its age, its integrity, and whether it can be restored."""

    name: ClassVar[str] = "backup"
    longest_seconds: ClassVar[float] = 3600.0  # several programs, each of at most ten minutes
    parameters: ClassVar[type[Parameters]] = BackupCheckParameters

    def look(self, context: CheckContext, parameters: BackupCheckParameters) -> CheckResult:
        """Check once. No dump is no data, nor is one whose time lies ahead; an old, torn or unrestorable dump fails."""
        limit = f"≤ {parameters.within_hours:g} h, {parameters.verify}"
        try:
            found = newest(context.target.root, parameters.files)
        except (OSError, ValueError, KeyError) as error:
            return CheckResult(Result.ERROR, limit=limit, output=f"{type(error).__name__}: {error}")
        if found is None:
            return CheckResult(Result.NO_DATA, limit=limit, output=_("There is no backup."))
        age = datetime.now(UTC) - found.at
        value = f"{age / timedelta(hours=1):.1f} h"
        lines = [str(found.path.relative_to(context.target.root)), f"{found.at:%Y-%m-%dT%H:%M:%SZ}"]
        if age > timedelta(hours=parameters.within_hours):
            lines.append(_("The newest backup is too old."))
            return CheckResult(Result.FAILED, value, limit, excerpt(lines, context))
        if age < -CLOCKS_DIFFER:
            lines.append(_("The time of the newest backup lies ahead, so its age is not known."))
            return CheckResult(Result.NO_DATA, value, limit, excerpt(lines, context))
        try:
            said, result = prove(context, found, parameters.verify)
        except StepFailed as failed:
            said, result = f"{failed}\n{failed.state}", Result.FAILED
        except OSError as error:
            said, result = str(error), Result.ERROR
        return CheckResult(result, value, limit, excerpt([*lines, *said.splitlines()], context))


def newest(root: Path, pattern: str) -> Found | None:
    """Return the newest dump, of those that match a pattern or of Ringi's own. Raises OSError, ValueError, KeyError."""
    found: list[Found] = []
    if pattern:
        inside = root.resolve()
        for path in root.glob(pattern):
            if path.is_file() and path.resolve().is_relative_to(inside):
                found.append(Found(path, _at(path)))
    for record in root.glob("backups/*/facts.json") if not pattern else ():
        facts = json.loads(record.read_bytes())
        if facts.get("nothing"):
            continue
        dump = record.with_name(Path(facts["dump"]).name)
        # The record is written after the dump; it has the time of a dump that is gone.
        found.append(Found(dump, _at(dump if dump.exists() else record), facts))
    return max(found, key=lambda one: one.at, default=None)


def prove(context: CheckContext, found: Found, how: str) -> tuple[str, Result]:
    """Return (observation, result) of a dump. Raises StepFailed when it cannot be restored, OSError."""
    if not found.path.exists() or not found.path.stat().st_size:
        return _("The dump is gone or empty."), Result.FAILED
    if found.facts:
        digest = sha256_of(found.path)
        if digest != found.facts["sha256"]:
            return _("The dump is not the one that was taken."), Result.FAILED
        if how == "digest":
            return digest, Result.PASSED
    elif how == "digest":
        return _("The digest of this dump was not recorded."), Result.NO_DATA
    tool = partial(run_tool, context.target)
    store = data_store_of(context.target, context.configuration) or _unnamed(context.target)
    if how == "list":
        return store.contents(tool, found.path)[0], Result.PASSED
    server = context.configuration.get(SCRATCH, "")
    if isinstance(store, PostgreSQL) and not (server or store.url):
        return _("There is no server on which the dump could be restored."), Result.NO_DATA
    restored = store.restored(tool, found.path, "ringi_check_" + secrets.token_hex(8), server)
    if not restored.tables:
        raise StepFailed(_("the restored dump holds no table"))
    if found.facts and (different := restored.differences(found.facts["tables"], found.facts["schema"])):
        raise StepFailed(_("the restored dump differs in: %(tables)s") % {"tables": ", ".join(different)})
    rows = sum(count for count, _digest in restored.tables.values())
    said = _("Restored: %(tables)d tables, %(rows)d rows.") % {"tables": len(restored.tables), "rows": rows}
    return said, Result.PASSED


def _unnamed(target: TargetSpec) -> DataStore:
    """Return what reads the dumps of a database that no configuration names."""
    return PostgreSQL("", str(target.settings.get("postgres_bin", "")))


def _at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
