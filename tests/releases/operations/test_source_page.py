"""The page on which a commit is selected: what is confirmed is what was shown; and where it is shown afterwards."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from releases.models import Release
from releases.operations.release.plan import plan
from releases.operations.release.refresh_from_git import refresh_from_git
from releases.operations.release.select_commit import select_commit
from tests.releases.gates.asking import in_force, own_repository
from tests.releases.operations.test_source import commit_on, rolled_back


def draft(world: Any, version: str = "1.3.0") -> Release:
    """A draft whose source is still to be selected."""
    with world.acting_as("manager"):
        return plan(application_id=world.application.pk, version=version, title="x")


def fields_of(html: str) -> dict[str, str]:
    """Return what the page's form would send of itself."""
    form = html.split('class="r-card r-form"')[1]
    named = [(re.search(r'name="([^"]+)"', tag), re.search(r'value="([^"]*)"', tag)) for tag in
             re.findall(r"<input[^>]*>", form)]  # fmt: skip
    return {name[1]: value[1] if value else "" for name, value in named if name}


def test_the_commit_is_shown_before_it_is_taken_and_only_that_one_is(
    world: Any, tmp_path: Path, browsers: Callable[[str], Any]
) -> None:
    repository = own_repository(world, tmp_path)
    in_force(world, "1.2.0")
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


def test_what_was_rolled_back_is_named_and_asks_for_a_tick(world: Any, browsers: Callable[[str], Any]) -> None:
    rolled_back(world, in_force(world, "1.3.0").release, "production")
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


def test_the_release_page_shows_the_commit_and_what_is_new_in_each_environment(
    world: Any, tmp_path: Path, browsers: Callable[[str], Any]
) -> None:
    in_force(world, "1.2.0")
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
    in_force(world, "1.4.0", environment="staging")
    html = browsers("manager").get(page).content.decode()
    assert "Unknown: the repository has not been read since 1.4.0 was deployed." in html
    own_repository(world, tmp_path).rename(tmp_path / "away.git")
    with world.acting_as("manager"):
        refresh_from_git(release.pk)
    html = browsers("manager").get(page).content.decode()
    assert "Unknown: the repository could not be read. There is no repository at" in html
    assert "ahead of the deployed version 1.2.0" in html, "what was read of two commits stays true"
