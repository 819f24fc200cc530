"""A step type: the target's own migration forward, and its rollback by restore or reverse migration."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

from environments.targets import written_rows
from environments.targets.base import Parameters, Probe, StepContext, StepFailed
from environments.targets.configuration_file import kept_of, render_configuration
from environments.targets.data_store import DataDigest, DataStore
from environments.targets.target import (
    Held,
    Layout,
    TargetStep,
    data_store_of,
    filled,
    journal,
    journal_lines,
    journal_once,
    private_folder,
    write_atomically,
)
from environments.targets.trees import folder_name, sha256_of
from environments.targets.words import gettext as _

# The exit codes of the target's `migrate_check`; any other one is unknown.
AT_SCHEMA, NOT_AT_SCHEMA = 0, 3


class DatabaseParameters(Parameters):
    """direction; rollback_method: none needed, reverse migration, restore of the backup; repeatable: migrate continues
    where it was.
    """

    direction: Literal["deployment", "rollback"] = "deployment"
    rollback_method: Literal["none", "reverse", "restore"] = "restore"
    repeatable: bool = True


class DatabaseUpdate(TargetStep):
    """Runs the wanted tree's migration; in a rollback, it keeps the rows written since the backup before it restores
    it.
    """

    name: ClassVar[str] = "database_update"
    parameters: ClassVar[type[Parameters]] = DatabaseParameters
    repeatable: ClassVar[bool] = True
    estimate_seconds: ClassVar[float] = 120

    def make(self, context: StepContext, held: Held, parameters: DatabaseParameters) -> dict[str, Any]:
        """Migrate, or roll back.

        Facts forward: snapshot_before, snapshot_after, written_before {table: rows}, data. Facts of a rollback by
        restore: written_since {table: rows}, written_rows, dump (JSON lines), exact, restored, data. Facts of a
        rollback by reverse migration: data, schema. nothing: there was nothing to migrate or to undo.
        """
        if parameters.direction == "deployment":
            return self._forward(context, held)
        if parameters.rollback_method == "none":
            journal_once(context, "database_update:kept")
            return {"nothing": True, "data": _data(context, held)}
        if parameters.rollback_method == "reverse":
            return self._reverse(context, held)
        return self._restore(context, held)

    def look(self, context: StepContext, held: Held, parameters: DatabaseParameters) -> tuple[Probe, dict[str, Any]]:
        """Forward: the result of the target's own check. Rollback: whether the data are the backup's."""
        if parameters.direction == "deployment":
            return self._look_forward(context, held, parameters)
        effect = {"none": "kept", "reverse": "reversed", "restore": "restored"}[parameters.rollback_method]
        lines = journal_lines(context.target, key=context.key, effect=f"database_update:{effect}")
        if not lines:
            begun = journal_lines(context.target, key=context.key, effect="database_update:reversing")
            return (Probe.UNKNOWN if begun and not parameters.repeatable else Probe.NOT_DONE), {}
        digest, line = _digest(context, held), lines[-1]
        if parameters.rollback_method == "restore" and line["restored"] and digest.total != line["data"]:
            return Probe.NOT_DONE, {}
        names = ("written_since", "written_rows", "dump", "exact", "restored", "nothing")
        facts = {name: line[name] for name in names if name in line} | {"data": digest.total}
        undone = parameters.rollback_method == "reverse" and not line.get("nothing")
        return Probe.DONE, facts | ({"schema": digest.schema} if undone else {})

    def describe(self, context: StepContext, parameters: DatabaseParameters) -> list[str]:
        """Return the lines of the dry run."""
        settings = context.target.settings
        if parameters.direction == "deployment":
            if not settings.get("migrate"):
                return [_("the target has no migration command: nothing to migrate")]
            return [shlex.join(filled(settings["migrate"], context.target))]
        if parameters.rollback_method == "none":
            return [_("the database stays as it is")]
        if parameters.rollback_method == "reverse":
            return [shlex.join(filled(settings.get("migrate_back", ()), context.target))]
        store = data_store_of(context.target, context.configuration, context.previous_configuration)
        if store is None:
            return [_("no data store is configured: nothing to restore")]
        return [
            *([_("count and keep the rows written since the backup")] if store.counts_rows else []),
            _("replace the data with the backup of this deployment, and compare them"),
        ]

    def _forward(self, context: StepContext, held: Held) -> dict[str, Any]:
        migrate = context.target.settings.get("migrate")
        if not migrate:
            return {"nothing": True, "data": _data(context, held)}
        store = data_store_of(context.target, context.configuration)
        started = journal_lines(context.target, key=context.key, effect="database_update:started")
        if not started:
            written = self._note_rows(context, store)
            before = _position(context, store, "before")
            journal(context, "database_update:started", snapshot_before=before, written_before=written)
            started = journal_lines(context.target, key=context.key, effect="database_update:started")
        elif not journal_lines(context.target, key=context.key, effect="database_update:migrated"):
            journal(context, "database_update:resumed")
        with _configuration(context, context.configuration) as config:
            held.run(filled(migrate, context.target, config=config))
        after = _position(context, store, "after")
        data = _data(context, held)
        line = journal_once(context, "database_update:migrated", snapshot_after=after, data=data)
        return {
            "snapshot_before": started[-1]["snapshot_before"],
            "snapshot_after": line["snapshot_after"],
            "written_before": started[-1]["written_before"],
            "data": data,
        }

    @staticmethod
    def _note_rows(context: StepContext, store: DataStore | None) -> dict[str, int]:
        """Keep the rows written between backup and migration; afterwards the migration's own writes would hide them."""
        if store is None or not store.counts_rows:
            return {}
        path = Layout(context.target.root).backup(context.deployment_key) / "written-before.jsonl"
        return written_rows.keep_rows(
            store, context.earlier.get("backup", {}).get("snapshot"), path, heartbeat=context.heartbeat
        )

    def _look_forward(
        self, context: StepContext, held: Held, parameters: DatabaseParameters
    ) -> tuple[Probe, dict[str, Any]]:
        settings = context.target.settings
        if not settings.get("migrate"):
            return Probe.DONE, {"nothing": True, "data": _data(context, held)}
        started = journal_lines(context.target, key=context.key, effect="database_update:started")
        migrated = journal_lines(context.target, key=context.key, effect="database_update:migrated")
        if not started:
            return Probe.NOT_DONE, {}
        halfway = Probe.NOT_DONE if parameters.repeatable else Probe.UNKNOWN
        if not settings.get("migrate_check"):
            result = Probe.DONE if migrated else halfway
        else:
            with _configuration(context, context.configuration) as config:
                arguments = filled(settings["migrate_check"], context.target, config=config)
                code = held.run(arguments, allowed=range(-255, 256)).code
            result = {AT_SCHEMA: Probe.DONE, NOT_AT_SCHEMA: halfway}.get(code, Probe.UNKNOWN)
        if result is not Probe.DONE:
            return result, {}
        if migrated:
            after = migrated[-1]["snapshot_after"]
        elif parameters.repeatable:
            # The migration ended but its snapshot was not noted: running it again changes nothing and notes it.
            return Probe.NOT_DONE, {}
        else:
            after = _position(context, data_store_of(context.target, context.configuration), "after")
        names = ("snapshot_before", "written_before")
        facts = {name: started[-1][name] for name in names} | {"snapshot_after": after}
        return Probe.DONE, facts | {"data": _data(context, held)}

    @staticmethod
    def _reverse(context: StepContext, held: Held) -> dict[str, Any]:
        command: Sequence[str] = context.target.settings.get("migrate_back") or ()
        if not command:
            raise StepFailed(_("the target options have no command for a reverse migration (migrate_back)"))
        if context.previous is None:
            raise StepFailed(_("the version before the switch is unknown"))
        if not journal_lines(context.target, deployment=context.deployment_key, effect="database_update:started"):
            digest = _digest(context, held)
            journal_once(context, "database_update:reversed", nothing=True)
            return {"nothing": True, "data": digest.total}
        # Only the tree that is being replaced can undo its migration.
        tree = Layout(context.target.root).releases / folder_name(context.previous)
        journal_once(context, "database_update:reversing")
        with _configuration(context, context.previous_configuration or context.configuration) as config:
            held.run(filled(command, context.target, tree=tree, config=config))
        digest = _digest(context, held)
        journal_once(context, "database_update:reversed", data=digest.total)
        return {"data": digest.total, "schema": digest.schema}

    @staticmethod
    def _restore(context: StepContext, held: Held) -> dict[str, Any]:
        store = data_store_of(context.target, context.configuration, context.previous_configuration)
        backup = context.earlier.get("backup", {})
        since = written_rows.Since(context.target, context.earlier)
        if store is None or not since.started:
            data = _data(context, held)
            facts = {"written_since": {}, "written_rows": 0, "exact": True, "restored": False, "data": data}
            journal_once(context, "database_update:restored", **facts)
            return facts
        dump = _dump_of(context, backup)
        # Locks of a migration that was cut off would block every later connection.
        store.end_other_sessions()
        before = store.digest(held.tool, context.heartbeat)
        # After the restore every row is new to any snapshot: the rows kept before count then.
        kept = journal_lines(context.target, key=context.key, effect="database_update:rows_kept")
        restored = before.total == backup["data"]
        if not (restored and kept):
            path = Layout(context.target.root).backup(since.deployment) / "written-since.jsonl"
            written = (
                written_rows.keep_rows(store, since.snapshot, path, before=since.before, heartbeat=context.heartbeat)
                if store.counts_rows
                else {}
            )
            noted = {"written_since": written, "written_rows": sum(written.values()), "dump": str(path)}
            exact = since.exact and store.counts_rows
            journal(context, "database_update:rows_kept", exact=exact, data=before.total, **noted)
            kept = journal_lines(context.target, key=context.key, effect="database_update:rows_kept")
        names = ("written_since", "written_rows", "dump", "exact")
        facts = {name: kept[-1][name] for name in names} | {"restored": True}
        if not restored:
            context.heartbeat()
            store.end_other_sessions()
            store.replace_content(held.tool, dump, Layout(context.target.root).backup(since.deployment))
            after = store.digest(held.tool, context.heartbeat)
            if after.total != backup["data"]:
                different = after.differences(backup.get("tables", {}), backup.get("schema", ""))
                text = _("the restored database differs from the backup in: %(tables)s")
                unequal = _("restored, but not equal to the backup")
                raise StepFailed(text % {"tables": ", ".join(different)}, state=unequal)
        journal_once(context, "database_update:restored", **facts, data=backup["data"])
        return facts | {"data": backup["data"], "data_before": before.total}


