"""Backup, migration, rows written since and restore of every data store but PostgreSQL, which has tests of its own."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from environments.targets.base import Probe, StepFailed
from environments.targets.data_commands import DataCommands
from environments.targets.data_folder import DataFolder
from environments.targets.data_store import DataStore
from environments.targets.measured import measure
from environments.targets.runner import run_tool
from environments.targets.sqlite import SQLite
from environments.targets.target import Layout, data_store_of, journal_lines
from environments.targets.written_rows import written_since
from releases.check_types.backup import newest, prove
from releases.check_types.base import CheckContext, Result
from releases.metric_sources.sql import Sql
from releases.step_types import by_name
from tests.releases.step_types.conftest import Target

MIGRATE = (
    "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('ALTER TABLE dataset ADD state TEXT');"
    " c.execute(\"UPDATE dataset SET state = 'open'\"); c.commit()"
)
# The target's own commands: a file of which they know the form.
OWN = """
import hashlib, os, pathlib, shutil, sys
verb, data, dump = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[-1])
if verb == "digest":
    copy = pathlib.Path(os.environ["TMPDIR"], "copy")
    shutil.copyfile(data, copy)
    print(hashlib.sha256(copy.read_bytes()).hexdigest())
if verb == "verify": print(hashlib.sha256(dump.read_bytes()).hexdigest())
if verb == "dump": shutil.copyfile(data, dump)
if verb == "restore": shutil.copyfile(dump, data)
"""


@dataclass(frozen=True)
class Kept:
    """A target that keeps its data in one of the stores: what people write, and what was written then."""

    target: Target
    write: Callable[[str], None]
    written: dict[str, int] | None

    @property
    def store(self) -> DataStore:
        """Return its store."""
        found = data_store_of(self.target.spec, self.target.configuration)
        assert found is not None
        return found


def _with(target: Target, **settings: Any) -> None:
    target.spec = replace(target.spec, settings={**target.spec.settings, **settings})


@pytest.fixture(params=["sqlite", "folder", "commands"])
def kept(request: pytest.FixtureRequest, bare_target: Target) -> Kept:
    """A target of each kind with data, whose migration rewrites all of them."""
    target, root = bare_target, bare_target.spec.root
    python, data = sys.executable, root / "data"
    data.mkdir()
    if request.param == "sqlite":
        path = data / "app.db"
        rows = [(number, f"Title {number}", b"\xff") for number in range(9)]
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE TABLE dataset (id INTEGER PRIMARY KEY, title TEXT COLLATE NOCASE, raw BLOB)")
            connection.executemany("INSERT INTO dataset VALUES (?, ?, ?)", rows)
        target.configuration["DATABASE_URL"] = "sqlite:///data/app.db"
        _with(target, migrate=[python, "-c", MIGRATE, "{root}/data/app.db"])

        def insert(text: str) -> None:
            with closing(sqlite3.connect(path)) as connection, connection:
                connection.execute("INSERT INTO dataset (title) VALUES (?)", [text])
                connection.execute("UPDATE dataset SET title = upper(title) WHERE id = 3")

        return Kept(target, insert, {"dataset": 3})
    (data / "first.txt").write_text("first")
    (data / "deep").mkdir()
    (data / "deep" / "link").symlink_to("../first.txt")
    if request.param == "folder":
        touch = "import pathlib, sys; pathlib.Path(sys.argv[1], 'migrated').write_text('yes')"
        _with(target, data_folder="data", migrate=[python, "-c", touch, "{root}/data"])

        def create(text: str) -> None:
            (data / f"{text}.txt").write_text(text)

        return Kept(target, create, {"after.txt": 1, "between.txt": 1})
    given = {
        verb: [python, "-c", OWN, verb, "{root}/data/first.txt"] for verb in ("digest", "dump", "restore", "verify")
    }
    commands = {verb: [*given[verb], *([] if verb == "digest" else ["{dump}"])] for verb in given}
    append = "import pathlib, sys; p = pathlib.Path(sys.argv[1]); p.write_text(p.read_text() + ' migrated')"
    _with(target, data_commands=commands, migrate=[python, "-c", append, "{root}/data/first.txt"])

    def add(text: str) -> None:
        (data / "first.txt").write_text((data / "first.txt").read_text() + text)

    return Kept(target, add, None)


def _went_forward(kept: Kept) -> dict[str, Any]:
    """Back up, write, migrate and write again; return the results of the steps."""
    target = kept.target
    earlier = {"backup": target.step("backup", target.context("1/1/x"))}
    kept.write("between")
    earlier["database_update"] = target.step("database_update", target.context("1/4/x", earlier=earlier))
    kept.write("after")
    return earlier


def test_a_rollback_restores_the_backup_and_keeps_later_rows(kept: Kept) -> None:
    target = kept.target
    before = measure(target.spec, target.configuration).data
    earlier = _went_forward(kept)
    assert earlier["backup"]["data"] == before and earlier["backup"]["proved"] == "full"
    assert measure(target.spec, target.configuration).data != before
    if kept.written is None:
        with pytest.raises(StepFailed, match="cannot tell what was written"):
            written_since(target.spec, target.configuration, earlier)
    else:
        assert written_since(target.spec, target.configuration, earlier) == (kept.written, True)
    back = target.back("1/8/x", earlier)
    facts = target.step("database_update", back, direction="rollback")
    assert facts["data"] == before == measure(target.spec, target.configuration).data
    assert (facts["restored"], facts["exact"]) == (True, kept.written is not None)
    assert facts["written_since"] == (kept.written or {})
    if kept.written is not None:
        rows = [json.loads(line) for line in Path(facts["dump"]).read_text().splitlines()]
        assert len(rows) == sum(kept.written.values())
    known = by_name("database_update")
    again = replace(back, fencing_token=2)
    assert known.probe(again, known.parameters(direction="rollback"))[0] is Probe.DONE
    twice = target.step("database_update", replace(back, fencing_token=3), direction="rollback")
    assert twice["written_since"] == facts["written_since"]


def test_a_restore_that_was_killed_is_made_again(kept: Kept) -> None:
    """The journal has no line of its end: the data are restored once more, from the same dump."""
    target = kept.target
    earlier = _went_forward(kept)
    back = target.back("1/8/x", earlier)
    target.step("database_update", back, direction="rollback")
    path = Layout(target.spec.root).journal
    path.write_text("".join(line for line in path.read_text().splitlines(True) if ":restored" not in line))
    kept.write("by the service that was started too early")
    facts = target.step("database_update", replace(back, fencing_token=2), direction="rollback")
    assert facts["data"] == earlier["backup"]["data"] == measure(target.spec, target.configuration).data


def test_a_dump_with_other_bytes_is_not_restored(kept: Kept) -> None:
    earlier = _went_forward(kept)
    dump = Path(earlier["backup"]["dump"])
    assert dump.name == kept.store.dump_name
    with dump.open("ab") as file:
        file.write(b"\0")
    now = measure(kept.target.spec, kept.target.configuration).data
    with pytest.raises(StepFailed, match="is not the verified dump"):
        kept.target.step("database_update", kept.target.back("1/8/x", earlier), direction="rollback")
    assert measure(kept.target.spec, kept.target.configuration).data == now


def test_the_backup_check_reads_the_dump(kept: Kept) -> None:
    target = kept.target
    target.step("backup", target.context("1/1/x"))
    context = CheckContext(target=target.spec, configuration=target.configuration)
    found = newest(target.spec.root, "")
    assert found is not None
    for how in ("digest", "list", "restore"):
        assert prove(context, found, how)[1] is Result.PASSED, how


def test_a_torn_dump_is_not_proved(kept: Kept) -> None:
    target = kept.target
    facts = target.step("backup", target.context("1/1/x"))
    dump = Path(facts["dump"])
    dump.write_bytes(dump.read_bytes()[: dump.stat().st_size // 3])
    run = lambda *given, **how: run_tool(target.spec, *given, **how)  # noqa: E731
    try:
        digest = kept.store.restored(run, dump, "", "")
    except StepFailed:
        return
    assert digest.differences(facts["tables"], facts["schema"])


def test_an_empty_store_has_nothing_to_dump_at_the_first_deployment(kept: Kept) -> None:
    target = kept.target
    shutil.rmtree(target.spec.root / "data")
    if kept.written is None:
        (target.spec.root / "data").mkdir()
    facts = target.step("backup", target.context("1/1/x", previous=None))
    assert facts["nothing"] is True and facts["data"] == ""


def test_the_dry_run_says_what_is_done(kept: Kept) -> None:
    target = kept.target
    backup, update = by_name("backup"), by_name("database_update")
    lines = backup.describe(target.context(), backup.parameters())
    assert len(lines) == 2 and str(target.spec.root) in lines[0]
    lines = update.describe(target.back("1/8/x", {}), update.parameters(direction="rollback"))
    assert len(lines) == (1 if kept.written is None else 2)
    assert not journal_lines(target.spec)


def test_a_folder_comes_back_with_its_links_folders_and_permissions(tmp_path: Path) -> None:
    """What a service needs beside the bytes: hard links, links that lead out, empty folders, and who may write."""
    data, dump = tmp_path / "data", tmp_path / DataFolder.dump_name
    (data / "shared").mkdir(parents=True)
    (data / "shared" / "file").write_text("content")
    (data / "shared" / "twin").hardlink_to(data / "shared" / "file")
    (data / "outside").symlink_to("/etc/hostname")
    (data / "shared" / "file").chmod(0o664)
    (data / "shared").chmod(0o2775)
    store = DataFolder(data)
    _position, digest = store.dump(_no_program, dump)
    assert digest == store.digest(_no_program) == store.restored(_no_program, dump, "", "")
    (data / "empty").mkdir()
    (data / "shared" / "file").write_text("later")
    rows = {table: json.loads(row) for table, _key, row in store.rows_since(str(dump), whole=True)}
    assert rows.keys() == {"empty", "shared/file", "shared/twin"}
    store.replace_content(_no_program, dump, tmp_path)
    assert store.digest(_no_program) == digest
    modes = {name: oct((data / name).stat().st_mode & 0o7777) for name in ("shared", "shared/file")}
    assert modes == {"shared": "0o2775", "shared/file": "0o664"}


RESTORE = """
import sys
from pathlib import Path
from environments.targets.{module} import {store}
print("ready", flush=True)
{store}(Path(sys.argv[1])).replace_content(None, Path(sys.argv[2]), Path(sys.argv[3]))
"""


@pytest.mark.parametrize(("module", "store"), [("sqlite", SQLite), ("data_folder", DataFolder)])
def test_a_restore_that_is_killed_leaves_the_one_or_the_other(tmp_path: Path, module: str, store: Any) -> None:
    """Killed at six moments of the restore; the next attempt ends it, whatever the killed one left."""
    data, dump = tmp_path / "data", tmp_path / store.dump_name
    _filled(data, module, "later", 4000)
    later = store(data).digest(_no_program).total
    _filled(tmp_path / "earlier", module, "earlier", 4000)
    _position, earlier = store(tmp_path / "earlier").dump(_no_program, dump)
    arguments = [sys.executable, "-c", RESTORE.format(module=module, store=store.__name__), data, dump, tmp_path]
    began = time.monotonic()
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
    whole = time.monotonic() - began
    for share in (0.0, 0.01, 0.05, 0.1, 0.3, 0.6):
        shutil.rmtree(data) if data.is_dir() else data.unlink(missing_ok=True)
        _filled(data, module, "later", 4000)
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        time.sleep(whole * share)
        process.kill()
        process.wait()
        process.stdout.close()
        left = store(data).digest(_no_program).total
        assert left in (later, earlier.total) or (store is DataFolder and not data.exists()), share
        store(data).replace_content(_no_program, dump, tmp_path)
        assert store(data).digest(_no_program) == earlier, share


def _filled(path: Path, module: str, text: str, rows: int) -> None:
    if module == "sqlite":
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)")
            connection.executemany("INSERT INTO t (text) VALUES (?)", [(f"{text} {n}" * 50,) for n in range(rows)])
        return
    path.mkdir()
    for number in range(rows // 10):
        (path / f"{text}-{number}").write_text(text * 50)


def _no_program(*_given: Any, **_how: Any) -> Any:
    raise AssertionError("these stores start no program")


@pytest.mark.parametrize(
    ("settings", "configuration"), [({"data_folder": "link"}, {}), ({}, {"DATABASE_URL": "sqlite:///link/app.db"})]
)
def test_a_store_outside_the_targets_folder_is_refused(
    bare_target: Target, tmp_path: Path, settings: dict[str, Any], configuration: dict[str, str]
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (bare_target.spec.root / "link").symlink_to(tmp_path / "elsewhere")
    _with(bare_target, **settings)
    with pytest.raises(StepFailed):
        data_store_of(bare_target.spec, configuration)


def test_data_that_change_while_they_are_dumped_are_no_backup(bare_target: Target) -> None:
    python, path = sys.executable, bare_target.spec.root / "data"
    path.write_text("first")
    write = (
        "import pathlib, sys; pathlib.Path(sys.argv[2]).write_text('x'); pathlib.Path(sys.argv[1]).write_text('other')"
    )
    read = "import pathlib, sys; print(pathlib.Path(sys.argv[1]).read_text())"
    commands = {
        "digest": [python, "-c", read, "{root}/data"],
        "dump": [python, "-c", write, "{root}/data", "{dump}"],
        "restore": ["/bin/true", "{dump}"],
    }
    _with(bare_target, data_commands=commands)
    with pytest.raises(StepFailed, match="changed while they were dumped"):
        bare_target.step("backup", bare_target.context("1/1/x"))
    assert not list(bare_target.spec.root.glob("backups/*/data.dump"))


def test_a_database_of_another_kind_needs_commands(bare_target: Target) -> None:
    """The address of such a database is no address of PostgreSQL."""
    given = {"DATABASE_URL": "mysql+pymysql://app:word@localhost/app"}
    with pytest.raises(StepFailed, match="mysql") as refused:
        data_store_of(bare_target.spec, given)
    assert "word" not in str(refused.value)
    _with(bare_target, data_commands={"digest": ["/bin/true"], "dump": ["/bin/true"], "restore": ["/bin/true"]})
    assert isinstance(data_store_of(bare_target.spec, given), DataCommands)
    reading = Sql().read(bare_target.spec, Sql.parameters(statement="SELECT 1", values={"up": "up"}), given)
    assert not reading.up


def test_a_migration_that_only_counts_its_version_is_undone(bare_target: Target) -> None:
    """An application compares the number in SQLite's header with its own before it starts."""
    (bare_target.spec.root / "data").mkdir()
    path = bare_target.spec.root / "data" / "app.db"

    def number(put: str = "") -> int:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(f"PRAGMA user_version{put}")
            return int(connection.execute("PRAGMA user_version").fetchone()[0])

    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE dataset (id INTEGER PRIMARY KEY)")
    number(" = 5")
    bare_target.configuration["DATABASE_URL"] = "sqlite:///data/app.db"
    raise_it = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('PRAGMA user_version = 6')"
    _with(bare_target, migrate=[sys.executable, "-c", raise_it, str(path)])
    earlier = {"backup": bare_target.step("backup", bare_target.context("1/1/x"))}
    earlier["database_update"] = bare_target.step("database_update", bare_target.context("1/4/x", earlier=earlier))
    assert number() == 6
    facts = bare_target.step("database_update", bare_target.back("1/8/x", earlier), direction="rollback")
    assert (facts["restored"], number()) == (True, 5)
