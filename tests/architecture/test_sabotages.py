"""What the chaos tests break is there to be broken: a text that moved would be noticed only after an hour."""

from __future__ import annotations

import pytest

from tests.architecture.files import ROOT
from tests.chaos.test_sabotage import SABOTAGES, Sabotage


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage.chapter)
def test_it_breaks_one_text(sabotage: Sabotage) -> None:
    assert (ROOT / sabotage.file).read_text("utf-8").count(sabotage.text) == 1
