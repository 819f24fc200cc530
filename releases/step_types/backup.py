"""A step type: dumps the target's data in one consistent state and proves the dump by restoring it elsewhere."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any, ClassVar, Literal

from environments.targets.base import Parameters, Probe, StepContext, StepFailed
from environments.targets.configuration_file import path_of
from environments.targets.data_store import SCRATCH, DataStore
from environments.targets.sandbox import shared
from environments.targets.target import (
    Held,
    Layout,
    TargetStep,
    configuration_digest,
    data_store_of,
    journal_lines,
    journal_once,
    private_folder,
    write_atomically,
)
from environments.targets.trees import sha256_of, sync_folder
from environments.targets.words import gettext as _


class BackupParameters(Parameters):
    """verify: full = restore elsewhere and compare; sample, list = read the dump's table of contents
    only.
    """

    verify: Literal["full", "sample", "list"] = "full"


class Backup(TargetStep):
    """Dumps the data and copies the configuration; the dump counts only when it is proved."""

    name: ClassVar[str] = "backup"
    parameters: ClassVar[type[Parameters]] = BackupParameters
    repeatable: ClassVar[bool] = True
    estimate_seconds: ClassVar[float] = 60

    def make(self, context: StepContext, held: Held, parameters: BackupParameters) -> dict[str, Any]:
        """Dump and prove; facts: dump, sha256, bytes, snapshot, data, schema, tables {name: [rows, sha256]}, proved,
        run.

        {"nothing": true} when no data store is configured, or no version is deployed and the store is empty or
        missing.
        """
        folder = Layout(context.target.root).backup(context.deployment_key)
        private_folder(folder)
        facts = _facts(folder)
        if facts is not None and facts["key"] != context.key:
            text = _("another step of this deployment already stored its backup in %(path)s")
            raise StepFailed(text % {"path": folder})
        if facts is None or not _intact(facts):
            self._copy_configuration(context, folder)
            facts = self._dump(context, held, folder)
        if facts.get("nothing"):
            return facts
        journal_once(context, "backup:dumped", sha256=facts["sha256"], data=facts["data"], snapshot=facts["snapshot"])
        if facts.get("proved") != parameters.verify:
            self._prove(context, held, parameters, facts)
            facts["proved"] = parameters.verify
            _write_facts(folder, facts)
        journal_once(context, "backup:proved", sha256=facts["sha256"], verify=parameters.verify)
        return facts

    def look(self, context: StepContext, held: Held, parameters: BackupParameters) -> tuple[Probe, dict[str, Any]]:
        """Done when this key's dump is there, has its digest, and was proved as the plan requires."""
        facts = _facts(Layout(context.target.root).backup(context.deployment_key))
        if facts is None or facts["key"] != context.key or not _intact(facts):
            return Probe.NOT_DONE, {}
        proved = journal_lines(context.target, key=context.key, effect="backup:proved")
        if facts.get("nothing") or (proved and facts.get("proved") == parameters.verify):
            return Probe.DONE, facts
        return Probe.NOT_DONE, {}

    def describe(self, context: StepContext, parameters: BackupParameters) -> list[str]:
        """Return the lines of the dry run."""
        folder = Layout(context.target.root).backup(context.deployment_key)
        store = _store(context)
        if store is None:
            return [_("no data store is configured: nothing to dump")]
        lines = store.commands(folder / store.dump_name)
        if parameters.verify == "full":
            return [*lines, _("restore the dump elsewhere and compare it table by table")]
        return [*lines, _("compare the tables in the dump with those of the data store")]

    @staticmethod
    def _copy_configuration(context: StepContext, folder: Path) -> None:
        path = path_of(context.target)
        if path is not None and path.exists():
            write_atomically(folder / path.name, path.read_bytes())

    @staticmethod
    def _dump(context: StepContext, held: Held, folder: Path) -> dict[str, Any]:
        common = {
            "key": context.key,
            "deployment": context.deployment_key,
            "configuration": configuration_digest(context.target),
        }
        store = _store(context)
        if store is None or (context.previous is None and _empty(store, held)):
            facts = common | {"nothing": True, "data": ""}
            _write_facts(folder, facts)
            return facts
        dump, partial = folder / store.dump_name, folder / f".{store.dump_name}.partial"
        partial.unlink(missing_ok=True)
        position, digest = store.dump(held.tool, partial, context.heartbeat)
        os.chmod(partial, 0o640 if shared(folder) else 0o600)
        descriptor = os.open(partial, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        os.rename(partial, dump)
        sync_folder(folder)
        facts = common | {
            "dump": str(dump),
            "sha256": sha256_of(dump),
            "bytes": dump.stat().st_size,
            "snapshot": position or str(dump),
            "data": digest.total,
            "schema": digest.schema,
            "tables": {name: list(found) for name, found in digest.tables.items()},
        }
        _write_facts(folder, facts)
        return facts

    @staticmethod
    def _prove(context: StepContext, held: Held, parameters: BackupParameters, facts: dict[str, Any]) -> None:
        store, dump = _store(context), Path(facts["dump"])
        assert store is not None
        if parameters.verify == "full":
            # The same name for every attempt of the step: the rest of a killed one is replaced.
            name = "ringi_scratch_" + hashlib.sha256(f"{context.target.root} {context.key}".encode()).hexdigest()[:16]
            digest = store.restored(held.tool, dump, name, context.configuration.get(SCRATCH, ""), context.heartbeat)
            if different := digest.differences(facts["tables"], facts["schema"]):
                raise StepFailed(_("the restored dump differs in: %(tables)s") % {"tables": ", ".join(different)})
        elif store.counts_rows and (missing := sorted(facts["tables"].keys() - store.contents(held.tool, dump)[1])):
            raise StepFailed(_("the dump lacks tables: %(tables)s") % {"tables": ", ".join(missing)})


class DropParameters(Parameters):
    """sha256: of the dump to delete; another one is left alone."""

    sha256: str


class DropBackup(TargetStep):
    """Deletes the backup of one deployment from its target when its retention is over; no step of a plan: the scheduler
    uses it.
    """

    name: ClassVar[str] = "drop_backup"
    parameters: ClassVar[type[Parameters]] = DropParameters
    repeatable: ClassVar[bool] = True
    estimate_seconds: ClassVar[float] = 10

    def make(self, context: StepContext, held: Held, parameters: DropParameters) -> dict[str, Any]:
        """Delete the folder of the deployment's backup; facts: bytes freed, or {"nothing": true} when it was gone
        already.
        """
        folder = Layout(context.target.root).backup(context.deployment_key)
        facts = _facts(folder)
        if facts is None:
            return {"nothing": True}
        if facts.get("sha256") != parameters.sha256:
            raise StepFailed(_("the dump in %(path)s is not the recorded one") % {"path": folder})
        freed = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
        journal_once(context, "backup:deleted", sha256=parameters.sha256, bytes=freed)
        shutil.rmtree(folder)
        sync_folder(folder.parent)
        return {"bytes": freed}

    def look(self, context: StepContext, held: Held, parameters: DropParameters) -> tuple[Probe, dict[str, Any]]:
        """Done when nothing of the deployment's backup is left."""
        folder = Layout(context.target.root).backup(context.deployment_key)
        return (Probe.NOT_DONE, {}) if folder.exists() else (Probe.DONE, {"nothing": True})

    def describe(self, context: StepContext, parameters: DropParameters) -> list[str]:
        """Return the line of the dry run."""
        return [_("delete %(path)s") % {"path": Layout(context.target.root).backup(context.deployment_key)}]


def _store(context: StepContext) -> DataStore | None:
    return data_store_of(context.target, context.previous_configuration, context.configuration)


def _empty(store: DataStore, held: Held) -> bool:
    try:
        return not store.digest(held.tool).total
    except StepFailed:
        # Before a first deployment the database may not exist yet; the database step reports it if it must.
        return True


def _facts(folder: Path) -> dict[str, Any] | None:
    path = folder / "facts.json"
    if not path.exists():
        return None
    facts: dict[str, Any] = json.loads(path.read_bytes())
    return facts


def _write_facts(folder: Path, facts: dict[str, Any]) -> None:
    write_atomically(folder / "facts.json", json.dumps(facts, sort_keys=True, indent=1).encode())


def _intact(facts: dict[str, Any]) -> bool:
    if facts.get("nothing"):
        return True
    dump = Path(facts["dump"])
    return dump.exists() and sha256_of(dump) == facts["sha256"]
