"""The contract of every check type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from environments.targets.base import TargetSpec
from releases.check_types import CHECK_TYPES, UnknownType, by_name
from releases.check_types.base import CheckContext, CheckResult, CheckType, Result

LEAST: dict[str, dict[str, Any]] = {
    "metrics": {"limits": [{"metric": "service_down", "at_most": "0"}], "interval_seconds": 0},
    "sql": {"statement": "SELECT 1", "equals": "1"},
    "command": {"argv": ["/bin/true"]},
    "security": {"certificate_days": 1},
}


def test_names_are_unique_and_found() -> None:
    assert len({known.name for known in CHECK_TYPES}) == len(CHECK_TYPES)
    assert all(by_name(known.name) is known for known in CHECK_TYPES)
    with pytest.raises(UnknownType):
        by_name("no such kind")


@pytest.mark.parametrize("known", CHECK_TYPES, ids=lambda known: known.name)
class TestEveryType:
    def test_each_check_type_has_a_label_and_refuses_unknown_parameters(self, known: CheckType) -> None:
        assert type(known).__doc__
        assert known.parameters.__doc__
        with pytest.raises(ValidationError):
            known.parameters.model_validate({**LEAST.get(known.name, {}), "no_such_parameter": 1})

    @pytest.mark.parametrize(
        "settings", [{}, {"urls": {"base": "http://127.0.0.1:1"}, "metrics_url": "http://127.0.0.1:1/metrics"}]
    )
    def test_a_check_of_an_empty_target_never_passes_and_never_raises(
        self, known: CheckType, tmp_path: Path, settings: dict[str, Any]
    ) -> None:
        context = CheckContext(TargetSpec("a", "e", tmp_path / "none", settings))
        result = known.run(context, known.parameters.model_validate(LEAST.get(known.name, {})))
        assert isinstance(result, CheckResult)
        assert result.result is not Result.PASSED
        assert result.output
