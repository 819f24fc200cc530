"""A dump counts only after it was restored and compared; any fault stops the deployment here."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

from config.development.ports import free_port
from environments.targets.base import StepFailed, TargetSpec
from environments.targets.database import Database
from environments.targets.measured import measure
from environments.targets.runner import Outcome
from environments.targets.target import Layout, journal_lines
from tests.releases.step_types.conftest import Target


def _with(target: Target, **settings: object) -> None:
    target.spec = TargetSpec("sample", "production", target.spec.root, dict(target.spec.settings) | settings)


def _programs(folder: Path, name: str, script: str, *, before: str = "") -> str:
    """Return a folder of the real programs in which one is wrapped, for sabotage."""
    real = Path(os.environ["POSTGRES_BIN"])
    folder.mkdir()
    for program in ("pg_dump", "pg_restore", "psql"):
        (folder / program).symlink_to(real / program)
    (folder / name).unlink()
    (folder / name).write_text(f'#!/bin/bash\n{before}\n{real / name} "$@" || exit\n{script}\n')
    (folder / name).chmod(0o755)
    return str(folder)


def _scratch_databases(target: Target) -> list[tuple[Any, ...]]:
    own = "datdba = (SELECT oid FROM pg_roles WHERE rolname = current_user)"
    return target.sql(f"SELECT datname FROM pg_database WHERE {own} AND datname <> current_database()")


CUT = 'for a in "$@"; do case "$a" in --file=*.partial) truncate -s -{bytes} "${{a#--file=}}";; esac; done'


def test_the_dump_is_proved_in_its_own_snapshot_and_filed(target: Target) -> None:
    target.install_old()
    facts = target.step("backup", target.context())
    assert facts["data"] == measure(target.spec, target.configuration).data
    assert facts["tables"]["dataset"][0] == 20 and facts["tables"]["label"][0] == 3
    folder = Layout(target.spec.root).backup("deployment:1")
    assert folder.name == "deployment-1" and Path(facts["dump"]) == folder / "database.dump"
    assert (folder / "config.env").read_bytes() == Layout(target.spec.root).configuration.read_bytes()
    for name in ("database.dump", "facts.json", "config.env"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert not _scratch_databases(target)


def test_rows_written_during_the_dump_are_not_in_it(target: Target, tmp_path: Path) -> None:
    target.install_old()
    before = measure(target.spec, target.configuration).data
    psql = f"{os.environ['POSTGRES_BIN']}/psql -qd {shlex.quote(target.database)}"
    script = f"{psql} -c \"INSERT INTO label VALUES (3, 'late', 1)\""
    _with(target, postgres_bin=_programs(tmp_path / "bin", "pg_dump", "", before=script))
    assert target.step("backup", target.context())["data"] == before
    assert measure(target.spec, target.configuration).data != before


@pytest.mark.parametrize(("cut", "table"), [(3000, "dataset|label"), (10, "the beginning|migration|label|dataset")])
def test_a_truncated_dump_stops_the_deployment_and_names_the_table(
    target: Target, tmp_path: Path, cut: int, table: str
) -> None:
    target.install_old()
    target.sql("INSERT INTO dataset SELECT n, md5(n::text) FROM generate_series(21, 400) n")
    _with(target, postgres_bin=_programs(tmp_path / "bin", "pg_dump", CUT.format(bytes=cut)))
    with pytest.raises(StepFailed, match=f"cannot be restored; the restore fails at ({table})"):
        target.step("backup", target.context())
    assert not journal_lines(target.spec, effect="backup:proved")
    assert not _scratch_databases(target)


def test_a_row_that_differs_after_the_restore_names_its_table(target: Target, tmp_path: Path) -> None:
    target.install_old()
    psql = f"{os.environ['POSTGRES_BIN']}/psql"
    script = (
        'for a in "$@"; do case "$a" in --dbname=*) '
        f'{psql} -qd "${{a#--dbname=}}" -c "UPDATE dataset SET title = \'x\' WHERE id = 3";; esac; done'
    )
    _with(target, postgres_bin=_programs(tmp_path / "bin", "pg_restore", script))
    with pytest.raises(StepFailed, match="differs in: dataset$"):
        target.step("backup", target.context())
    assert not _scratch_databases(target)


def test_a_second_attempt_uses_the_intact_dump_and_replaces_a_damaged_one(target: Target) -> None:
    target.install_old()
    first = target.step("backup", target.context(fencing_token=1))
    target.sql("INSERT INTO label VALUES (3, 'late', 1)")
    assert target.step("backup", target.context(fencing_token=2)) == first
    Path(first["dump"]).write_bytes(b"damaged")
    again = target.step("backup", target.context(fencing_token=3))
    assert again["data"] != first["data"] and again["tables"]["label"][0] == 4


def test_another_step_of_the_deployment_does_not_overwrite_the_dump(target: Target) -> None:
    target.install_old()
    target.step("backup", target.context("1/1/x"))
    with pytest.raises(StepFailed, match="another step"):
        target.step("backup", target.context("1/5/x"))


def test_an_empty_target_needs_no_dump(target: Target) -> None:
    context = replace(target.context(), previous=None, previous_configuration={})
    assert target.step("backup", context)["nothing"] is True
    without = replace(context, deployment_key="deployment:2", configuration={}, previous=target.versions.old)
    assert target.step("backup", without)["nothing"] is True


def test_existing_data_are_dumped_even_without_a_deployed_version(target: Target) -> None:
    target.sql("CREATE TABLE found (id int PRIMARY KEY); INSERT INTO found VALUES (1)")
    context = replace(target.context(), previous=None, previous_configuration={})
    assert target.step("backup", context)["tables"].keys() == {"found"}


def test_an_unreachable_database_fails_without_its_password(target: Target) -> None:
    gone = make_conninfo(target.database, port=free_port(), password="hunter2-hunter2")
    with pytest.raises(StepFailed, match="cannot be reached") as raised:
        target.step("backup", target.context(previous_configuration={"DATABASE_URL": gone, "SECRET": "x"}))
    assert "hunter2" not in str(raised.value)


def test_the_password_is_passed_by_a_private_file_only() -> None:
    seen: list[str] = []

    def run(arguments: Sequence[str], *, extra: Mapping[str, str] | None = None, **_others: Any) -> Outcome:
        assert extra is not None
        path = Path(extra["PGPASSFILE"])
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        seen.extend([path.read_text(), *arguments, *extra.values()])
        return Outcome(0, b"", 0)

    Database(r"postgresql://me:pa%3Ass%5Cword@localhost:1/x").tool(run, "pg_dump")
    assert seen[0] == "*:*:*:*:pa\\:ss\\\\word\n"
    assert not any("word" in text for text in seen[1:] if text != "--no-password")
