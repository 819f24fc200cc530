"""Separation of duties: a person's forbidden operation is not offered, not in My tasks, and not carried out."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse

from audit.actor import acting
from audit.clock import now
from audit.operation import operation
from environments.admin.rights import read_rights
from environments.models import AccessReview, AccessReviewItem, Account, CalendarFeed, ChangeWindow, Environment
from environments.operations.access.grant import request_role
from releases.admin.components.formatting import buttons
from releases.admin.components.links import page_of
from releases.admin.operations import verb as find
from releases.admin.pages.approval_request.rows import standing_of
from releases.models import ApprovalDecision, Deployment, Document, FollowUp, Notification, Rollback, Waiver
from releases.operations.document import review
from tests.conftest import give_factor
from tests.releases.admin.seed_deployments import walk
from tests.releases.gates.asking import COMMAND, alter, communicated, make, shown


class Asked:
    """One row's page, its verb's own page and My tasks, as one person reads them."""

    def __init__(self, browsers: Callable[[str], Any], row: Any, key: str) -> None:
        self.browsers, self.row, self.key = browsers, row, key
        verb = find(*key.split(":"))
        assert verb is not None
        self.form = verb.url(row.pk)

    def offers(self, name: str) -> bool:
        """Tell whether the button leads to the form, and assert that the form agrees."""
        client = self.browsers(name)
        html = client.get(page_of(self.row)).content.decode()
        offered = f'href="{self.form}"' in html
        assert (client.get(self.form).status_code == 200) == offered, (name, self.key)
        return offered

    def why(self, name: str) -> str:
        """Return the form's reason for the people that it refuses, reading and posting."""
        client = self.browsers(name)
        read, sent = client.get(self.form), client.post(self.form, {"reason": "x", "note": "x", "result": "passed"})
        assert (read.status_code, sent.status_code) == (403, 403)
        found = re.search(r'role="alert">\s*(?:<b>[^<]*</b>\s*<ul>\s*<li>)?([^<]+)<', sent.content.decode())
        alert = re.search(r'role="alert">([^<]+)<', read.content.decode())
        assert found and alert and found[1] == alert[1]
        return alert[1]

    def lists_task(self, name: str, what: str) -> bool:
        """Tell whether My tasks has such an entry that leads to the row's page."""
        rows = self.browsers(name).get(reverse("admin:index")).context["tasks"]
        return any(
            what in row.what and row.url.partition("#")[0] == page_of(self.row).partition("#")[0] for row in rows
        )


@pytest.fixture
def asked(browsers: Callable[[str], Any]) -> Callable[..., Asked]:
    """Return a function: what the pages say about a verb on a row."""
    return lambda row, key: Asked(browsers, row, key)


def walked(row: Any, *verbs: str) -> Any:
    """Walk a row along edges through the operation."""
    for verb in verbs:
        with acting(COMMAND), operation("test:walk", (type(row), row.pk)) as op:
            walk(op.get(type(row)), verb)
            op.states[type(row), row.pk] = op.get(type(row)).state
    return type(row)._default_manager.get(pk=row.pk)


def test_the_starter_of_a_deployment_decides_nothing_about_it(
    world: dict[str, Any], asked: Callable[..., Asked]
) -> None:
    """Marking as failed, and retrying the failed step or marking it as succeeded."""
    deployment = world["waiting"]
    step = walked(deployment.steps.get(ordinal=3), "fail")
    for row, key in ((deployment, "deployment:fail"), (step, "step:retry")):
        one = asked(row, key)
        assert not one.offers("operator") and one.offers("second_operator")
        assert one.why("operator") == "You have scheduled this deployment; another person must decide."
        assert one.why("auditor") == "You do not have permission to do this."
    assert not asked(deployment, "deployment:fail").lists_task("operator", "Decide how to continue")
    assert asked(deployment, "deployment:fail").lists_task("second_operator", "Decide how to continue")
    assert Deployment.objects.get(pk=deployment.pk).state == "awaiting_decision"


def test_the_starter_of_a_deployment_neither_verifies_nor_judges_it(
    world: dict[str, Any], asked: Callable[..., Asked]
) -> None:
    deployment, monitoring = (
        walked(world["running"], "start_verification"),
        alter(world["metric_sources"], result="inconclusive"),
    )
    verify, evaluate = asked(deployment, "deployment:verify"), asked(monitoring, "monitoring:record_result")
    assert not verify.offers("operator") and verify.offers("second_operator")
    assert not evaluate.offers("operator") and evaluate.offers("second_operator")
    assert "another person must verify it" in verify.why("operator")
    assert "another person must judge its monitoring result" in evaluate.why("operator")
    for one, what in ((verify, "Verify deployment"), (evaluate, "Record monitoring result")):
        assert one.lists_task("second_operator", what) and not one.lists_task("operator", what)


