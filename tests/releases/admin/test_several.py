"""One operation on several rows of a list: each shows its impact, and is done or refused by itself."""

from __future__ import annotations

import re
from typing import Any

import pytest
from allauth.account.internal.flows.reauthentication import STATE_SESSION_KEY
from django.urls import reverse

from audit.models import Event
from environments.models import AccessGrant, Application
from environments.operations.access.grant import request_role
from releases.admin.operations import VERBS
from releases.admin.pages.several.page import for_several
from releases.models import Release
from releases.operations.release.plan import plan
from tests.conftest import PASSWORD
from tests.releases.admin import seed
from tests.releases.admin.test_teams import limit

OLD = [{"method": "password", "at": 1.0}]


def page(noun: str, name: str) -> str:
    return reverse("operation-several", args=[noun, name])


def offered(answer: Any) -> set[int]:
    return set(map(int, re.findall(r'name="row"\s+value="(\d+)"', answer.content.decode())))


def drafts(acting_as: Any, world: dict[str, Any], count: int) -> list[Release]:
    return [seed.draft(acting_as, world["application"], f"7.{number}.0") for number in range(count)]


def test_each_row_shows_its_impact_and_only_the_ticked_ones_are_done(
    world: dict[str, Any], browsers: Any, acting_as: Any
) -> None:
    first, second, third = drafts(acting_as, world, 3)
    manager = browsers("manager")
    shown = manager.get(page("release", "cancel"))
    assert {first.pk, second.pk, third.pk, world["review"].pk} <= offered(shown)
    assert world["released"].pk not in offered(shown)
    assert shown.content.decode().count("Nothing that has been approved or signed is lost.") < len(offered(shown)), (
        "a release in review would lose its approval request"
    )
    sent = {"row": [first.pk, second.pk], "reason": "one release in their place"}
    answer = manager.post(page("release", "cancel"), sent)
    assert answer.status_code == 302 and answer.url == reverse("admin:releases_release_changelist")
    assert [Release.objects.get(pk=row.pk).state for row in (first, second, third)] == ["cancelled"] * 2 + ["draft"]
    done = Event.objects.filter(operation="release:cancel", outcome="done", kind="operation")
    assert done.count() == 2 and {event.reason for event in done} == {"one release in their place"}


def test_the_rows_are_those_of_the_list_with_its_filters(world: dict[str, Any], browsers: Any, acting_as: Any) -> None:
    (draft,) = drafts(acting_as, world, 1)
    manager = browsers("manager")
    listed = manager.get(reverse("admin:releases_release_changelist") + "?q=7.0.0&columns=state").content.decode()
    (address,) = set(re.findall(r'href="([^"]*/release/cancel/several/[^"]*)"', listed))
    assert offered(manager.get(address.replace("&amp;", "&"))) == {draft.pk}
    assert manager.get(page("release", "cancel") + "?author__password__startswith=a").status_code == 400


def test_a_refused_row_stays_with_its_reason(world: dict[str, Any], browsers: Any, acting_as: Any) -> None:
    (draft,) = drafts(acting_as, world, 1)
    manager, released = browsers("manager"), world["released"]
    answer = manager.post(page("release", "cancel"), {"row": [draft.pk, released.pk], "reason": "x"})
    html = answer.content.decode()
    assert answer.status_code == 409 and offered(answer) == {released.pk} and "r-error" in html
    assert Release.objects.get(pk=draft.pk).state == "cancelled"
    refusals = Event.objects.filter(operation="release:cancel", outcome="refused")
    assert [Release.objects.get(pk=released.pk).state, refusals.count()] == [released.state, 1]


