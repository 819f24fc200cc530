"""The check whose result a program decides, with real programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from environments.targets.base import TargetSpec
from releases.check_types.base import CheckContext, CheckResult, Result
from releases.check_types.command import Command, CommandCheckParameters


def check(root: Path, code: str, **parameters: Any) -> CheckResult:
    known = {"API_TOKEN": "hidden-7"}
    context = CheckContext(TargetSpec("a", "e", root, {}), known, ("encrypted-8",))
    wanted = {"argv": [sys.executable, "-c", code], **parameters}
    return Command().run(context, CommandCheckParameters.model_validate(wanted))


@pytest.mark.parametrize(
    ("code", "parameters", "expected", "value"),
    [
        ("pass", {}, Result.PASSED, "exit code 0"),
        ("exit(1)", {}, Result.FAILED, "exit code 1"),
        ("exit(2)", {"passes": [0, 2]}, Result.PASSED, "exit code 2"),
        ("exit(3)", {"unknown": [3]}, Result.NO_DATA, "exit code 3"),
        ("print('lag: 4.5 s')", {"value": r"lag: (\S+)", "at_most": "5"}, Result.PASSED, "4.5"),
        ("print('lag: 5.5 s')", {"value": r"lag: (\S+)", "at_most": "5"}, Result.FAILED, "5.5"),
        ("print('state ok')", {"value": r"state (\w+)", "equals": "ok"}, Result.PASSED, "ok"),
        ("print('lag: much')", {"value": r"lag: (\S+)", "at_most": "5"}, Result.ERROR, "much"),
        ("print('nothing')", {"value": r"lag: (\S+)", "at_most": "5"}, Result.NO_DATA, ""),
        ("import os; os.kill(os.getpid(), 9)", {}, Result.FAILED, "exit code -9"),
        ("import time; time.sleep(30)", {"seconds": 0.2}, Result.ERROR, ""),
    ],
)
def test_exit_code_and_value_decide_the_result(
    tmp_path: Path, code: str, parameters: dict[str, Any], expected: Result, value: str
) -> None:
    result = check(tmp_path, code, **parameters)
    assert (result.result, result.value) == (expected, value)
    assert result.limit and result.output


def test_the_program_starts_in_the_targets_folder_without_shell_or_our_environment(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    code = "import os, sys; print(sorted(os.listdir()), sys.argv[1], 'DATABASE_URL' in os.environ)"
    argv = [sys.executable, "-c", code, "{root}; echo $HOME"]
    result = check(tmp_path, "", argv=argv)
    assert f"['here'] {tmp_path}; echo $HOME False" in result.output


def test_secrets_are_masked_in_the_output(tmp_path: Path) -> None:
    for secret in ("hidden-7", "encrypted-8"):
        said = check(tmp_path, f"print('token {secret}')", value=r"token (\S+)", equals="ok")
        assert secret not in said.output + said.value and "token" in said.output


def test_a_missing_program_is_an_error(tmp_path: Path) -> None:
    result = check(tmp_path, "", argv=["/no/such/program"])
    assert result.result is Result.ERROR and "program" in result.output


@pytest.mark.parametrize(
    "wrong",
    [
        {"argv": []},
        {"argv": "echo 1"},
        {"argv": ["a\x00b"]},
        {"argv": ["true"], "passes": []},
        {"argv": ["true"], "passes": [0], "unknown": [0]},
        {"argv": ["true"], "at_most": "1"},
        {"argv": ["true"], "value": "no group"},
        {"argv": ["true"], "value": "("},
    ],
)
def test_parameters_are_checked_when_the_plan_is_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CommandCheckParameters.model_validate(wrong)
