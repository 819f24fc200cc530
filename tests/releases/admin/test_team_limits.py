"""What a person whose grants name another application cannot learn or do by a detour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.urls import reverse

from audit.actor import acting
from audit.clock import now
from audit.ledger.link import link_pending
from audit.models import Event, LedgerEntry
from audit.operation import operation
from audit.refusals import InvalidInput, NotPermitted
from environments.admin.rights import read_rights
from environments.models import AccessGrant, Application, Delegation, Environment
from releases.admin.components.links import page_of
from releases.admin.components.live import RIGHTS, shown_by
from releases.admin.lists.notification_lists import example_values
from releases.admin.operations import verb as find
from releases.models import ApprovalRequest, Deployment, NotificationDelivery, PollFailure, Procedure, Release
from releases.operations.application.edit import edit
from releases.operations.application.set_forge import set_forge
from releases.operations.approval import decide
from releases.operations.notification_delivery.disable import bounce
from releases.operations.target.test import try_settings
from tests.releases.gates.asking import COMMAND, alter, make

from .test_teams import limit, portal

__all__ = ["portal"]


def test_the_repository_of_an_application_is_named_with_a_grant_for_all(
    portal: Application, seeded: dict[str, Any], people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    """The server reads what is named, and the mirror of another application lies on the same disk."""
    limit(people, portal, "manager")
    kept = {"tag_format": portal.tag_format, "reason": "x"}
    with acting_as("manager"):
        edit(portal.pk, name="Portal", repository=portal.repository, **kept)
        with pytest.raises(NotPermitted, match="some applications only"):
            edit(portal.pk, name="Portal", repository=f"{seeded['application'].repository}/", **kept)
    assert Application.objects.get(pk=portal.pk).repository == portal.repository


def test_the_forge_of_an_application_is_set_with_a_grant_for_all(
    portal: Application, people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    """The server sends a token to the address, and believes what it answers."""
    limit(people, portal, "manager")
    given = {"forge": "github", "url": "https://api.github.com", "project": "team/portal", "reason": "x"}
    with acting_as("manager"), pytest.raises(NotPermitted, match="some applications only"):
        set_forge(portal.pk, **given)
    assert Application.objects.get(pk=portal.pk).forge == ""


def test_an_address_is_suppressed_for_all_with_a_grant_for_all(
    portal: Application, people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    delivery = NotificationDelivery.objects.first()
    pk = delivery.pk if delivery is not None else 0
    limit(people, portal, "manager")
    with acting_as("manager"), pytest.raises((NotPermitted, InvalidInput)):
        bounce(pk, reason="came back")
    rights = read_rights(people["manager"])
    verb = find("notification_delivery", "bounce")
    assert verb is not None and not verb.has_right(rights, delivery)


def test_settings_are_tried_on_the_application_of_the_target(
    portal: Application, seeded: dict[str, Any], people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    """Its configuration and its repository's credentials would be used."""
    limit(people, portal, "operator")
    place = Environment.objects.get(slug="staging")
    mine = portal.targets.get(environment=place)
    with acting_as("operator"):
        with pytest.raises(NotPermitted):
            try_settings(application_id=seeded["application"].pk, environment_id=place.pk, root="/srv/x", settings={})
        with pytest.raises((InvalidInput, NotPermitted)):
            try_settings(
                application_id=seeded["application"].pk,
                environment_id=place.pk,
                root="/srv/x",
                settings={},
                target_id=mine.pk,
            )


