"""Pages and lists cost the same queries at ten rows and at ten thousand, for every person, in both languages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.urls import reverse

from tests.releases.admin.counting import capture_queries
from tests.releases.admin.many import SOME_OPEN, fill
from tests.releases.admin.test_pages import READERS

FEW, MANY = 10, 10_000
LISTS = ("release", "deployment", "evidence", "followup")
# The most queries that a page may make, for any reader.
# The names of roles are one query of each page that says them.
BUDGETS = {"admin:index": 52, "calendar": 30, "statistics": 27, "release": 90, "list": 15}


def pages(world: dict[str, Any]) -> dict[str, tuple[str, int]]:
    """Return address → (language, budget) of the pages that show releases and their rows."""
    lists = [reverse(f"admin:releases_{name}_changelist") for name in LISTS]
    one = {reverse("release", args=[world["review"].pk]): BUDGETS["release"]}
    whole = {reverse(name): BUDGETS[name] for name in ("admin:index", "calendar", "statistics")}
    found = {**whole, **one, **dict.fromkeys(lists, BUDGETS["list"])}
    return {address: (("ja", "en")[index % 2], budget) for index, (address, budget) in enumerate(found.items())}


def _queries(client: Any, address: str, language: str) -> int:
    client.cookies["django_language"] = language
    with capture_queries() as caught:
        assert client.get(address).status_code == 200, address
    return len(caught)


def test_a_page_keeps_its_query_budget_at_ten_thousand_rows(
    world: dict[str, Any], browsers: Callable[[str], Any], database: str
) -> None:
    """One of fifty releases and follow-up actions is open; no page makes more queries than at ten."""
    shown, clients = pages(world), {who: browsers(who) for who in READERS}
    fill(database, world, FEW, state=SOME_OPEN, proof=True)
    few = {(who, page): _queries(clients[who], page, shown[page][0]) for who in READERS for page in shown}
    fill(database, world, MANY, state=SOME_OPEN, proof=True)
    many = {(who, page): _queries(clients[who], page, shown[page][0]) for who, page in few}
    grown = {key: (few[key], many[key]) for key in few if many[key] > few[key]}
    assert not grown
    above = {key: many[key] for key in few if many[key] > shown[key[1]][1]}
    assert not above
