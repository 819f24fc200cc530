"""docs/reference/licences.md lists the packages of requirements-production.lock, a part of requirements.lock."""

from __future__ import annotations

import json

from tests.kit.licences import LOCK, PAGE, PROJECT, locked, page, sbom


def test_the_page_is_current() -> None:
    """`python -m tests.kit.licences > docs/reference/licences.md` writes it."""
    assert PAGE.read_text("utf-8") == page()


def test_each_package_states_a_licence() -> None:
    rows = locked()
    assert len(rows) > 50 and [row.name for row in rows if not row.licence] == []


def test_what_runs_is_what_is_tested() -> None:
    """Each pin of what runs, with its hashes, is one of requirements.lock."""
    pins, all_ = (
        {line.split(" \\")[0] for line in file.read_text("utf-8").splitlines() if "==" in line and line[0] != " "}
        for file in (LOCK, PROJECT / "requirements.lock")
    )
    assert len(pins) > 50 and pins <= all_
    assert not {"pytest", "mypy", "ruff", "playwright"} & {pin.split("==")[0] for pin in pins}


def test_the_list_of_an_image_is_cyclonedx() -> None:
    made = json.loads(sbom())
    assert made["bomFormat"] == "CycloneDX" and made["specVersion"] == "1.6"
    urls = [row["purl"] for row in made["components"]]
    assert len(urls) == len({*urls}) and any(url.startswith("pkg:pypi/django@") for url in urls)
    assert all(row["licenses"][0]["license"]["name"] for row in made["components"])