def test_an_approver_schedules_nothing(world: dict[str, Any], asked: Callable[..., Asked]) -> None:
    """A member of the committee who is an operator as well."""
    with acting(COMMAND):
        request_role(Account.objects.get(username="committee_a").pk, role="operator", reason="both")
    release, manager = world["review"], Account.objects.get(username="manager")
    deployment = make(
        Deployment,
        release=release,
        application=release.application,
        requested_by=manager,
        environment=Environment.objects.get(slug="production"),
    )
    one = asked(deployment, "deployment:schedule")
    assert one.offers("operator") and not one.offers("committee_a")
    assert one.lists_task("operator", "Schedule deployment") and not one.lists_task(
        "committee_a", "Schedule deployment"
    )
    assert one.why("committee_a") == "You have approved this release; another person must schedule its deployment."


def test_a_writer_neither_checks_nor_approves_their_own_text(
    world: dict[str, Any], people: dict[str, Any], asked: Callable[..., Asked], acting_as: Callable[..., Any]
) -> None:
    """The checker does not approve it either; the writer's second account is the same person."""
    document = Document.objects.filter(release=world["review"]).first()
    assert document is not None
    for name in ("manager", "developer"):
        with acting_as(name):
            review.write(document.pk, body=f"by {name}")
    check, approve = asked(document, "document:check_content"), asked(document, "document:approve")
    assert not check.offers("manager") and not check.offers("developer") and check.offers("project_manager")
    assert check.lists_task("tester", "Check document content")
    with acting_as("project_manager"):
        review.check_content(document.pk, digest=shown(document))
    with acting(COMMAND):
        for name in ("second_operator", "committee_b"):
            request_role(people[name].pk, role="release_manager", reason="more")
    assert approve.offers("committee_b") and approve.lists_task("committee_b", "Approve document")
    for name in ("manager", "project_manager"):
        assert not approve.offers(name) and not approve.lists_task(name, f"Approve document: {document}")
        assert "A different person" in approve.why(name)
    alter(people["developer"], employee_id="E-7")
    alter(people["second_operator"], employee_id="Ｅ-7")
    assert not approve.offers("second_operator")
    assert not approve.lists_task("second_operator", f"Approve document: {document}")


def test_a_waiver_is_confirmed_by_neither_its_requester_nor_an_approver(
    world: dict[str, Any], people: dict[str, Any], asked: Callable[..., Asked]
) -> None:
    """The requester decides nothing; an approver may still reject."""
    with acting(COMMAND):
        for name in ("committee_a", "second_operator"):
            request_role(people[name].pk, role="project_manager", reason="both")
    waiver = make(
        Waiver,
        release=world["review"],
        environment=Environment.objects.get(slug="production"),
        gate="coverage",
        reason="x",
        until=now() + timedelta(hours=1),
        requested_by=people["second_operator"],
    )
    yes, no = asked(waiver, "waiver:confirm"), asked(waiver, "waiver:reject")
    assert [yes.offers(name) for name in ("project_manager", "second_operator", "committee_a")] == [True, False, False]
    assert [no.offers(name) for name in ("project_manager", "second_operator", "committee_a")] == [True, False, True]
    assert "has made an approval decision" in yes.why("committee_a")
    what = "Decide on waiver request"
    assert yes.lists_task("project_manager", what)
    assert not yes.lists_task("second_operator", what) and not yes.lists_task("committee_a", what)


def test_only_the_decision_maker_of_the_team_authorises_a_rollback(
    world: dict[str, Any], people: dict[str, Any], asked: Callable[..., Asked]
) -> None:
    """An operator has the right but is not the decision maker of the team."""
    walked(world["rollback"], "close")
    row = make(
        Rollback,
        deployment=world["back"],
        cause="error_rate",
        raised_at=now(),
        impact="x",
        method="x",
        timing="x",
        raised_by=people["operator"],
    )
    communicated(row)
    one = asked(walked(row, "assess"), "rollback:authorise")
    assert one.offers("manager") and not one.offers("operator")
    assert one.why("operator") == "The release team names another rollback decision maker: Manager"
    assert one.lists_task("manager", "Authorise rollback") and not one.lists_task("operator", "Authorise rollback")


def test_an_author_completes_no_follow_up_of_their_release(world: dict[str, Any], asked: Callable[..., Asked]) -> None:
    """A committee member who has no part in the release completes a condition of the committee."""
    debt = FollowUp.objects.filter(release=world["released"]).earliest("pk")
    one = asked(debt, "follow_up:complete")
    assert one.offers("project_manager") and not one.offers("manager")
    said = "You are the author of this release; another person must complete the follow-up action."
    assert one.why("manager") == said
    what = "Complete follow-up action"
    assert one.lists_task("project_manager", what) and not one.lists_task("manager", what)
    alter(debt, blocks="start")
    assert one.offers("committee_b") and not one.offers("project_manager")


