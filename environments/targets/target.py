"""A target's folder: layout, lock with fencing tokens, journal, configuration file, and measurements; used by every
step type.
"""

from __future__ import annotations  # those of the database are loaded late

import fcntl
import json
import os
import re
import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from environments.targets import postgresql, runner, sqlite
from environments.targets.base import (
    Fenced,
    ForgottenAttempt,
    Probe,
    StepContext,
    StepFailed,
    StepType,
    StillRunning,
    TargetSpec,
)
from environments.targets.configuration_file import configuration_digest, path_of, render_configuration
from environments.targets.data_commands import DataCommands
from environments.targets.data_folder import DataFolder
from environments.targets.data_store import DataStore
from environments.targets.log_position import log_position
from environments.targets.sandbox import inside, shared
from environments.targets.ssh import call, place
from environments.targets.trees import sync_folder, tree_digest
from environments.targets.words import gettext as _

__all__ = [
    "Held",
    "configuration_digest",
    "Layout",
    "lock_record",
    "TargetStep",
    "data_store_of",
    "holding",
    "journal",
    "journal_lines",
    "render_configuration",
    "tree_digest",
    "write_atomically",
]

# So many keys are remembered with the highest fencing token that was here: no attempt outlives so many later steps of
# its target.
KEPT_KEYS = 500


@dataclass(frozen=True)
class Layout:
    """Where things are under a target's root."""

    root: Path

    @property
    def releases(self) -> Path:
        """Laid trees, one folder a version."""
        return self.root / "releases"

    @property
    def current(self) -> Path:
        """The link to the deployed tree."""
        return self.root / "current"

    @property
    def configuration(self) -> Path:
        """The rendered configuration."""
        return self.root / "shared" / "config.env"

    @property
    def maintenance(self) -> Path:
        """The flag of maintenance mode."""
        return self.root / "shared" / "maintenance"

    @property
    def own(self) -> Path:
        """Ringi's folder on the target."""
        return self.root / ".ringi"

    @property
    def lock(self) -> Path:
        """The file whose flock is the target's lock."""
        return self.own / "lock"

    @property
    def lock_record(self) -> Path:
        """Who held the lock last, and the highest fencing token seen of each key."""
        return self.own / "lock.json"

    @property
    def service_record(self) -> Path:
        """The running service: pid, start time, arguments."""
        return self.own / "service.json"

    @property
    def journal(self) -> Path:
        """One line per effect made."""
        return self.own / "journal.jsonl"

    def backup(self, deployment_key: str) -> Path:
        """The folder of one run's backup."""
        return self.root / "backups" / deployment_key.replace(":", "-").replace("/", "-")

    def log(self, settings: Mapping[str, Any]) -> Path:
        """The service's log."""
        return self.root / str(settings.get("log", "shared/app.log"))


@dataclass(frozen=True)
class Held:
    """The target's lock in the hands of one attempt; `until` is the attempt's end on the monotonic clock."""

    context: StepContext
    lock: int
    until: float

    def run(
        self,
        arguments: Sequence[str],
        *,
        extra: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        allowed: Iterable[int] = (0,),
        **how: Any,
    ) -> runner.Outcome:
        """Run one argument list for the step; how: as run_on takes it.

        The child inherits the descriptor of the lock, so that the target stays locked while any child lives. Raises
        StepFailed with the command's name and exit code when that is not allowed.
        """
        context = self.context
        outcome = runner.run_on(
            context.target,
            arguments,
            extra={
                "RINGI_IDEMPOTENCY_KEY": context.key,
                "RINGI_FENCING_TOKEN": str(context.fencing_token),
                **(extra or {}),
            },
            seconds=max(0.0, self.until - time.monotonic()),
            output=context.output,
            heartbeat=context.heartbeat,
            secrets=runner.secrets_of(context),
            pass_fds=(self.lock, *pass_fds),
            silence=context.no_output_timeout_seconds,
            **how,
        )
        return runner.demand(outcome, arguments, allowed)

    def tool(self, arguments: Sequence[str], *, tool: bool = True, **how: Any) -> runner.Outcome:
        """Run one of Ringi's own programs under the lock; tool: no is a program of the target's."""
        return self.run(arguments, tool=tool, **how)


