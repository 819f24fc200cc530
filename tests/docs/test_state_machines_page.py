"""The page of the machines says what the code says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from releases.management.commands.state_machines import PAGE, page
from releases.state_machines.edges import edges
from releases.state_machines.guard import machines

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_up_to_date() -> None:
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page(), "run manage.py state_machines"


def test_every_edge_of_every_machine_has_its_row() -> None:
    sections = {part.partition("\n")[0]: part for part in page().split("\n## ")[1:]}
    assert set(sections) == {model.__name__ for model in machines()}
    for model in machines():
        for edge in edges(model):
            row = f"| {edge.verb} | {edge.source} | {edge.target} | "
            assert sections[model.__name__].count(row) == 1
            assert f"    {edge.source} --> {edge.target} : {edge.verb}\n" in sections[model.__name__]


def test_check_refuses_a_stale_page_and_writes_nothing(tmp_path: Path, settings: Any) -> None:
    settings.BASE_DIR = tmp_path
    with pytest.raises(CommandError, match="stale"):
        call_command("state_machines", check=True)
    assert not (tmp_path / PAGE).exists()
    call_command("state_machines", stdout=(tmp_path / "told").open("w"))
    call_command("state_machines", check=True)
    (tmp_path / PAGE).write_text(page().replace("in_review --> approved", "in_review --> used"), encoding="utf-8")
    with pytest.raises(CommandError, match="stale"):
        call_command("state_machines", check=True)
