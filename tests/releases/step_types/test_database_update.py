"""The migration continues where it was; the rollback deletes no row that was not counted and kept first."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from environments.targets.base import Probe, StepFailed, TargetSpec
from environments.targets.measured import measure
from environments.targets.target import Layout, data_store_of, journal_lines
from environments.targets.written_rows import written_since
from releases.step_types import by_name
from tests.releases.step_types.conftest import Target


@pytest.fixture
def out(target: Target) -> tuple[Target, dict[str, Any]]:
    """The old version deployed, its backup made, the new code installed, and rows written after the backup."""
    target.install_old()
    earlier = {"backup": target.step("backup", target.context("1/1/x"))}
    target.step("code_deploy", target.context("1/3/x"))
    target.sql("INSERT INTO dataset VALUES (21, 'between')")
    target.sql("UPDATE dataset SET title = 'between too' WHERE id = 5")
    return target, earlier


def _forward(target: Target, earlier: dict[str, Any], fencing_token: int = 1) -> None:
    earlier["database_update"] = target.step("database_update", target.context("1/4/x", fencing_token, earlier=earlier))


def _write_after(target: Target) -> None:
    target.sql("INSERT INTO dataset VALUES (22, 'after')")
    target.sql("UPDATE dataset SET title = 'after' WHERE id IN (5, 6)")
    target.sql("INSERT INTO label VALUES (7, 'after', 2)")
    target.sql("INSERT INTO export (dataset) VALUES (1), (2)")


def _back(target: Target, earlier: dict[str, Any], fencing_token: int = 1, **changes: Any) -> dict[str, Any]:
    return target.step(
        "database_update", target.back("1/8/x", earlier, fencing_token=fencing_token, **changes), direction="rollback"
    )


def test_rows_rewritten_by_the_migration_alone_do_not_count(out: tuple[Target, dict[str, Any]]) -> None:
    target, earlier = out
    assert written_since(target.spec, target.configuration, earlier) == ({}, True)
    _forward(target, earlier)
    assert earlier["database_update"]["written_before"] == {"dataset": 2}
    assert written_since(target.spec, target.configuration, earlier) == ({"dataset": 2}, True)
    _write_after(target)
    # 21 and 5 between, 22, 5 and 6 after: 5 counts once.
    counted = {"dataset": 4, "export": 2, "label": 1}
    assert written_since(target.spec, target.configuration, earlier) == (counted, True)


def test_a_rollback_restores_the_backup_and_keeps_later_rows(out: tuple[Target, dict[str, Any]]) -> None:
    target, earlier = out
    _forward(target, earlier)
    _write_after(target)
    under_new = measure(target.spec, target.configuration).data
    other = psycopg.connect(target.database)
    other.execute("SELECT * FROM dataset")
    facts = _back(target, earlier)
    with pytest.raises(psycopg.OperationalError):
        other.execute("SELECT 1")
    other.close()
    assert facts["written_since"] == {"dataset": 4, "export": 2, "label": 1} and facts["written_rows"] == 7
    assert facts["exact"] is True and facts["restored"] is True
    assert facts["data"] == earlier["backup"]["data"] == measure(target.spec, target.configuration).data != under_new
    assert target.sql("SELECT to_regclass('export'), to_regtype('state'), to_regproc('shout')") == [(None, None, None)]
    kept = [json.loads(line) for line in Path(facts["dump"]).read_text().splitlines()]
    assert len(kept) == 7
    rows = {(line["table"], line["key"].get("id")): line["row"] for line in kept}
    assert rows["dataset", 21]["title"].startswith("between") and rows["dataset", 5]["title"] == "after"
    assert rows["dataset", 22]["state"] == "open"


def test_a_second_attempt_after_the_restore_keeps_the_first_count(out: tuple[Target, dict[str, Any]]) -> None:
    target, earlier = out
    _forward(target, earlier)
    _write_after(target)
    first = _back(target, earlier)
    known = by_name("database_update")
    back = target.back("1/8/x", earlier, fencing_token=2)
    result, found = known.probe(back, known.parameters(direction="rollback"))
    assert result is Probe.DONE and found["written_since"] == first["written_since"]
    assert _back(target, earlier, fencing_token=3)["written_since"] == first["written_since"]
    # The outcome was lost before the journal's last line was written: the same again.
    path = Layout(target.spec.root).journal
    path.write_text("".join(line for line in path.read_text().splitlines(True) if ":restored" not in line))
    assert known.probe(replace(back, fencing_token=4), known.parameters(direction="rollback"))[0] is Probe.NOT_DONE
    assert _back(target, earlier, fencing_token=5)["written_since"] == first["written_since"]
    assert len(Path(first["dump"]).read_text().splitlines()) == 7


def _restoring_with(target: Target, folder: Path, statement: str) -> TargetSpec:
    """Return a target whose restore ends with one statement more."""
    real, sound = Path(os.environ["POSTGRES_BIN"]), target.spec
    folder.mkdir()
    for program in ("pg_dump", "psql"):
        (folder / program).symlink_to(real / program)
    (folder / "pg_restore").write_text(
        f'#!/bin/bash\n{real}/pg_restore "$@" || exit\nfor a in "$@"; do case "$a" in --file=*) '
        f'echo "{statement}" >> "${{a#--file=}}";; esac; done\n'
    )
    (folder / "pg_restore").chmod(0o755)
    return TargetSpec("sample", "production", sound.root, dict(sound.settings) | {"postgres_bin": str(folder)})


def test_a_restore_that_differs_from_the_backup_names_the_tables(
    out: tuple[Target, dict[str, Any]], tmp_path: Path
) -> None:
    target, earlier = out
    _forward(target, earlier)
    target.spec = _restoring_with(target, tmp_path / "bin", "UPDATE public.dataset SET title = 'x' WHERE id = 1;")
    with pytest.raises(StepFailed, match="differs from the backup in: .*dataset") as caught:
        _back(target, earlier)
    assert str(caught.value.state) == "restored, but not equal to the backup"


def test_a_restore_that_fails_leaves_the_database_as_it_was(out: tuple[Target, dict[str, Any]], tmp_path: Path) -> None:
    target, earlier = out
    _forward(target, earlier)
    under_new = measure(target.spec, target.configuration).data
    sound = target.spec
    target.spec = _restoring_with(target, tmp_path / "bin", "SELECT 1/0;")
    with pytest.raises(StepFailed, match="psql ended with exit code 3: .*division by zero"):
        _back(target, earlier)
    target.spec = sound
    assert measure(target.spec, target.configuration).data == under_new
    assert _back(target, earlier, fencing_token=2)["data"] == earlier["backup"]["data"]


def test_a_dump_other_than_the_proved_one_is_not_restored(out: tuple[Target, dict[str, Any]]) -> None:
    target, earlier = out
    _forward(target, earlier)
    under_new = measure(target.spec, target.configuration).data
    with Path(earlier["backup"]["dump"]).open("ab") as file:
        file.write(b"x")
    with pytest.raises(StepFailed, match="is not the verified dump"):
        _back(target, earlier)
    with pytest.raises(StepFailed, match="this deployment has no verified dump to restore"):
        _back(target, {"backup": earlier["backup"] | {"proved": ""}}, fencing_token=2)
    assert measure(target.spec, target.configuration).data == under_new


def test_a_database_step_that_never_began_is_not_undone(out: tuple[Target, dict[str, Any]]) -> None:
    target, earlier = out
    before = measure(target.spec, target.configuration).data
    facts = _back(target, earlier)
    assert facts["restored"] is False and facts["data"] == before


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_killed_migration_continues_where_it_was(out: tuple[Target, dict[str, Any]]) -> None:
    target, earlier = out
    # The migration is held before its fourth step by a lock, so that the kill finds it half done.
    holder = psycopg.connect(target.database)
    holder.execute("SELECT 1 FROM dataset WHERE id = 9 FOR UPDATE")
    context = target.context("1/4/x", 1, earlier=earlier)
    known, parameters = by_name("database_update"), by_name("database_update").parameters(direction="deployment")
    seen, shown = os.pipe()
    worker = os.fork()
    if worker == 0:
        try:
            known.run(replace(context, output=lambda chunk: os.write(shown, chunk) and None), parameters)
        finally:
            os._exit(1)
    os.close(shown)
    output = b""
    while b"migrated 2" not in output:
        output += os.read(seen, 4096)
    os.close(seen)
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)
    holder.rollback()
    holder.close()

    result = Probe.RUNNING
    while result is Probe.RUNNING:
        result, _facts = known.probe(replace(context, fencing_token=2), parameters)
    assert result is Probe.NOT_DONE
    halted = known.parameters(direction="deployment", repeatable=False)
    assert known.probe(replace(context, fencing_token=2), halted)[0] is Probe.UNKNOWN and not known.repeats(halted)
    _forward(target, earlier, fencing_token=3)
    effects = [line["effect"] for line in journal_lines(target.spec, key="1/4/x")]
    assert effects == ["database_update:started", "database_update:resumed", "database_update:migrated"]
    assert target.sql("SELECT count(*) FROM dataset WHERE title LIKE '%!!'") == [(0,)]
    assert target.sql("SELECT count(*) FROM migration") == [(5,)]
    assert written_since(target.spec, target.configuration, earlier) == ({"dataset": 2}, True)


def test_a_failed_migration_is_reported_and_all_its_rows_count(out: tuple[Target, dict[str, Any]]) -> None:
    target, earlier = out
    target.sql("CREATE TYPE state AS ENUM ('in the way')")
    with pytest.raises(StepFailed, match="ended with exit code 1: .*state"):
        _forward(target, earlier)
    facts = _back(target, earlier)
    assert facts["exact"] is False and facts["written_since"]["dataset"] == 2
    assert facts["data"] == earlier["backup"]["data"]


def test_a_failed_check_means_unknown_and_not_done(out: tuple[Target, dict[str, Any]]) -> None:
    target, earlier = out
    _forward(target, earlier)
    settings = dict(target.spec.settings) | {"migrate_check": [sys.executable, "-c", "raise SystemExit(1)"]}
    target.spec = TargetSpec("sample", "production", target.spec.root, settings)
    known = by_name("database_update")
    context = target.context("1/4/x", 2, earlier=earlier)
    assert known.probe(context, known.parameters(direction="deployment"))[0] is Probe.UNKNOWN


def test_a_rollback_to_the_empty_state_empties_the_database_and_keeps_every_row(target: Target) -> None:
    begin = target.context("1/1/x", previous=None, previous_configuration={})
    earlier = {"backup": target.step("backup", begin)}
    assert earlier["backup"]["nothing"] is True
    target.step("code_deploy", replace(begin, key="1/3/x"))
    earlier["database_update"] = target.step("database_update", replace(begin, key="1/4/x", earlier=earlier))
    target.sql("INSERT INTO dataset VALUES (1, 'first')")
    back = target.back("1/8/x", earlier, configuration={})
    facts = target.step("database_update", replace(back, wanted=None), direction="rollback")
    assert facts["written_since"] == {"dataset": 1} and facts["data"] == ""
    assert measure(target.spec, target.configuration).data == ""


def test_a_reverse_migration_uses_the_tree_that_is_left(out: tuple[Target, dict[str, Any]]) -> None:
    target, earlier = out
    code = "import sys; print('reverse by', sys.argv[1])"
    settings = dict(target.spec.settings) | {"migrate_back": [sys.executable, "-c", code, "{tree}"]}
    target.spec = TargetSpec("sample", "production", target.spec.root, settings)
    _forward(target, earlier)
    target.step("code_deploy", target.back("1/7/x", earlier), direction="rollback")
    target.step("database_update", target.back("1/8/x", earlier), direction="rollback", rollback_method="reverse")
    assert b"reverse by " in target.shown
    assert f"1.1.0-{target.versions.new.commit[:12]}".encode() in target.shown.split(b"reverse by ")[1]


def test_a_reverse_migration_of_an_unstarted_one_changes_nothing(out: tuple[Target, dict[str, Any]]) -> None:
    target, earlier = out
    settings = dict(target.spec.settings) | {"migrate_back": ["/bin/false"]}
    target.spec = TargetSpec("sample", "production", target.spec.root, settings)
    facts = target.step(
        "database_update", target.back("1/8/x", earlier), direction="rollback", rollback_method="reverse"
    )
    assert facts == {"nothing": True, "data": measure(target.spec, target.configuration).data}


def test_a_session_left_by_a_killed_migration_blocks_nothing(out: tuple[Target, dict[str, Any]]) -> None:
    """It still holds its lock: the count gives up after a time, and the rollback ends the session before it starts."""
    target, earlier = out
    _forward(target, earlier)
    left = psycopg.connect(target.database)
    left.execute("LOCK TABLE dataset IN ACCESS EXCLUSIVE MODE")
    database = replace(data_store_of(target.spec, target.configuration), url=f"{target.database} ")
    with database.connect() as connection:
        assert connection.execute("SHOW lock_timeout").fetchone() == ("30s",)
    assert _back(target, earlier)["data"] == earlier["backup"]["data"]
    left.close()


def test_a_target_with_its_own_migration_command_is_rolled_back(target: Target) -> None:
    """The command alone knows its database: nothing is counted and nothing restored."""
    target.install_old()
    target.configuration = {name: value for name, value in target.configuration.items() if name != "DATABASE_URL"}
    settings = dict(target.spec.settings) | {"migrate": ["/bin/true"]}
    target.spec = TargetSpec("sample", "production", target.spec.root, settings)
    earlier = {"backup": target.step("backup", target.context("1/1/x"))}
    target.step("code_deploy", target.context("1/3/x"))
    _forward(target, earlier)
    assert written_since(target.spec, target.configuration, earlier) == ({}, True)
    facts = _back(target, earlier)
    assert (facts["restored"], facts["data"]) == (False, "")
