"""The forge of an application: who sets it, and the page that shows its merge requests and suggests changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from audit.models import Event
from audit.refusals import InvalidInput, NotPermitted
from environments.models import Application
from releases.operations.application.set_forge import set_forge
from tests.releases.api.conftest import ask as over_http, token_for
from tests.releases.operations.forging import Forged, asked
from tests.releases.sources.forge_server import TOKEN


def test_the_forge_is_set_with_all_applications_and_its_token_stays_secret(forged: Forged) -> None:
    good = {"forge": "github", "url": "https://api.github.com", "project": "a/b", "reason": "moved"}
    pk = forged.world.application.pk
    with forged.world.acting_as("manager"):
        for wrong, said in (
            ({"project": "a"}, "path of the project"),
            ({"project": "a/../b"}, "path of the project"),
            ({"url": "ftp://x"}, "https address"),
            ({"url": "http://git.example"}, "use https"),
            ({"url": "https://u:p@git.example"}, "password"),
            ({"tickets": "DS"}, "{number} once"),
            ({"reason": " "}, "Enter a reason"),
        ):
            with pytest.raises(InvalidInput, match=said):
                set_forge(pk, **{**good, **wrong})
    with forged.world.acting_as("developer"), pytest.raises(NotPermitted):
        set_forge(pk, **good)
    commit = forged.commit("one")
    forged.bring(commit, asked(commit))
    event = Event.objects.filter(operation="application:set_forge", outcome="done").latest("pk")
    assert event.reason == "reviews are there"
    assert not any(TOKEN in str(row) for row in Event.objects.values())
    assert Application.objects.get(pk=pk).forge_url == forged.server.url


def test_the_page_shows_requests_and_suggests_changes(forged: Forged, browsers: Callable[[str], Any]) -> None:
    one = forged.commit("one")
    two = forged.commit("two", one)
    three = forged.commit("three by nobody else", two)
    requests = (
        asked(one, 1, title="feat(api)!: Drop <old> names", body="DS-7"),
        asked(two, 2, title="Repair search", labels=["type::bug"], reviews=[("dev", "APPROVED", two)]),
    )
    release = forged.bring(three, *requests)
    client = browsers("manager")
    html = client.get(f"/admin/release/{release.pk}/").content.decode()
    shown = html.split('id="merge-requests"')[1].split("</section>")[0]
    for said in ("#1</a>", "Drop &lt;old&gt; names", "approved by an author only", "three by nobody else", "DS-7"):
        assert said in shown, said
    assert "No merge request covers these commits" in shown
    token = token_for(forged.world, forged.world.people["ci"])
    body = over_http("get", f"/releases/{release.pk}", token=token).json()
    assert body["uncovered_commits"] == [three] and body["merge_requests_fault"] == ""
    assert {row["number"]: row["result"] for row in body["merge_requests"]} == {1: "approved", 2: "own_approval"}
    address = f"/admin/operation/release/add_change_entries/{release.pk}/"
    form = client.get(address).content.decode()
    assert 'value="Drop &lt;old&gt; names"' in form and 'value="Repair search"' in form
    given = {"kind_1": "breaking", "text_1": "Old names are gone", "ticket_1": "DS-7", "kind_2": "", "text_2": "x"}
    assert client.post(address, given | {"ticket_2": ""}).status_code == 302
    entry = release.changes.get(kind="breaking")
    assert (entry.text, entry.ticket, entry.author) == ("Old names are gone", "DS-7", forged.world.people["manager"])
    assert not release.changes.filter(text="x").exists(), "a request that is left out adds nothing"
    forged.server.fails = {"/": (503, {}, b"")}
    forged.again()
    html = client.get(f"/admin/release/{release.pk}/").content.decode()
    assert "answers with status 503" in html.split('id="merge-requests"')[1].split("</section>")[0]