def test_the_committee_of_one_application_decides_nothing_about_the_procedure(
    portal: Application, people: dict[str, Any], acting_as: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where every release that it moves is one of theirs."""
    procedure = Procedure.objects.get(state="in_effect")
    rules = [{"stage": 1, "role": "committee", "number": 2}]
    request = make(
        ApprovalRequest,
        subject="procedure",
        procedure=procedure,
        document={"moved": []},
        digest="d" * 64,
        rules=rules,
        requested_by=people["manager"],
    )
    limit(people, portal, "committee_a")
    release = Release.objects.filter(application=portal).first()
    assert release is not None
    targets = [(ApprovalRequest, request.pk), (Procedure, procedure.pk), (Release, release.pk)]
    monkeypatch.setattr(decide, "_targets", lambda pk: targets)
    for veto in (decide.reject, decide.send_back):
        with acting_as("committee_a"), pytest.raises(NotPermitted):
            veto(request.pk, digest=request.digest, comment="no")


def test_examples_and_hints_are_of_the_readers_applications(
    portal: Application, seeded: dict[str, Any], people: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    whole = example_values("release:announce")[1]
    assert "データセット" in whole
    assert "ポータル" in example_values("release:announce", {portal.pk})[1]
    assert example_values("release:announce", frozenset())[1] == ""
    limit(people, portal, "manager")
    html = browsers("manager").get(reverse("operation-new", args=["release", "plan"])).content.decode()
    assert "データセット" not in html and "ポータル" in html


def test_events_of_one_operation_on_several_applications_show_ones_own(
    portal: Application, seeded: dict[str, Any], people: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    own, other = Release.objects.filter(application=portal).first(), seeded["review"]
    assert own is not None
    with acting(COMMAND), operation("test:both", (Release, own.pk), (Release, other.pk)) as op:
        op.get(Release, own.pk).title, op.get(Release, other.pk).title = "ours", "theirs and secret"
    limit(people, portal, "manager")
    client = browsers("manager")
    html = client.get(reverse("timeline") + f"?release={own.pk}").content.decode()
    assert "ours" in html and "theirs and secret" not in html
    link_pending(connection)
    label = f"releases.Release:{own.pk}"
    number = LedgerEntry.objects.filter(event__object=label).order_by("-number")[0]
    page = client.get(reverse("event", args=[number.pk]))
    assert page.status_code == 200 and "theirs and secret" not in page.content.decode()
    hidden = Event.objects.filter(object=f"releases.Release:{other.pk}", ledger_entry__isnull=False).first()
    assert hidden is not None
    assert client.get(reverse("event", args=[hidden.ledger_entry.number])).status_code == 403


def test_failures_without_a_path_to_an_application_are_hidden(
    portal: Application, seeded: dict[str, Any], people: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    label = f"releases.ApprovalRequest:{seeded['round'].pk}"
    make(
        PollFailure, part="approval", object=label, error="the secret of datasets", suspended_at=now(), failed_at=now()
    )
    assert "secret of datasets" in browsers("operator").get(reverse("queues")).content.decode()
    limit(people, portal, "operator")
    assert "secret of datasets" not in browsers("operator").get(reverse("queues")).content.decode()


def test_a_delegate_sees_what_the_absent_person_sees(
    portal: Application, seeded: dict[str, Any], people: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    limit(people, portal, "tester")
    limit(people, seeded["application"], "committee_b")
    page = page_of(seeded["round"]).partition("#")[0]
    assert browsers("tester").get(page).status_code == 404
    make(
        Delegation,
        delegator=people["committee_b"],
        delegate=people["tester"],
        starts_at=now(),
        until=now().replace(year=2030),
        reason="x",
        requested_by=people["committee_b"],
        confirmed_at=now(),
        confirmed_by=people["administrator"],
    )
    assert browsers("tester").get(page).status_code == 200
    approve = find("approval", "approve")
    assert approve is not None and approve.has_right(read_rights(people["tester"]), seeded["round"])


def test_a_form_that_chooses_the_application_is_offered_to_its_team(
    portal: Application, people: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    limit(people, portal, "manager", "operator")
    production = Environment.objects.get(slug="production")
    for noun, name in (("window", "create_freeze"), ("window", "set_rule"), ("window", "request")):
        assert browsers("manager").get(f"/admin/operation/{noun}/{name}/{production.pk}/").status_code == 200, name
    assert browsers("operator").get("/admin/operation/configuration/create/").status_code == 200


def test_without_a_role_nothing_is_seen(people: dict[str, Any], seeded: dict[str, Any]) -> None:
    assert not AccessGrant.objects.filter(account=people["outsider"]).exists()
    assert read_rights(people["outsider"]).applications == frozenset()
    assert Deployment.objects.exists()


def test_who_was_a_delegate_learns_of_no_more_changes(
    portal: Application, seeded: dict[str, Any], people: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    """A page that was open when the delegation ended is told nothing of the other application, by poll or stream."""
    limit(people, portal, "tester")
    away = {"delegator": people["committee_b"], "delegate": people["tester"], "reason": "x"}
    signed = {"confirmed_at": now(), "confirmed_by": people["administrator"], "requested_by": people["committee_b"]}
    delegation = make(Delegation, **away, **signed, starts_at=now(), until=now().replace(year=2030))
    client, row = browsers("tester"), seeded["round"]
    text = client.get(page_of(row).partition("#")[0]).content.decode()
    token = text.split('data-live="')[1].split('"')[0]
    label = f"releases.ApprovalRequest:{row.pk}"
    assert label in shown_by(token, read_rights(people["tester"])).labels
    alter(delegation, revoked_at=now())
    before = client.get(reverse("live"), {"of": token}).json()
    alter(row, digest="e" * 64)
    assert client.get(reverse("live"), {"of": token}).json() == before
    assert label not in shown_by(token, read_rights(people["tester"])).labels
    assert "environments.Delegation" in RIGHTS, "the stream looks at once"