def private_folder(folder: Path, group: int = 0o050) -> None:
    """Make a folder for the worker alone, and with these rights for the group where the one above is shared with it."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if shared(folder.parent):
            folder.chmod(0o2700 | group)


def write_atomically(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write the file so that a crash leaves either the old or the new content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mode |= 0o040 if shared(path.parent) else 0
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.rename(fresh, path)
    sync_folder(path.parent)


def lock_record(layout: Layout) -> dict[str, Any]:
    """Return who held the lock last (deployment, key, fencing token), the highest tokens seen of each key, and where
    the log stood when the first step of that deployment began.
    """
    if not layout.lock_record.exists():
        return {"seen": {}}
    record: dict[str, Any] = json.loads(layout.lock_record.read_bytes())
    return record


def refuse_elsewhere(target: TargetSpec) -> None:
    """Raise StepFailed for a target on another host: this machine's folders are not its folders."""
    if place.lies_elsewhere(target):
        raise StepFailed(_("this only works on a target on this host; this target is on another host"))


def own_folders(target: TargetSpec) -> None:
    """Make Ringi's own folder on a target, and the one for temporary files of programs. Raises StepFailed."""
    layout = Layout(target.root)
    inside(target, layout.root / runner.TEMPORARY)
    private_folder(layout.own)
    private_folder(layout.root / runner.TEMPORARY, 0o070)


@contextmanager
def holding(context: StepContext, *, makes: bool = False) -> Iterator[Held]:
    """Hold the target's lock for one attempt. makes: it makes the effect; else it only looks, also at another step.

    Raises StillRunning when another attempt or one of its children holds it, Fenced when a higher fencing_token of the
    same key was here before, ForgottenAttempt, once, when one that makes the effect had the same token as another. The
    lock outlives the block for as long as a child that inherited it lives.
    """
    refuse_elsewhere(context.target)
    layout = Layout(context.target.root)
    paths = [layout.lock, layout.lock_record, layout.journal, layout.service_record]
    paths += [layout.releases, layout.maintenance, layout.backup(context.deployment_key)]
    for path in (*paths, layout.log(context.target.settings)):
        inside(context.target, path)
    path_of(context.target)  # which asks the same
    until = time.monotonic() + context.deadline_seconds
    own_folders(context.target)
    descriptor = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StillRunning(_("the target is locked by an attempt that has not ended")) from error
        record = lock_record(layout)
        seen: dict[str, int] = record["seen"]
        if seen.get(context.key, context.fencing_token) > context.fencing_token:
            text = _(
                "fencing token %(fencing_token)d of %(key)s is outdated: the target has already accepted token %(seen)d"
            )
            raise Fenced(text % {"fencing_token": context.fencing_token, "key": context.key, "seen": seen[context.key]})
        attempts: dict[str, str] = record.get("attempts", {})
        another = makes and attempts.get(context.key, context.attempt) != context.attempt
        forgotten = seen.pop(context.key, 0) == context.fencing_token and another
        seen[context.key] = context.fencing_token
        if makes:
            attempts[context.key] = context.attempt
        for key in list(seen)[:-KEPT_KEYS]:
            del seen[key]
        same = record.get("deployment") == context.deployment_key
        log = record.get("log") if same else log_position(layout.log(context.target.settings))
        holder = {
            "deployment": context.deployment_key,
            "key": context.key,
            "fencing_token": context.fencing_token,
            "seen": seen,
            "attempts": {key: attempts[key] for key in seen if key in attempts},
            "log": log,
        }
        write_atomically(layout.lock_record, json.dumps(holder).encode())
        if forgotten:
            raise ForgottenAttempt(f"fencing token {context.fencing_token} of {context.key} was here before")
        context.heartbeat()
        yield Held(context, descriptor, until)
    finally:
        # Closed, not unlocked: an explicit unlock would take the lock from children that still live.
        os.close(descriptor)


