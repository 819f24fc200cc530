"""The page that selects a commit: the confirmed commit is the shown one; and the pages that show it afterwards."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from releases.models import Release
from releases.operations.release.plan import plan
from releases.operations.release.refresh_from_git import refresh_from_git
from releases.operations.release.select_commit import select_commit
from tests.releases.gates.asking import mark_deployed, own_repository
from tests.releases.operations.test_source import commit_on, git, rolled_back


def draft(world: Any, version: str = "1.3.0") -> Release:
    """A draft without a selected commit."""
    with world.acting_as("manager"):
        return plan(application_id=world.application.pk, version=version, title="x")


def fields_of(html: str) -> dict[str, str]:
    """Return the values that the page's form sends unchanged."""
    form = html.split('class="r-card r-form"')[1]
    named = [
        (re.search(r'name="([^"]+)"', tag), re.search(r'value="([^"]*)"', tag))
        for tag in re.findall(r"<input[^>]*>", form)
        if 'type="radio"' not in tag or " checked" in tag
    ]
    return {name[1]: value[1] if value else "" for name, value in named if name}


def test_the_commit_is_shown_before_its_selection_and_only_that_one_is_selected(
    world: Any, tmp_path: Path, browsers: Callable[[str], Any]
) -> None:
    repository = own_repository(world, tmp_path)
    mark_deployed(world, "1.2.0")
    release, client = draft(world), browsers("manager")
    address = f"/admin/operation/release/select_commit/{release.pk}/"
    assert "accept_rolled_back" not in client.get(address).content.decode()
    shown = client.post(address, {"branch": "release/1.3", "revision": ""}).content.decode()
    for said in ("Version 1.3.0", world.built.commits["v1.3.0"], "ahead of the deployed version 1.2.0", "→ Production"):
        assert said in shown, said
    assert "accept_rolled_back" not in shown and world.fresh(release).commit == ""
    given = fields_of(shown)
    assert given["expected_commit"] == world.built.commits["v1.3.0"] and given["confirmed"]
    head = commit_on(repository, "release/1.3", "Came in between")
    refused = client.post(address, given)
    assert refused.status_code == 400 and "Came in between" in refused.content.decode()
    assert world.fresh(release).commit == ""
    again = fields_of(client.post(address, given | {"confirmed": ""}).content.decode())
    assert again["expected_commit"] == head and client.post(address, again).status_code == 302
    assert world.fresh(release).commit == head


def offered(html: str) -> list[tuple[str, str]]:
    """Return value and text of each commit that the form offers, in its order."""
    rows = re.findall(r'<input[^>]*name="pick" value="([^"]+)"[^>]*>(.*?)</label>', html, re.DOTALL)
    return [(value, re.sub(r"\s+", " ", text).strip()) for value, text in rows]


def test_the_newest_commits_of_fitting_branches_can_be_picked(
    world: Any, tmp_path: Path, browsers: Callable[[str], Any]
) -> None:
    repository = own_repository(world, tmp_path)
    newest = commit_on(repository, "release/1.4", "Newest of <all>")
    git(repository, "branch", "elsewhere", "release/1.3")
    commit_on(repository, "elsewhere", "On a branch that no release comes from")
    release, client = draft(world), browsers("manager")
    address = f"/admin/operation/release/select_commit/{release.pk}/"
    rows = offered(client.get(address).content.decode())
    assert rows[0][0] == f"{newest} release/1.4"
    assert rows[0][1].startswith(f"release/1.4 · {newest[:10]} · Newest of &lt;all&gt; · ")
    assert world.built.commits["v1.3.0"] in "".join(value for value, _text in rows)
    assert len(rows) > 3 and not any("On a branch" in text for _value, text in rows)
    shown = client.post(address, {"pick": rows[0][0], "branch": "", "revision": ""}).content.decode()
    given = fields_of(shown)
    assert given["expected_commit"] == newest and given["pick"] == rows[0][0]
    assert client.post(address, given).status_code == 302
    assert (world.fresh(release).commit, world.fresh(release).branch) == (newest, "release/1.4")
    forged = client.post(address, {"pick": f"{newest} elsewhere", "branch": "", "revision": ""})
    assert forged.status_code == 400


