"""The pictures of the documentation, taken from the pages as they are. `make pictures` writes them into
docs/pictures.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from audit.clock import now
from tests.browser.person import Person
from tests.releases.reporting.statistics import past

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("RINGI_DOCS_PICTURES", ROOT / "var" / "test" / "pictures" / "docs"))
SCREEN = {"viewport": {"width": 1200, "height": 760}}
# Name → who looks.
TAKEN = {
    "release": "committee_b",
    "my-tasks": "manager",
    "cost": "manager",
    "deployment": "operator",
    "statistics": "manager",
}


def addresses(rows: dict[str, Any]) -> dict[str, str]:
    """Return where each picture is taken."""
    return {
        "release": reverse("release", args=[rows["review"].pk]),
        "my-tasks": reverse("admin:index"),
        "cost": reverse("operation", args=["release", "reopen_scope", rows["review"].pk]),
        "deployment": reverse("deployment", args=[rows["running"].pk]),
        "statistics": reverse("statistics"),
    }


def named() -> set[str]:
    """Return the files under docs/pictures that pages of the documentation and the README show."""
    found: set[str] = set()
    for file in (*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "README.ja.md"):
        found |= set(re.findall(r"pictures/([\w.-]+\.png)", file.read_text(encoding="utf-8")))
    return found


def test_every_picture_that_is_shown_is_one_that_is_taken() -> None:
    """Every picture can be made again."""
    made = {f"{name}{tail}.png" for name in TAKEN for tail in ("", ".ja")}
    assert named() <= made
    assert {file.name for file in (ROOT / "docs" / "pictures").glob("*.png")} == named()


@pytest.mark.timeout(900)
def test_the_pictures_are_taken(
    seeded: dict[str, Any], acting_as: Callable[..., Any], person: Callable[..., Person]
) -> None:
    """In both languages; the statistics last, over a year of deployments that is made for them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    shown = named()
    people: dict[tuple[str, str], Person] = {}
    for name, who in TAKEN.items():
        if name == "statistics":
            _a_year(acting_as, seeded["application"])
        for locale, tail in (("en", ""), ("ja", ".ja")):
            if f"{name}{tail}.png" not in shown:
                continue
            if (who, locale) not in people:
                people[who, locale] = person(who, locale=locale, **SCREEN)
            reader = people[who, locale]
            assert reader.go(addresses(seeded)[name]).status == 200
            reader.page.screenshot(path=FOLDER / f"{name}{tail}.png")
    assert not [heard for reader in people.values() for heard in reader.complaints]


def _a_year(acting_as: Callable[..., Any], of: Any) -> None:
    moment = now()
    for index, trouble in enumerate(("", "", "rescued", "", "", "rolled_back", "", "")):
        past.ran(
            acting_as,
            of,
            f"0.{index}.0",
            moment - timedelta(days=12 + 30 * index),
            trouble=trouble,
            kind="emergency" if index == 3 else "regular",
            fixed_days=8 + index % 4,
        )
