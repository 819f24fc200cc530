"""The source that runs a program, a real one."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest

from environments.targets.base import TargetSpec
from releases.metric_sources.base import Reading
from releases.metric_sources.command import Command, CommandSourceParameters

VALUES = {"resource_use": "load", "requests": "all"}


def read(root: Path, code: str, **more: Any) -> Reading:
    wanted = CommandSourceParameters.model_validate({"argv": [sys.executable, "-c", code], "values": VALUES, **more})
    return Command().read(TargetSpec("a", "e", root, {}), wanted)


@pytest.mark.parametrize(
    ("code", "values"),
    [
        ("print('load 0.5\\nall 10\\nother 3')", {"resource_use": 0.5, "requests": 10}),
        ('print(\'{"load": 0.5, "all": true}\')', {"resource_use": 0.5, "requests": 1}),
        ("print('load 900\\nload 0')", {"resource_use": 900}),
        ("print('load NaN\\nall ten\\n\\n7')", {}),
        ("pass", {}),
    ],
)
def test_numbers_are_read_from_lines_or_json(tmp_path: Path, code: str, values: dict[str, float]) -> None:
    reading = read(tmp_path, code)
    assert (reading.up, reading.values) == (True, values)


def test_a_failing_or_hanging_program_is_not_up(tmp_path: Path) -> None:
    assert not read(tmp_path, "print('load 1'); exit(1)").up
    began = time.monotonic()
    assert not read(tmp_path, "import time; time.sleep(30)", seconds=0.2).up
    assert time.monotonic() - began < 10
    assert not read(tmp_path, "", argv=["/no/such/program"]).up