def _dump_of(context: StepContext, backup: Mapping[str, Any]) -> Path | None:
    """Return the deployment's own proved dump after comparing its digest; None: the database was empty."""
    if backup.get("nothing") and context.wanted is None:
        return None
    if not backup.get("dump") or not backup.get("proved"):
        raise StepFailed(_("this deployment has no verified dump to restore"))
    dump = Path(backup["dump"])
    if not dump.exists() or sha256_of(dump) != backup["sha256"]:
        raise StepFailed(_("%(path)s is not the verified dump") % {"path": dump}, state=_("nothing was changed"))
    return dump


def _position(context: StepContext, store: DataStore | None, name: str) -> str:
    """Return the present position of a store; one without positions of its own keeps it beside the backup."""
    if store is None:
        return ""
    folder = Layout(context.target.root).backup(context.deployment_key)
    private_folder(folder)
    return store.position(folder / f"position-{name}")


def _digest(context: StepContext, held: Held) -> DataDigest:
    store = data_store_of(context.target, context.configuration, context.previous_configuration)
    return store.digest(held.tool, context.heartbeat) if store is not None else DataDigest("", "")


def _data(context: StepContext, held: Held) -> str:
    return _digest(context, held).total


@contextmanager
def _configuration(context: StepContext, values: Mapping[str, str]) -> Iterator[Path]:
    """Give the migration its version's configuration: the service's own file is written by a later step."""
    format = kept_of(context.target).format
    path = Layout(context.target.root).own / f"migrate.{'json' if format == 'command' else format}"
    write_atomically(path, render_configuration(values, format))
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