def test_the_cause_of_an_external_notification_does_not_approve_it(
    world: dict[str, Any], people: dict[str, Any], asked: Callable[..., Asked]
) -> None:
    """Two people may approve such a notification for external recipients: each is refused for their own."""
    own = people["manager"].person_key
    cases: list[tuple[dict[str, Any], str]] = [
        ({"writer": own}, "written this text"),
        ({"cause": own}, "caused this notification"),
        ({"release": alter(world["review"], author=people["manager"])}, "planned this release"),
    ]
    texts = {code: {"subject": "x", "body": "x"} for code in ("ja", "en")}
    for number, (given, words) in enumerate(cases):
        row = make(
            Notification,
            event="release:announce",
            outbox=9000 + number,
            operation_id=str(uuid.uuid4()),
            object="x:1",
            texts=texts,
            path="/admin/",
            made_at=now(),
            external=True,
            **given,
        )
        one, what = asked(row, "notification:approve_external"), "Approve for external recipients"
        assert one.offers("project_manager") and not one.offers("manager")
        assert one.lists_task("project_manager", what) and not one.lists_task("manager", what)
        assert words in one.why("manager")


def test_a_role_in_one_environment_is_checked_where_the_operation_checks_it(
    world: dict[str, Any], people: dict[str, Any], asked: Callable[..., Asked]
) -> None:
    """Assessing takes a role for all environments: a release manager of production alone is not offered it."""
    with acting(COMMAND):
        where = Environment.objects.get(slug="production").pk
        request_role(people["outsider"].pk, role="release_manager", environment_id=where, reason="a part")
    back: Iterable[str] = ("rollback:assess", "rollback:close")
    for key in back:
        assert asked(world["rollback"], key).offers("manager")
        assert not asked(world["rollback"], key).offers("outsider")


def test_the_pages_grant_roles_only_in_the_administrators_environment(
    world: dict[str, Any], people: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    """The form offers that environment alone, and the person reviews its grants and no others."""
    places = {place.slug: place for place in Environment.objects.all()}
    give_factor(people["outsider"])
    with acting(COMMAND):
        request_role(people["outsider"].pk, role="administrator", environment_id=places["staging"].pk, reason="a part")
        grants = [
            request_role(people["tester"].pk, role="developer", environment_id=places[slug].pk, reason="x")
            for slug in ("staging", "production")
        ]
    review = make(AccessReview, opened_by=people["administrator"], due_at=now() + timedelta(days=1), reason="x")
    client = browsers("outsider")
    for grant, status in zip(grants, (200, 403), strict=True):
        item = make(AccessReviewItem, review=review, grant=grant)
        for name in ("keep", "revoke"):
            assert client.get(reverse("operation", args=["access_review", name, item.pk])).status_code == status
    address = reverse("operation", args=["access", "grant", people["tester"].pk])
    form = client.get(address).context["form"]
    field = form.fields["environment_id"]
    assert field.required and list(field.queryset) == [places["staging"]]
    whole = browsers("administrator").get(address).context["form"].fields["environment_id"]
    assert not whole.required and set(whole.queryset) == set(places.values())
    assert browsers("tester").get(address).status_code == 403


def test_the_owner_of_a_calendar_feed_revokes_it_without_a_role(
    world: dict[str, Any], people: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    """Nobody else without a management role may end it."""
    feed = make(CalendarFeed, application=world["review"].application, account=people["outsider"], digest="x" * 64)
    address = reverse("operation", args=["calendar_feed", "revoke", feed.pk])
    found = {name: browsers(name).get(address).status_code for name in ("outsider", "administrator", "manager")}
    assert found == {"outsider": 200, "administrator": 200, "manager": 403}


def test_a_represented_person_has_already_decided(
    world: dict[str, Any], people: dict[str, Any], asked: Callable[..., Asked]
) -> None:
    """The page offers no button, and the represented person requests no waiver of the release."""
    with acting(COMMAND):
        request_role(people["committee_b"].pk, role="release_manager", reason="both")
    approve, waive = asked(world["round"], "approval:approve"), asked(world["review"], "waiver:request")
    assert waive.offers("committee_b") and waive.offers("manager")
    word = make(
        ApprovalDecision,
        approval_request=world["round"],
        account=people["outsider"],
        on_behalf=people["committee_b"],
        decision="approve",
        roles=["committee"],
        digest=world["round"].digest,
        signature={},
        at=now(),
    )
    assert (
        word.approval_request_id == world["round"].pk
        and standing_of(world["round"], read_rights(people["committee_b"])).given
    )
    assert not waive.offers("committee_b") and waive.offers("manager")
    assert "has made an approval decision" in waive.why("committee_b")
    assert not approve.offers("committee_b")
    assert "already made your approval decision" in approve.why("committee_b")
    assert not approve.offers("manager") and not approve.offers("committee_a")


def test_a_button_never_leads_to_a_certain_refusal(
    world: dict[str, Any], people: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    """A condition of something that is no release; the end of a window that comes with the procedure."""
    for name, has in (("round", True), ("extra", False)):
        row = world[name]
        shown = {one.key for one in buttons(read_rights(people["committee_b"]), row)}
        assert "approval:approve" in shown and ("approval:approve_with_condition" in shown) == has, name
    regular = ChangeWindow.objects.filter(from_procedure=True, cancelled_at=None).earliest("pk")
    found = {one.key: one.reason for one in buttons(read_rights(people["manager"]), regular)}
    assert "comes from the procedure" in found["window:cancel"]
