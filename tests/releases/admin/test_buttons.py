"""The buttons of a release say what comes next; the sidebar opens what a reader's role works with."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django.test import RequestFactory
from django.urls import reverse

from audit.clock import now
from environments.models import AccessGrant, Account
from releases.admin.components.navigation import navigation
from releases.models import Procedure, Release
from tests.releases.gates.asking import alter, make


def shown(browsers: Callable[[str], Any], release: Release, reader: str = "manager") -> tuple[list[str], set[str]]:
    """Return the visible operations in their order and the folded ones; the primary button stands with a star."""
    html = browsers(reader).get(reverse("release", args=[release.pk])).content.decode()
    card = html.split('id="next"')[1].split("</section>")[0]
    at_hand, _fold, folded = card.partition('class="r-others"')
    folded = folded.split("</details>")[0]
    links = re.findall(r'class="r-btn( main)?[^"]*"\s+href="[^"]+"\s+data-verb="([^"]+)"', at_hand)
    return [key + ("*" if main else "") for main, key in links], set(re.findall(r'data-verb="([^"]+)"', folded))


def test_a_draft_offers_first_what_it_lacks(seeded: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    draft = seeded["draft"]
    at_hand, folded = shown(browsers, draft)
    assert at_hand == ["release:set_scheduled_start*", "release:lock_scope"]
    assert {"release:edit", "release:cancel", "team:assign"} <= folded and len(folded) > 4
    alter(draft, commit="", tree="", branch="")
    assert shown(browsers, draft)[0] == ["release:select_commit*", "release:set_scheduled_start", "release:lock_scope"]


def test_a_reader_who_may_bring_nothing_gets_no_primary_button(
    seeded: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    at_hand, folded = shown(browsers, seeded["draft"], "developer")
    assert "release:refresh_from_git" in at_hand and not folded
    assert not [key for key in at_hand if key.endswith("*")]


def test_every_operation_is_either_at_hand_or_folded(seeded: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    from environments.admin.rights import read_rights
    from releases.admin.components.formatting import buttons

    for release in (seeded["draft"], seeded["review"], seeded["released"]):
        rights = read_rights(Account.objects.get(username="manager")).about(release)
        offered = {one.key for one in buttons(rights, release) if not one.reason}
        at_hand, folded = shown(browsers, release)
        assert {key.rstrip("*") for key in at_hand} | folded == offered
        assert not folded & {key.rstrip("*") for key in at_hand}


def test_the_sidebar_opens_what_a_role_works_with(seeded: dict[str, Any]) -> None:
    def opened(name: str) -> set[str]:
        request = RequestFactory().get("/")
        request.user = Account.objects.get(username=name)
        return {group["key"] for group in navigation(request) if group.get("open")}

    assert opened("manager") == {"releases", "environments"}
    assert opened("auditor") == {"releases", "audit"}
    assert opened("administrator") == {"releases", "people"}
    assert opened("developer") == opened("committee_a") == {"releases"}


def test_the_group_of_the_page_is_open(seeded: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    html = browsers("developer").get(reverse("admin:audit_checkpoint_changelist")).content.decode()
    groups = dict(re.findall(r'<details\s+class="r-nav"\s+data-nav="(\w+)"\s*([^>]*)>', html))
    assert {key: value.split() for key, value in groups.items()} == {
        "releases": ["open"],
        "audit": ["data-here", "open"],
        "notifications": [],
        "environments": [],
        "people": [],
    }


def test_a_deployment_is_at_hand_where_no_gate_is_in_the_way(
    seeded: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    draft = seeded["draft"]
    manager = Account.objects.get(username="manager")
    make(AccessGrant, account=manager, role_id="developer", starts_at=now(), reason="small team", confirmed_at=now())
    assert "deployment:request" in shown(browsers, draft)[1], "gates of the development environment are not passed"
    procedure = Procedure.objects.get(state="in_effect")
    content = procedure.content
    alter(procedure, content=content | {"gates": [row for row in content["gates"] if row["type"] == "approval"]})
    assert shown(browsers, draft)[0][-1] == "deployment:request"
