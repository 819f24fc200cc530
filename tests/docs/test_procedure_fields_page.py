"""The page of all fields of a procedure document agrees with the models, and with the page that explains them."""

from __future__ import annotations

import os
import re

from tests.docs.procedure_fields_page import PAGE, page

EXPLAINED = ("procedure-document.md", "procedure-document-deployment.md")


def test_the_page_is_up_to_date() -> None:
    if os.environ.get("RINGI_DOCS_WRITE"):
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page(), "the page is stale; its head says how it is written"


def test_each_field_is_explained_and_each_explained_field_is_there() -> None:
    """By its last name: a table of one part writes its fields without the path to it."""
    written = "".join((PAGE.parent / name).read_text("utf-8") for name in EXPLAINED)
    fields = {path.replace("[]", "").rpartition(".")[2] for path in re.findall(r"^\| `([^`]+)`", page(), re.M)}
    assert len(fields) > 100
    missing = {name for name in fields if not re.search(rf"[`.\[\] ]{name}(\[\])?[`.\[\]]", written)}
    assert missing == set()
    named = re.findall(r"^\| `(?:[a-z_.\[\]]+\]\.|[a-z_]+\.)([a-z_]+)(?:\[\])?`", written, re.M)
    assert len(named) > 70 and set(named) - fields <= {"ja", "en"}
