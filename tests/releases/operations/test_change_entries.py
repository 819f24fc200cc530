"""A change of a draft is edited and removed; who wrote it stays an author of the release."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from audit.models import Event
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from releases.admin.pages.operation.effects import of
from releases.operations.change_entry.edit import edit, remove
from releases.operations.release.plan import add_change
from releases.operations.release.prepare import reopen_scope

Clients = Callable[[str], Any]


def test_a_draft_is_edited_and_signatures_about_its_content_end(world: Any) -> None:
    release = world.tested()
    with world.acting_as("manager"):
        reopen_scope(release.pk, reason="a word is wrong")
    entry = release.changes.get()
    assert of("change_entry:edit", entry).again, "the form says what must be signed again"
    with world.acting_as("project_manager"):
        edit(entry.pk, kind="breaking", text="Tags are required", ticket="DS-7")
    entry.refresh_from_db()
    assert (entry.kind, entry.text, entry.ticket) == ("breaking", "Tags are required", "DS-7")
    assert entry.author == world.people["developer"]
    assert world.people["project_manager"] in release.editors.all()
    assert not release.checklist.exclude(signed_at=None).exists()
    assert {document.state for document in release.documents.all()} == {"draft"}
    with world.acting_as("developer"), pytest.raises(InvalidInput):
        edit(entry.pk, kind="colossal", text="x")


def test_a_removed_change_is_in_the_history_and_its_author_stays_one(world: Any, browsers: Clients) -> None:
    release = world.planned()
    with world.acting_as("project_manager"):
        added = add_change(release.pk, kind="fix", text="a second thought", ticket="DS-8")
    writer = added.author
    with world.acting_as("manager"):
        remove(added.pk)
    assert [entry.text for entry in release.changes.all()] == ["Datasets can be tagged"]
    assert writer in release.editors.all()
    page = browsers("manager").get(reverse("release", args=[release.pk]))
    lines = [line.entry for day in page.context["history"].days for line in day.lines]
    (removed,) = [line for line in lines if line.operation == "change_entry:remove"]
    assert {"change_entry": "a second thought", "ticket": "DS-8"}.items() <= dict(removed.details).items()
    assert Event.objects.filter(object=f"releases.ChangeEntry:{added.pk}", outcome="deleted").count() == 1


def test_only_a_draft_and_only_by_those_who_may(world: Any, browsers: Clients) -> None:
    release = world.tested()
    entry = release.changes.get()
    with world.acting_as("developer"), pytest.raises(NotPossible):
        edit(entry.pk, kind="fix", text="later")
    with world.acting_as("developer"), pytest.raises(NotPossible):
        remove(entry.pk)
    with world.acting_as("auditor"), pytest.raises(NotPermitted):
        remove(entry.pk)
    page = browsers("developer").get(reverse("release", args=[release.pk])).content.decode()
    assert 'data-verb="change_entry:edit"' not in page
    draft = world.planned("1.4.0")
    pages = {
        name: browsers(name).get(reverse("release", args=[draft.pk])).content.decode()
        for name in ("developer", "auditor")
    }
    assert {name: text.count('data-verb="change_entry:') for name, text in pages.items()} == {
        "developer": 2,
        "auditor": 0,
    }


def test_no_type_is_chosen_beforehand_for_a_new_change(world: Any, browsers: Clients) -> None:
    release, client = world.planned(), browsers("developer")
    address = reverse("operation", args=["release", "add_change_entry", release.pk])
    form = client.get(address).context["form"]
    assert form.fields["kind"].choices[0] == ("", "—") and not form.fields["kind"].initial
    assert client.post(address, {"kind": "", "text": "x", "ticket": ""}).status_code == 400
    entry = release.changes.get()
    form = client.get(reverse("operation", args=["change_entry", "edit", entry.pk])).context["form"]
    assert (form.fields["kind"].initial, form.fields["text"].initial) == ("feature", "Datasets can be tagged")
