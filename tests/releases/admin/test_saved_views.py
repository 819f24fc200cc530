"""Saved views: a list's filters, search, columns and order under a name, for oneself or for all of its readers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import pytest
from django.test import Client
from django.urls import reverse

from audit.models import Event
from audit.refusals import InvalidInput, NotPermitted
from environments.models import SavedView
from environments.operations.saved_view.save import delete, save
from tests.releases.admin.counting import capture_queries
from tests.releases.gates.asking import make

RELEASES = reverse("admin:releases_release_changelist")
SAVE = reverse("operation-new", args=["saved_view", "save"])
Browsers = Callable[[str], Client]


def kept(client: Client, query: str, **values: Any) -> Any:
    """Save a view of the list of releases as its form does."""
    shown = client.get(f"{RELEASES}?{query}").content.decode()
    view = shown.split('name="view" value="')[1].split('"')[0].replace("&amp;", "&")
    return client.post(SAVE, {"view": view, **values})


def test_a_view_keeps_filters_search_columns_and_order(world: dict[str, Any], browsers: Browsers) -> None:
    """What is opened shows the same rows and columns; the page of the list and other parameters are left out."""
    client = browsers("manager")
    query = "state__exact=draft&q=1.&columns=__str__,state,ticket&o=-1"
    answer = kept(client, f"{query}&p=1", name="  My   drafts ")
    view = SavedView.objects.get()
    assert (view.name, view.shared, view.account.username) == ("My drafts", False, "manager")
    assert answer.status_code == 302 and answer["Location"] == f"{RELEASES}?{view.query}"
    assert parse_qs(view.query) == parse_qs(query)
    shown = client.get(answer["Location"])
    assert [str(row) for row in shown.context["cl"].result_list] == [str(world["draft"])]
    assert shown.context["cl"].list_display == ("__str__", "state", "ticket")
    assert 'aria-current="true">My drafts</a>' in shown.content.decode()
    event = Event.objects.filter(operation="saved_view:save").latest("pk")
    assert event.contents["after"] == {"list": "releases_release", "shared": False}


def test_the_same_name_replaces_a_view_of_the_same_person(world: dict[str, Any], browsers: Browsers) -> None:
    """That of another person stays."""
    for who in ("manager", "operator"):
        kept(browsers(who), "state__exact=draft", name="Open")
    kept(browsers("manager"), "state__exact=in_review", name="Open", shared="on")
    found = {(v.account.username, v.query, v.shared) for v in SavedView.objects.select_related("account")}
    assert found == {("manager", "state__exact=in_review", True), ("operator", "state__exact=draft", False)}


def test_a_view_keeps_no_parameter_that_its_list_does_not_know(world: dict[str, Any], browsers: Browsers) -> None:
    """Neither when it is saved nor when a row that holds one is opened."""
    strange = "author__password__startswith=a&csv=1&columns=title,author__password&o=1;2&next=//evil.example&q="
    client = browsers("manager")
    client.post(SAVE, {"view": f"releases_release?{strange}&kind__exact=regular", "name": "Own"})
    assert parse_qs(SavedView.objects.get().query) == {"columns": ["title"], "kind__exact": ["regular"]}
    make(SavedView, account=SavedView.objects.get().account, listed="releases_release", name="Row", query=strange)
    html = client.get(RELEASES).content.decode()
    assert '<a href="?columns=title">Row</a>' in " ".join(html.split()).replace(" >", ">"), html
    assert "password" not in html and "evil" not in html


@pytest.mark.parametrize("listed", ["nothing", "sessions_session", "releases_nothing", "", "a_b_c"])
def test_a_view_needs_a_list(listed: str, world: dict[str, Any], browsers: Browsers) -> None:
    """It is refused, and nothing is kept."""
    assert browsers("manager").post(SAVE, {"view": f"{listed}?q=1", "name": "x"}).status_code == 400
    assert not SavedView.objects.exists()


def test_a_shared_view_shows_what_its_reader_sees(
    world: dict[str, Any], browsers: Browsers, acting_as: Callable[..., Any]
) -> None:
    """It is offered to all who read the list, and its own rows are those of that list; a private one to its owner."""
    with acting_as("manager"):
        shared = save(view="releases_release?state__exact=draft", name="Shared", shared=True)
        save(view="releases_release?state__exact=draft", name="Private")
    page = browsers("auditor").get(RELEASES).content.decode()
    assert f"?{shared.query}" in page and "Shared" in page and "Private" not in page
    assert "saved_view/delete" not in page and "saved_view/save" not in page
    assert browsers("outsider").get(f"{RELEASES}?{shared.query}").status_code == 403
    other = browsers("manager").get(reverse("admin:releases_deployment_changelist")).content.decode()
    assert "Shared" not in other


def test_more_views_need_no_more_queries(
    world: dict[str, Any], browsers: Browsers, acting_as: Callable[..., Any]
) -> None:
    client, few = browsers("operator"), 0
    for number in (1, 9):
        with acting_as("manager"):
            for view in range(number):
                save(view="releases_release?state__exact=draft", name=f"View {view}", shared=True)
        client.get(RELEASES)
        with capture_queries() as counted:
            assert client.get(RELEASES).content.decode().count("View ") == number
        few = few or len(counted)
        assert len(counted) == few, [query["sql"] for query in counted]


def test_only_its_owner_or_an_administrator_deletes_a_view(
    world: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    """The event says which view it was."""
    with acting_as("manager"):
        mine, other = (save(view="releases_release?", name=name, shared=True) for name in ("Mine", "Other"))
    with acting_as("operator"), pytest.raises(NotPermitted):
        delete(mine.pk)
    with acting_as("manager"):
        delete(mine.pk)
    with acting_as("administrator"):
        delete(other.pk)
    assert not SavedView.objects.exists()
    event = Event.objects.filter(operation="saved_view:delete").latest("pk")
    assert event.contents["after"]["name"] == "Other"


def test_who_takes_no_part_saves_no_view(world: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    """An auditor reads everything and leaves nothing behind; a name and its length are checked."""
    with acting_as("auditor"), pytest.raises(NotPermitted):
        save(view="releases_release?", name="x")
    with acting_as("manager"):
        for view, name in (("releases_release?", " "), ("releases_release?q=" + "x" * 1000, "x")):
            with pytest.raises(InvalidInput):
                save(view=view, name=name)
    assert not SavedView.objects.exists()
