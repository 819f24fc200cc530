"""Operations in the tests' databases: one process may cause them all, and tests have operations of their own.

tests/audit/test_operation_roles.py asks about the declaration itself.
"""

from __future__ import annotations

import re
from pathlib import Path

from audit.operation_roles import OPERATIONS

DECLARED = dict(OPERATIONS)
_OF_TESTS = re.compile(r"""["'](?:test|tests|toy|matrix|rows|bench):[a-z_]+\\{0,2}["']""")


def in_one_process() -> None:
    """Let the application's role, and the owner, cause every operation, those of tests and benchmarks too."""
    folders = (Path(__file__).parent, Path(__file__).parents[1] / "benchmarks")
    texts = (file.read_text(encoding="utf-8") for folder in folders for file in folder.rglob("*.py"))
    own = {"deployment:start"} | {found.strip("\"'") for text in texts for found in _OF_TESTS.findall(text)}
    OPERATIONS.update({name: ("web", "owner", *DECLARED.get(name, ())) for name in own | DECLARED.keys()})
