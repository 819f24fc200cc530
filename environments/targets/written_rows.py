"""Rows written since a snapshot: counted before anyone agrees to a restore, and kept as JSON lines before it is
done.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from environments.targets.base import StepFailed, TargetSpec
from environments.targets.data_store import DataStore
from environments.targets.ssh import call, place
from environments.targets.target import Layout, data_store_of, journal_lines
from environments.targets.trees import sync_folder
from environments.targets.words import gettext as _


def keep_rows(
    store: DataStore,
    position: str | None,
    path: Path,
    *,
    before: Path | None = None,
    heartbeat: Callable[[], None] = lambda: None,
) -> dict[str, int]:
    """Write each row that was not there at a position to `path` and return how many there are per table.

    One JSON line a row: table, id (the key as text), key, row. Rows in the file `before` (noted before a migration) are
    carried over first, and a row that is in both counts once. The file is complete and on the disk, or not there.
    """
    counts: Counter[str] = Counter()
    noted = _noted(before)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.partial")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        for table, key, row in store.rows_since(position, whole=True):
            noted.pop((table, key), None)
            counts[table] += 1
            file.write(_line(table, key, row))
            if counts.total() % 5000 == 0:
                heartbeat()
        for (table, _key), line in noted.items():
            counts[table] += 1
            file.write(line)
        file.flush()
        os.fsync(file.fileno())
    os.rename(fresh, path)
    sync_folder(path.parent)
    return dict(sorted(counts.items()))


def _line(table: str, key: str, row: str) -> bytes:
    # `id` is the key as PostgreSQL writes it: text that can be compared without reading numbers back.
    quoted = {name: json.dumps(text, ensure_ascii=False) for name, text in (("table", table), ("id", key))}
    return f'{{"table": {quoted["table"]}, "id": {quoted["id"]}, "key": {key}, "row": {row}}}\n'.encode()


def _noted(path: Path | None) -> dict[tuple[str, str], bytes]:
    noted: dict[tuple[str, str], bytes] = {}
    if path is None or not path.exists():
        return noted
    with path.open("rb") as file:
        for line in file:
            entry = json.loads(line)
            noted[entry["table"], entry["id"]] = line
    return noted


def count_rows(store: DataStore, position: str | None, *, before: Path | None = None) -> dict[str, int]:
    """Return per table how many rows keep_rows() would keep; writes nothing."""
    counts: Counter[str] = Counter()
    noted = _noted(before)
    for table, key, _row in store.rows_since(position, whole=False):
        noted.pop((table, key), None)
        counts[table] += 1
    counts.update(table for table, _key in noted)
    return dict(sorted(counts.items()))


class Since:
    """From where rows count as written by people: worked out from the backup's facts and the target's own journal."""

    def __init__(self, target: TargetSpec, earlier: Mapping[str, Mapping[str, Any]]) -> None:
        backup = earlier.get("backup", {})
        forward = dict(earlier.get("database_update", {}))
        self.deployment = str(backup.get("deployment", ""))
        self.started = "snapshot_before" in forward
        if self.deployment:
            # The outcome of a step that died is in no row of the product, but on the target.
            for line in journal_lines(target, deployment=self.deployment):
                if line["effect"] == "database_update:started":
                    self.started = True
                    forward.setdefault("snapshot_before", line["snapshot_before"])
                elif line["effect"] == "database_update:migrated":
                    forward.setdefault("snapshot_after", line["snapshot_after"])
        self.backup_snapshot: str | None = backup.get("snapshot")
        after = forward.get("snapshot_after")
        # A migration that did not end cannot be told from other writers: its rows count too.
        self.exact = bool(after) or not self.started
        self.snapshot: str | None = after or forward.get("snapshot_before") or self.backup_snapshot
        self._before = Layout(target.root).backup(self.deployment) / "written-before.jsonl"

    @property
    def before(self) -> Path | None:
        """Where the rows are that were written between backup and migration; None before it. Raises StepFailed."""
        if not (self.started and self.deployment):
            return None
        if not self._before.exists():
            raise StepFailed(_("the rows recorded before the migration are missing: %(path)s") % {"path": self._before})
        return self._before


def _told_apart(target: TargetSpec, since: Since) -> bool:
    """Tell whether rows written since the backup can be told from older ones; else they are counted too high.

    A migration that did not end hides who wrote; a later restore makes every row new.
    """
    lines = journal_lines(target)
    mine = [at for at, line in enumerate(lines) if line["deployment"] == since.deployment]
    later = lines[mine[-1] + 1 :] if mine else lines
    return since.exact and not any(
        line["effect"] == "database_update:restored" and line.get("restored") and line["deployment"] != since.deployment
        for line in later
    )


def written_since(
    target: TargetSpec, configuration: Mapping[str, str], earlier: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, int], bool]:
    """Return rows per table that going back by restore would take away, and whether only those count; has no effect.

    configuration: the deployed one, names the database. earlier: results of the deployment phase. No rows when the
    database step never began (nothing is restored then). Raises StepFailed when it cannot be told.
    """
    if place.lies_elsewhere(target):
        rows, exact = call.ask(target, "written_since", configuration=configuration, earlier=dict(earlier))
        return rows, exact
    store, since = data_store_of(target, configuration), Since(target, earlier)
    if store is None or not since.started:
        return {}, True
    dump = str(earlier.get("backup", {}).get("dump", ""))
    if dump and not Path(dump).exists():
        raise StepFailed(_("the dump of this deployment is missing: %(path)s") % {"path": dump})
    before = since.before if store.counts_rows else None
    return count_rows(store, since.snapshot, before=before), _told_apart(target, since)
