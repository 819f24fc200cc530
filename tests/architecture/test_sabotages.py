"""The code that the chaos tests break exists, and so does each function that they hold. Otherwise a loss would show
only after an hour.
"""

from __future__ import annotations

import re

import pytest

from tests.architecture.files import ROOT, python
from tests.chaos.test_sabotage import SABOTAGES, Sabotage

HELD = re.compile(r"\"(?:call )?(\w+) ([\w/]+\.py)\"")
OF_PYTHON = ("http/client.py",)


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage.chapter)
def test_it_breaks_one_text(sabotage: Sabotage) -> None:
    assert (ROOT / sabotage.file).read_text("utf-8").count(sabotage.text) == 1


def test_the_functions_in_which_a_worker_is_held_are_where_the_tests_say() -> None:
    texts = [file.read_text(encoding="utf-8") for file in sorted((ROOT / "tests" / "chaos").glob("*.py"))]
    held = {pair for text in texts for pair in HELD.findall(text) if pair[1] not in OF_PYTHON}
    product = {file: (ROOT / file).read_text(encoding="utf-8") for file in python("environments/targets/", "releases/")}
    lost = [
        (name, source)
        for name, source in sorted(held)
        if not any(f"def {name}(" in text for file, text in product.items() if file.endswith(source))
    ]
    assert len(held) > 12 and lost == []
