"""What every check kind promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from releases.checks import KINDS, UnknownKind, kind
from releases.checks.base import CheckContext, CheckKind, CheckResult, Result
from releases.steps.base import TargetSpec

LEAST: dict[str, dict[str, Any]] = {
    "metrics": {"limits": [{"metric": "service_down", "at_most": "0"}], "interval_seconds": 0},
    "sql": {"statement": "SELECT 1", "equals": "1"},
    "command": {"argv": ["/bin/true"]},
    "security": {"certificate_days": 1},
}


def test_names_are_unique_and_found() -> None:
    assert len({known.name for known in KINDS}) == len(KINDS)
    assert all(kind(known.name) is known for known in KINDS)
    with pytest.raises(UnknownKind):
        kind("no such kind")


@pytest.mark.parametrize("known", KINDS, ids=lambda known: known.name)
class TestEveryKind:
    def test_it_says_what_it_is_and_refuses_unknown_parameters(self, known: CheckKind) -> None:
        assert type(known).__doc__
        assert known.parameters.__doc__
        with pytest.raises(ValidationError):
            known.parameters.model_validate({**LEAST.get(known.name, {}), "no_such_parameter": 1})

    @pytest.mark.parametrize(
        "settings", [{}, {"urls": {"base": "http://127.0.0.1:1"}, "metrics_url": "http://127.0.0.1:1/metrics"}]
    )
    def test_where_nothing_is_there_it_never_passes_and_never_raises(
        self, known: CheckKind, tmp_path: Path, settings: dict[str, Any]
    ) -> None:
        context = CheckContext(TargetSpec("a", "e", tmp_path / "none", settings))
        result = known.run(context, known.parameters.model_validate(LEAST.get(known.name, {})))
        assert isinstance(result, CheckResult)
        assert result.result is not Result.PASSED
        assert result.output