def test_a_push_meanwhile_changes_no_pick(world: Any, tmp_path: Path, browsers: Callable[[str], Any]) -> None:
    repository = own_repository(world, tmp_path)
    release, client = draft(world), browsers("manager")
    address = f"/admin/operation/release/select_commit/{release.pk}/"
    picked, _text = offered(client.get(address).content.decode())[0]
    commit, branch = picked.split(" ")
    commit_on(repository, branch, "Came in between")
    given = fields_of(client.post(address, {"pick": picked, "branch": "", "revision": ""}).content.decode())
    assert given["pick"] == picked and given["expected_commit"] == commit
    assert client.post(address, given).status_code == 302 and world.fresh(release).commit == commit


def test_a_pick_and_a_typed_branch_do_not_both_count(world: Any, browsers: Callable[[str], Any]) -> None:
    release, client = draft(world), browsers("manager")
    address = f"/admin/operation/release/select_commit/{release.pk}/"
    pick = offered(client.get(address).content.decode())[0][0]
    refused = client.post(address, {"pick": pick, "branch": "release/1.3", "revision": ""})
    assert refused.status_code == 400 and "Pick a commit, or name its branch, not both." in refused.content.decode()
    assert "Name the branch of the commit." in client.post(address, {"branch": ""}).content.decode()


def test_a_repository_that_cannot_be_read_offers_nothing_to_pick(
    world: Any, tmp_path: Path, browsers: Callable[[str], Any]
) -> None:
    own_repository(world, tmp_path).rename(tmp_path / "away.git")
    page = browsers("manager").get(f"/admin/operation/release/select_commit/{draft(world).pk}/")
    assert page.status_code == 200 and offered(page.content.decode()) == []
    assert 'name="branch"' in page.content.decode()


def test_a_rolled_back_commit_is_named_and_needs_a_tick(world: Any, browsers: Callable[[str], Any]) -> None:
    rolled_back(world, mark_deployed(world, "1.3.0").release, "production")
    release, client = draft(world, "1.9.0"), browsers("manager")
    address = f"/admin/operation/release/select_commit/{release.pk}/"
    shown = client.post(address, {"branch": "release/1.3", "revision": ""}).content.decode()
    assert "This commit was rolled back from Production on" in shown
    given = fields_of(shown)
    assert "accept_rolled_back" in given and re.search(r'name="accept_rolled_back"[^>]* required', shown)
    del given["accept_rolled_back"]
    assert client.post(address, given).status_code == 400 and world.fresh(release).commit == ""
    assert client.post(address, given | {"accept_rolled_back": "on"}).status_code == 302
    assert world.fresh(release).commit == world.built.commits["v1.3.0"]


def test_the_release_page_shows_the_commit_and_its_news_in_each_environment(
    world: Any, tmp_path: Path, browsers: Callable[[str], Any]
) -> None:
    mark_deployed(world, "1.2.0")
    release = draft(world)
    page = f"/admin/release/{release.pk}/"
    assert "No commit has been selected yet." in browsers("manager").get(page).content.decode()
    with world.acting_as("manager"):
        select_commit(release.pk, branch="release/1.3")
    html = browsers("manager").get(page).content.decode()
    source = html.split("release/1.3")[1].split("</div>")[0]
    assert "Version 1.3.0" in source
    production = html.split('data-place="Production"')[1].split("</section>")[0]
    assert "ahead of the deployed version 1.2.0." in production and "Version 1.3.0" in production
    mark_deployed(world, "1.4.0", environment="staging")
    html = browsers("manager").get(page).content.decode()
    assert "Unknown: the repository has not been read since 1.4.0 was deployed." in html
    own_repository(world, tmp_path).rename(tmp_path / "away.git")
    with world.acting_as("manager"):
        refresh_from_git(release.pk)
    html = browsers("manager").get(page).content.decode()
    assert "Unknown: the repository could not be read. There is no repository at" in html
    assert "ahead of the deployed version 1.2.0" in html, "what was read of two commits stays true"