def test_one_proof_of_identity_is_for_all(people: dict[str, Any], browsers: Any, acting_as: Any) -> None:
    with acting_as("administrator"):
        rows = [
            request_role(people["developer"].pk, role=role, reason="x") for role in ("committee", "release_manager")
        ]
    second = browsers("second_administrator")
    session = second.session
    session["account_authentication_methods"] = OLD
    session.save()
    answer = second.post(page("access", "confirm"), {"row": [row.pk for row in rows]})
    assert answer.status_code == 302 and answer.url.startswith(reverse("account_reauthenticate"))
    assert len(second.session[STATE_SESSION_KEY]["acts"]) == 2
    assert not AccessGrant.objects.filter(pk__in=[row.pk for row in rows]).exclude(confirmed_at=None).exists()
    second.post(answer.url, {"password": PASSWORD})
    assert AccessGrant.objects.filter(pk__in=[row.pk for row in rows]).exclude(confirmed_at=None).count() == 2


def test_it_is_no_way_round_a_right_or_to_rows_that_are_not_shown(
    world: dict[str, Any], browsers: Any, acting_as: Any
) -> None:
    (draft,) = drafts(acting_as, world, 1)
    for name in ("auditor", "outsider"):
        client = browsers(name)
        assert client.get(page("release", "cancel")).status_code == 403
        assert client.post(page("release", "cancel"), {"row": [draft.pk], "reason": "x"}).status_code == 403
    manager = browsers("manager")
    for wrong in ([draft.pk, 999_999], ["x"], [10**30], ["٣"]):
        assert manager.post(page("release", "cancel"), {"row": wrong, "reason": "x"}).status_code == 404
    assert manager.post(page("release", "cancel"), {"reason": "x"}).status_code == 302
    assert manager.post(page("release", "cancel"), {"row": [draft.pk], "reason": ""}).status_code == 400
    assert Release.objects.get(pk=draft.pk).state == "draft"
    for verb in VERBS:
        if for_several(verb):
            assert set(verb.form_fields(None)) <= {"reason"}, verb.key
        else:
            assert manager.get(page(verb.noun, verb.name)).status_code == 404, verb.key


def test_who_may_not_do_it_to_one_row_does_not_do_it_to_several(
    people: dict[str, Any], browsers: Any, acting_as: Any
) -> None:
    with acting_as("administrator"):
        own = request_role(people["developer"].pk, role="committee", reason="x")
    asked = browsers("administrator")
    assert offered(asked.get(page("access", "confirm"))) == set()
    assert asked.post(page("access", "confirm"), {"row": [own.pk]}).status_code == 409
    assert AccessGrant.objects.get(pk=own.pk).confirmed_at is None


def test_each_list_offers_what_its_reader_may_do(world: dict[str, Any], browsers: Any) -> None:
    """The links of all lists lead to pages, for three readers."""
    models = {verb.model for verb in VERBS if for_several(verb)}
    for name in ("manager", "administrator", "auditor"):
        client, found = browsers(name), 0
        for model in models:
            opts = model._meta  # type: ignore[union-attr]
            html = client.get(reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")).content.decode()
            for address in set(re.findall(r'href="([^"]*/several/)"', html)):
                assert client.get(address).status_code == 200, (name, address)
                found += 1
        assert found or name == "auditor"


@pytest.mark.parametrize("key", ["account:invite", "calendar_feed:create", "release:refresh_from_git"])
def test_what_is_shown_once_is_done_one_by_one(key: str) -> None:
    (verb,) = (verb for verb in VERBS if verb.key == key)
    assert not for_several(verb)


def test_rows_of_another_team_are_neither_shown_nor_reached(
    seeded: dict[str, Any], people: dict[str, Any], browsers: Any, acting_as: Any
) -> None:
    portal = Application.objects.get(slug="portal")
    with acting_as("author_on_committee"):
        theirs = plan(application_id=portal.pk, version="7.0.0", title="of the other team")
    limit(people, seeded["application"], "manager", "tester")
    manager, address = browsers("manager"), page("release", "cancel")
    assert seeded["draft"].pk in offered(manager.get(address)) and theirs.pk not in offered(manager.get(address))
    assert manager.post(address, {"row": [theirs.pk], "reason": "x"}).status_code == 404
    assert Release.objects.get(pk=theirs.pk).state == "draft"
    limit(people, portal, "tester")
    others = reverse("release", args=[seeded["review"].pk])
    assert others not in browsers("tester").get(reverse("sign-all-releases")).content.decode()
