"""Every page, light and dark, through axe: nothing above minor."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from tests.browser.ledger_pages import ledger_pages, ledger_rows
from tests.browser.person import Person
from tests.browser.test_pictures import pages

pytest.importorskip("axe_playwright_python", reason="the engine comes with a package of the development group")
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
# Swagger UI draws its part of the page of the API itself, some time after the page, and not without complaints of axe.
RUN = """async () => {
  const found = await axe.run({ exclude: [["#swagger-ui"]] }, { resultTypes: ["violations"] });
  return found.violations.filter((v) => v.impact !== "minor")
    .map((v) => `${v.impact} ${v.id}: ` + v.nodes.slice(0, 3).map((n) => n.target.join(" ")).join(" | "));
}"""


def complaints(shown: dict[str, tuple[str, str]], theme: str, person: Callable[..., Person]) -> list[str]:
    """Return what axe finds above minor: contrast, labels, order and names."""
    people: dict[str, Person] = {}
    wrong = []
    for name, (who, address) in shown.items():
        reader = people.get(who) or people.setdefault(who, person(who, signed_in=bool(who), color_scheme=theme))
        reader.go(address)
        reader.page.evaluate(AXE)
        wrong += [f"{name}: {said}" for said in reader.page.evaluate(RUN)]
    return wrong


@pytest.mark.timeout(900)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_above_minor(theme: str, seeded: dict[str, Any], person: Callable[..., Person]) -> None:
    """Every page that has a picture."""
    wrong = complaints({"sign-in": ("", reverse("account_login")), **pages(seeded)}, theme, person)
    assert not wrong, "\n".join(wrong)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_above_minor_in_the_ledger(
    theme: str, seeded: dict[str, Any], acting_as: Callable[..., Any], person: Callable[..., Person], tmp_path: Path
) -> None:
    """The pages of the ledger's own operations."""
    shown = ledger_pages({**seeded, **ledger_rows(acting_as, tmp_path / "ledger_signer")})
    wrong = complaints(shown, theme, person)
    assert not wrong, "\n".join(wrong)
