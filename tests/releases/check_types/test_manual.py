"""The check by a person."""

from __future__ import annotations

from pathlib import Path

from environments.targets.base import TargetSpec
from releases.check_types.base import CheckContext, Result
from releases.check_types.manual import Manual, ManualParameters


def test_a_manual_check_has_no_data_until_a_person_has_looked() -> None:
    context = CheckContext(TargetSpec("a", "e", Path("/")))
    asked = Manual().run(context, ManualParameters(question="Is the data complete?"))
    assert (asked.result, asked.output) == (Result.NO_DATA, "Is the data complete?")
