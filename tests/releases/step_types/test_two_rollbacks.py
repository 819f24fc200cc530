"""Two rollbacks: the newest first, each from the dump that its own deployment made and proved."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from environments.targets.base import StepContext
from environments.targets.database import Database, data_digest
from environments.targets.runner import run_tool
from environments.targets.written_rows import written_since
from tests.releases.step_types.conftest import Target


def _out(target: Target, deployment: int, **changes: Any) -> dict[str, Any]:
    """Make the backup and the database step of one deployment; return their results by type."""
    token = f"deployment:{deployment}"
    backup = target.step("backup", target.context(f"{deployment}/1/x", deployment_key=token, **changes))
    update = target.context(f"{deployment}/2/x", deployment_key=token, earlier={"backup": backup}, **changes)
    return {"backup": backup, "database_update": target.step("database_update", update, direction="deployment")}


def _back(target: Target, deployment: int, earlier: dict[str, Any]) -> dict[str, Any]:
    context: StepContext = replace(target.back(f"{deployment}/9/x", earlier), deployment_key=f"deployment:{deployment}")
    return target.step("database_update", context, direction="rollback", rollback_method="restore")


def _data(target: Target) -> str:
    binaries = str(target.spec.settings["postgres_bin"])
    return data_digest(Database(target.database, binaries), partial(run_tool, target.spec)).total


def test_each_version_is_rolled_back_to_its_own_dump_newest_first(target: Target) -> None:
    target.install_old()
    target.step("code_deploy", target.context("0/9/x"))
    before_first = _data(target)
    first = _out(target, 1)
    target.sql("INSERT INTO dataset VALUES (100, 'between the two')")
    before_second = _data(target)
    second = _out(target, 2)
    target.sql("INSERT INTO dataset VALUES (200, 'after both')")

    assert written_since(target.spec, target.configuration, second) == ({"dataset": 1}, True)
    assert _back(target, 2, second)["written_since"] == {"dataset": 1}
    assert _data(target) == before_second == second["backup"]["data"]

    # The restore made every row new: the loss of the first deployment is counted too high, and the result says so.
    rows, exact = written_since(target.spec, target.configuration, first)
    assert rows["dataset"] >= 1 and not exact
    assert _back(target, 1, first)["data"] == before_first == first["backup"]["data"]
    assert _data(target) == before_first
