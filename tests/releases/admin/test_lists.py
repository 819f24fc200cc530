"""Lists: a search in full-width characters finds its rows, and the shown rows can be exported as a table."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.contrib.admin.templatetags.admin_list import result_headers
from django.urls import reverse
from django.utils.safestring import mark_safe

from audit.actor import acting
from audit.admin.sheet import cell
from audit.operation import operation
from environments.models import Environment, Role
from releases.models import Release
from tests.releases.gates.asking import COMMAND, make, walk

RELEASES = "admin:releases_release_changelist"


def _table(answer: Any) -> list[list[str]]:
    text = b"".join(answer.streaming_content).decode()
    assert text.startswith("\ufeff")
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))


def test_a_cell_is_plain_text() -> None:
    """No formula, no mark-up, and an empty cell for no value."""
    assert [cell(v) for v in ("=1+1", mark_safe("<b>x</b>"), None, 3)] == ["'=1+1", "x", "", "3"]


def test_the_search_finds_versions_people_and_commits(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """Full-width input finds them too; a search without a match returns no row."""
    client, row = browsers("auditor"), world["review"]
    for typed in ("1.3.0", "１．３．０", row.commit[:10], "Ｍａｎａｇｅｒ", "メタデータ"):
        assert f"/{row.pk}/change/" in client.get(reverse(RELEASES), {"q": typed}).content.decode(), typed
    assert f"/{row.pk}/change/" not in client.get(reverse(RELEASES), {"q": "９．９．９"}).content.decode()


def test_a_list_names_the_zone_of_its_times(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """Also where the rows belong to no environment; each exported time holds its instant."""
    for name in ("audit_outbox", "releases_deployment", "environments_accessgrant"):
        html = browsers("auditor").get(reverse(f"admin:{name}_changelist")).content.decode()
        assert re.search(r'<time datetime="[^"]+">[^<]+ JST</time>', html), name


def test_the_exported_table_holds_the_filtered_rows(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """With the list's columns in words, without paging, in the reader's language."""
    client = browsers("auditor")
    rows = _table(client.get(reverse(RELEASES), {"csv": "1"}))
    assert len(rows) == 1 + Release.objects.count()
    drafts = _table(client.get(reverse(RELEASES), {"csv": "1", "state__exact": "draft"}))
    assert [row[2] for row in drafts[1:]] == ["Draft"] and str(world["draft"]) == drafts[1][0]
    client.cookies["django_language"] = "ja"
    assert _table(client.get(reverse(RELEASES), {"csv": "1", "state__exact": "draft"}))[1][2] == "下書き"


def test_the_exported_table_hides_the_columns_and_rows_that_the_list_hides(
    world: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    """Neither unlisted columns nor rows of environments that the reader does not see."""
    client = browsers("auditor")
    accounts = reverse("admin:environments_account_changelist")
    assert client.get(accounts, {"csv": "1", "password__startswith": "a"}).status_code in (302, 400)
    targets = reverse("admin:environments_deploymenttarget_changelist")
    assert len(_table(browsers("tester").get(targets, {"csv": "1"}))) < len(_table(client.get(targets, {"csv": "1"})))
    assert browsers("outsider").get(targets, {"csv": "1"}).status_code in (302, 403)


def test_a_list_keeps_the_order_of_its_model(people: dict[str, Any], rf: Any) -> None:
    """Environments have no order of their own in the admin: it is that of promotion."""
    request = rf.get("/")
    request.user = people["manager"]
    shown = admin.site.get_model_admin(Environment).get_queryset(request)
    assert [row.order for row in shown] == sorted(row.order for row in shown) and shown.ordered


def test_a_reader_chooses_the_columns(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    client, address = browsers("manager"), reverse("admin:releases_release_changelist")
    usual = client.get(address)
    heads = [str(head["text"]) for head in result_headers(usual.context["cl"])]
    assert heads == ["release", "number", "state", "waits for", "next due", "T-0", "title"]
    chosen = client.get(address, {"columns": "state,risk", "state__exact": "in_review", "o": "-1"})
    assert chosen.status_code == 200
    assert [str(head["text"]) for head in result_headers(chosen.context["cl"])] == ["release", "state", "risk class"]
    assert {row.state for row in chosen.context["cl"].result_list} == {"in_review"}
    assert "columns=state%2Crisk" in chosen.content.decode(), "filters and sorting keep the choice"
    table = client.get(address, {"columns": "state", "csv": "1"}).getvalue().decode()
    assert table.splitlines()[0].count(",") == 1
    # Only columns of the list: another one of the model is not shown, and no column can be guessed.
    assert client.get(address, {"columns": "password,tree"}).status_code == 200
    accounts = client.get(reverse("admin:environments_account_changelist"), {"columns": "password"})
    assert [str(head["text"]) for head in result_headers(accounts.context["cl"])] == ["full name"]


def test_a_list_says_whom_a_release_waits_for_and_when(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    page = browsers("manager").get(reverse("admin:releases_release_changelist"))
    rows = {row.pk: row for row in page.context["cl"].result_list}
    review = rows[world["review"].pk]
    due = review.milestones.filter(done_at=None).order_by("due_at").first()
    assert due is not None and review.next_due == due.due_at
    assert "approvers" in page.content.decode()
    assert rows[world["released"].pk].next_due is None
    # A role has the name that the procedure gives it, and may be another one on the same permissions.
    walk(Release.objects.get(pk=world["draft"].pk), "lock_scope", "complete_testing")
    make(Role, key="change_manager", based_on="release_manager", names={"en": "Change manager", "ja": "変更管理者"})
    with acting(COMMAND), operation("test:retire"):
        retired = Role.objects.get(key="release_manager")
        retired.state = Role.State.RETIRED
        retired.save()
    page = browsers("auditor").get(reverse("admin:releases_release_changelist"))
    row = page.content.decode().partition(f"/{world['draft'].pk}/change/")[2].partition("</tr>")[0]
    assert "Change manager" in row and "Release manager" not in row
