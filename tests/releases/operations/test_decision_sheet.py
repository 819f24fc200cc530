"""The decision sheet: an approver sees what changes, decides there, and hears what is still missing."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any

import pytest
from allauth.account.internal.flows.reauthentication import STATE_SESSION_KEY
from django.urls import reverse

from environments.operations.configuration.create import create
from releases.gates.content import document
from releases.models import ApprovalRequest, DeployedVersion
from releases.operations.approval.submit import submit
from releases.operations.release.plan import set_configuration
from releases.operations.release.refresh_from_git import refresh_from_git
from tests.conftest import PASSWORD
from tests.releases.gates.asking import alter, mark_deployed

Clients = Callable[[str], Any]


def read(client: Any, approval_request: ApprovalRequest) -> str:
    """Return the text of the page of a request, without its tags."""
    answer = client.get(reverse("approval-request", args=[approval_request.pk]))
    assert answer.status_code == 200
    text = answer.content.decode().partition("<main")[2]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


@pytest.fixture
def submitted(world: Any) -> ApprovalRequest:
    """A request for 1.3.0, with 1.2.0 in production."""
    mark_deployed(world, "1.2.0")
    planned = world.planned

    def configured(*given: Any, **options: Any) -> Any:
        release = planned(*given, **options)
        with world.acting_as("manager"):
            version = create(
                application_id=world.application.pk,
                environment_id=world.environments["production"].pk,
                values={"LIMIT": "20"},
                secrets={"PASSWORD": "not-shown-word"},
                reason="a larger limit",
            )
            set_configuration(release.pk, configuration_id=version.pk)
        return release

    world.planned = configured
    release = world.tested()
    with world.acting_as("manager"):
        refresh_from_git(release.pk)
        submit(release.pk)
    return ApprovalRequest.objects.get(release=release)


def test_the_sheet_says_what_changes_against_what_is_active(submitted: ApprovalRequest, browsers: Clients) -> None:
    text = read(browsers("committee_a"), submitted)
    assert "1.2.0 → 1.3.0" in text and "ahead of the deployed version 1.2.0" in text
    assert "Tag datasets" in text, "the subject of a commit"
    assert "LIMIT" in text and "→ 20" in text
    assert "PASSWORD ••• → •••" in text and "not-shown-word" not in text
    assert "migrations/0002_tags.sql" in text
    assert "Unit tests (Development): " in text and "0 of 1 tests failed" in text
    assert "not rehearsed with this plan" in text and "Datasets can be tagged" in text
    assert "{{" not in text.partition("Content for approval")[0] and "[time of the event]" in text


def test_gates_are_those_of_the_planned_start(submitted: ApprovalRequest, world: Any, browsers: Clients) -> None:
    page = browsers("committee_a").get(reverse("approval-request", args=[submitted.pk]))
    (place,) = page.context["sheet"].places
    assert {"approval", "milestone"}.isdisjoint(answer.kind for answer in place.gates)
    assert "change_window" in {answer.kind for answer in place.passed}
    item = submitted.release.checklist.first()
    alter(item, signed_at=None, signed_by=None)
    page = browsers("committee_a").get(reverse("approval-request", args=[submitted.pk]))
    assert "checklist" in {answer.kind for answer in page.context["sheet"].places[0].not_passed}


def test_a_reader_without_access_to_the_environment_sees_no_values(
    submitted: ApprovalRequest, browsers: Clients
) -> None:
    text = read(browsers("tester"), submitted)
    assert "LIMIT" not in text.partition("Content for approval")[0]
    assert "The values are shown to readers with access to this environment." in text


def test_content_that_is_no_longer_approved_has_no_sheet(submitted: ApprovalRequest, browsers: Clients) -> None:
    alter(submitted.release, impact="another one")
    page = browsers("committee_a").get(reverse("approval-request", args=[submitted.pk]))
    assert page.context["sheet"] is None
    assert "no longer what was approved" in page.content.decode()


def test_who_decides_on_the_sheet_hears_what_is_missing_and_what_is_next(
    submitted: ApprovalRequest, world: Any, browsers: Clients
) -> None:
    from releases.operations.window.request import request_window

    client, page = browsers("committee_a"), reverse("approval-request", args=[submitted.pk])
    decide = client.get(page).context["decide"]
    assert [button.key for button in decide.others] == ["approval:send_back", "approval:reject"]
    assert [button.key for button in decide.links] == ["approval:approve_with_condition"]
    release = submitted.release
    with world.acting_as("manager"):
        other = request_window(
            world.environments["production"].pk,
            application_id=world.application.pk,
            name="second",
            starts_at=release.scheduled_start_at,
            ends_at=release.scheduled_end_at,
            reason="for the test",
        )
    answer = client.post(decide.first.url, {"digest": submitted.digest, "comment": "read"}, follow=True)
    assert answer.redirect_chain[-1][0] == page
    text = answer.content.decode()
    assert "Done: Approve" in text and "Missing: Release committee (1)" in text
    assert answer.context["decide"] is None
    assert f'href="{reverse("approval-request", args=[other.pk])}"' in text.partition('id="next-decision"')[2][:300]
    last = browsers("committee_b").post(decide.first.url, {"digest": submitted.digest}, follow=True)
    assert "All required approvals are given." in last.content.decode()


def test_sending_back_from_the_sheet_needs_a_reason(submitted: ApprovalRequest, browsers: Clients) -> None:
    client = browsers("committee_a")
    page = client.get(reverse("approval-request", args=[submitted.pk]))
    (back, _reject) = page.context["decide"].others
    assert client.post(back.url, {"digest": submitted.digest, "comment": ""}).status_code == 400
    assert client.post(back.url, {"digest": submitted.digest, "comment": "too short"}).status_code == 302
    assert ApprovalRequest.objects.get(pk=submitted.pk).state == "sent_back"


def test_a_version_that_is_not_known_is_not_called_nothing(submitted: ApprovalRequest, browsers: Clients) -> None:
    alter(DeployedVersion.objects.get(environment__slug="production"), unknown=True)
    alter(submitted, document=document(submitted.release, submitted.environment))
    text = read(browsers("committee_a"), submitted)
    assert "unknown → 1.3.0" in text and "nothing → 1.3.0" not in text


@pytest.mark.parametrize("name", ["manager", "author_on_committee", "auditor"])
def test_who_cannot_decide_has_no_bar(name: str, submitted: ApprovalRequest, browsers: Clients) -> None:
    page = browsers(name).get(reverse("approval-request", args=[submitted.pk]))
    assert page.context["decide"] is None and 'id="decide"' not in page.content.decode()


def test_the_proof_of_identity_names_what_is_signed(submitted: ApprovalRequest, browsers: Clients) -> None:
    client = browsers("committee_a")
    session = client.session
    session["account_authentication_methods"] = [{"method": "password", "at": 1.0}]
    session.save()
    address = reverse("operation", args=["approval", "approve", submitted.pk])
    asked = client.post(address, {"digest": submitted.digest}, follow=True)
    shown = asked.content.decode()
    assert f"<b>Approve: {submitted.release}</b>" in shown
    # For anything else that asks for the password, the act that waits is not named.
    other = client.get(reverse("account_reauthenticate"), {"next": reverse("mfa_index")}).content.decode()
    assert STATE_SESSION_KEY in client.session and "Approve:" not in other
    url = f"{reverse('account_reauthenticate')}?next={address}"
    client.post(url, {"password": PASSWORD, "next": address})
    assert submitted.decisions.get().account.username == "committee_a"
