"""Every page, light and dark, through axe: nothing above minor."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest
from django.urls import reverse

from tests.browser.person import Person
from tests.browser.test_pictures import pages

pytest.importorskip("axe_playwright_python", reason="the engine comes with a package of the development group")
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
RUN = """async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  return found.violations.filter((v) => v.impact !== "minor")
    .map((v) => `${v.impact} ${v.id}: ` + v.nodes.slice(0, 3).map((n) => n.target.join(" ")).join(" | "));
}"""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_above_minor(theme: str, seeded: dict[str, Any], person: Callable[..., Person]) -> None:
    """Contrast, labels, order and names of every page that has a picture."""
    people: dict[str, Person] = {"": person("", signed_in=False, color_scheme=theme)}
    wrong = []
    for name, (who, address) in {"sign-in": ("", reverse("account_login")), **pages(seeded)}.items():
        reader = people.get(who) or people.setdefault(who, person(who, color_scheme=theme))
        reader.go(address)
        reader.page.evaluate(AXE)
        wrong += [f"{name}: {said}" for said in reader.page.evaluate(RUN)]
    assert not wrong, "\n".join(wrong)
