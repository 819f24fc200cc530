"""What a reader may not see can't be found by searching either, and the log of a run stays with those who may read it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.urls import reverse

from environments.actions.configuration.create import create

Browsers = Callable[[str], Any]


def found(client: Any, **asked: str) -> tuple[int, int]:
    """Return how many events the timeline shows, and how many it counts."""
    page = client.get(reverse("timeline"), {"count": "1", **asked})
    return len(page.context["happenings"]), page.context["counted"]


def test_a_search_tells_nothing_of_hidden_configuration(world: Any, browsers: Browsers) -> None:
    """Who may not see a configuration finds nothing by its values, in its history or anywhere; an overseer does."""
    kept = {}
    for place in ("production", "development"):
        with world.acting_as("manager"):
            made = create(
                application_id=world.application.pk, environment_id=world.environments[place].pk,
                values={"INTERNAL_HOST": f"{place}7.corp.example"}, secrets={}, reason="a new host",
            )  # fmt: skip
        kept[place] = f"environments.ConfigurationVersion:{made.pk}"
    developer, manager = browsers("developer"), browsers("manager")
    for object in (kept["production"], "environments.ConfigurationVersion", ""):
        assert found(developer, object=object, words="production7.c") == (0, 0)
        assert min(found(manager, object=object, words="production7.c")) > 0
    assert min(found(developer, words="development7.c")) > 0, "he reads that one"
    assert min(found(developer, object=kept["production"])) > 0, "that something happened is no secret"
