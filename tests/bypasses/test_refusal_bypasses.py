"""Every refusal leaves one event, also where no operation was reached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.urls import reverse

from audit.models import Event
from tests.releases.api.conftest import ask, token_for


def refusals() -> list[tuple[str, str]]:
    """Return (operation, channel) of all refusals, oldest first."""
    return list(Event.objects.filter(outcome="refused").order_by("at", "id").values_list("operation", "channel"))


def test_what_the_api_refuses_is_an_event_each(world: Any) -> None:
    """A token without the scope, an unknown token and a refused operation: one refusal, one event each."""
    token = token_for(world, world.people["ci"], "development")
    release, known = world.planned(), len(refusals())
    deployment = {"application": "datasets", "version": "1.3.0", "environment": "production"}
    assert ask("post", "/ci/deployments", deployment, token=token).status_code == 403
    assert ask("post", f"/releases/{release.pk}/cancel", {"reason": "r"}, token=token).status_code == 403
    assert refusals()[known:] == [("api:call", "api")] * 2
    for _try in range(3):
        assert ask("post", "/ci/deployments", deployment, token="nonsense").status_code == 401, (
            "told once a minute and address"
        )
    assert refusals()[known + 2 :] == [("api:call", "api")]
    assert not Event.objects.filter(operation="api:call", reason__contains="nonsense").exists()
    wide = token_for(world, world.people["ci"])
    known = len(refusals())
    assert ask("post", f"/releases/{release.pk}/cancel", {"reason": "r"}, token=wide).status_code == 403
    assert refusals()[known:] == [("release:cancel", "api")], "the operation's own, and not twice"


def test_a_tick_that_was_not_offered_is_an_event(world: Any, browsers: Callable[[str], Any]) -> None:
    release, known = world.planned(), len(refusals())
    tick = f"release-sign_final_check-{release.pk}"
    answer = browsers("tester").post(reverse("sign-all", args=[release.pk]), {"sign": [tick]})
    assert answer.status_code == 302 and refusals()[known:] == [("release:sign_pending_items", "admin")]
    event = Event.objects.get(operation="release:sign_pending_items")
    assert event.object == f"releases.Release:{release.pk}" and event.contents["after"]["items"] == [tick]