def journal(context: StepContext, effect: str, **facts: Any) -> None:
    """Append one line about an effect made to the target's journal; on the disk when this returns."""
    layout = Layout(context.target.root)
    line: dict[str, Any] = {
        "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "deployment": context.deployment_key,
        "key": context.key,
        "fencing_token": context.fencing_token,
        "effect": effect,
    }
    inside(context.target, layout.journal)
    mode = 0o640 if shared(layout.own) else 0o600
    descriptor = os.open(layout.journal, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    with open(descriptor, "r+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        file.write((b"\n" if torn else b"") + json.dumps(line | facts, sort_keys=True).encode() + b"\n")
        os.fsync(descriptor)


def journal_lines(
    target: TargetSpec, *, key: str | None = None, deployment: str | None = None, effect: str | None = None
) -> list[dict[str, Any]]:
    """Return the journal's lines, oldest first, of a key, a run, an effect; a line torn by a crash is left out."""
    path = Layout(target.root).journal
    lines: list[dict[str, Any]] = []
    if not path.exists():
        return lines
    wanted = {"key": key, "deployment": deployment, "effect": effect}
    # A journal holds years; only what can be meant is parsed.
    needles = [json.dumps(value).encode() for value in wanted.values() if value is not None]
    for raw in path.read_bytes().split(b"\n"):
        if not all(needle in raw for needle in needles):
            continue
        try:
            line = json.loads(raw)
        except ValueError:
            continue
        if isinstance(line, dict) and all(value in (None, line.get(name)) for name, value in wanted.items()):
            lines.append(line)
    return lines


def journal_once(context: StepContext, effect: str, **facts: Any) -> dict[str, Any]:
    """Append the line unless this key has one of this effect already; return the line's facts.

    A crash between effect and line leaves the line out; the next attempt finds the effect made and writes it.
    """
    found = journal_lines(context.target, key=context.key, effect=effect)
    if found:
        return found[-1]
    journal(context, effect, **facts)
    return facts


def data_store_of(target: TargetSpec, *configurations: Mapping[str, str]) -> DataStore | None:
    """Return where the target keeps its data: the database that the first configuration names, else the folder or the
    commands that its options name; None: nowhere. Raises StepFailed for a path out of the folder, and another database.
    """
    key = str(target.settings.get("database_key", "DATABASE_URL"))
    address = next((configuration[key] for configuration in configurations if configuration.get(key)), "")
    if address.startswith(sqlite.SCHEME):
        path = sqlite.path_of(target.root, address)
        inside(target, path)
        return sqlite.SQLite(path)
    scheme = address.partition("://")[0] if "://" in address else ""
    if address and scheme in ("", "postgresql", "postgres"):
        return postgresql.PostgreSQL(address, str(target.settings.get("postgres_bin", "")))
    if folder := target.settings.get("data_folder"):
        inside(target, target.root / str(folder))
        return DataFolder(target.root / str(folder))
    if commands := target.settings.get("data_commands"):
        named = {name: filled(arguments, target) for name, arguments in commands.items()}
        return DataCommands(named, target.root / runner.TEMPORARY)
    if address:
        text = _("Enter data_commands in the target options: Ringi cannot use a database with %(scheme)s://.")
        raise StepFailed(text % {"scheme": scheme})
    return None


def filled(arguments: Sequence[str], target: TargetSpec, **places: Path) -> list[str]:
    """Return the target's argument list with {root}, {tree} and {config} replaced; `places` overrule the usual
    paths.
    """
    layout = Layout(target.root)
    known = {"root": layout.root, "tree": layout.current, "config": path_of(target) or layout.configuration} | places
    return [
        re.sub(r"\{(root|tree|config)\}", lambda found: str(known[found[1]]), str(argument)) for argument in arguments
    ]


class TargetStep(StepType):
    """A kind that works on the target: run and probe under its lock, the rest in `make` and `look`."""

    def run(self, context: StepContext, parameters: Any) -> dict[str, Any]:
        """Make the effect under the target's lock, on its host; raises StepFailed, Fenced, StillRunning."""
        if place.lies_elsewhere(context.target):
            return call.run_there(self, context, parameters)
        with holding(context, makes=True) as held:
            return self.make(context, held, parameters)

    def probe(self, context: StepContext, parameters: Any) -> tuple[Probe, dict[str, Any]]:
        """Look under the target's lock whether the effect of this key was made; a held lock is RUNNING."""
        if place.lies_elsewhere(context.target):
            return call.probe_there(self, context, parameters)
        try:
            with holding(context) as held:
                return self.look(context, held, parameters)
        except StillRunning:
            return Probe.RUNNING, {}

    @abstractmethod
    def make(self, context: StepContext, held: Held, parameters: Any) -> dict[str, Any]:
        """Make the effect, as often as it takes; what is there already is not made again."""

    @abstractmethod
    def look(self, context: StepContext, held: Held, parameters: Any) -> tuple[Probe, dict[str, Any]]:
        """Tell from the target and its journal whether the effect was made."""
