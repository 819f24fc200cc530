"""The page of the state machines agrees with the code."""

from __future__ import annotations

import os

from releases.state_machines.edges import edges
from releases.state_machines.guard import machines
from tests.docs.state_machines_page import PAGE, page


def test_the_page_is_up_to_date() -> None:
    if os.environ.get("RINGI_DOCS_WRITE"):
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page(), "the page is stale; its head says how it is written"


def test_every_edge_of_every_machine_has_its_row() -> None:
    sections = {part.partition("\n")[0]: part for part in page().split("\n## ")[1:]}
    assert set(sections) == {model.__name__ for model in machines()}
    for model in machines():
        for edge in edges(model):
            row = f"| {edge.verb} | {edge.source} | {edge.target} | "
            assert sections[model.__name__].count(row) == 1
            assert f"    {edge.source} --> {edge.target} : {edge.verb}\n" in sections[model.__name__]
