"""Ways to use another person's identity, decisions or open requests: drafts, former ids, requests of people who
left.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from audit.actor import acting
from audit.clock import now
from audit.refusals import GateNotPassed, NotPermitted
from environments.models import AccessGrant, Account, ChangeFreeze, RequestedChange
from environments.operations.access import grant
from environments.operations.account import deactivate as deactivation
from environments.operations.account.deactivate import deactivate
from environments.operations.delegation import request
from environments.operations.freeze.lift import lift
from environments.operations.requested_change.decide import confirm_change
from environments.operations.window.create_freeze import freeze
from releases.gates import authorship, quorum
from releases.models import ApprovalRequest, Deployment, Procedure, Release
from releases.operations.approval import decide
from releases.operations.deployed_version.place import install
from releases.operations.document.review import check_content, write
from releases.operations.evidence.upload import upload
from releases.operations.procedure import revise
from releases.operations.procedure.put_into_effect import submit as apply_for
from releases.operations.release.sign_final_check import sign
from releases.operations.rollback import decide as rollbacks
from releases.operations.target.set_settings import set_hosts
from releases.operations.waiver import decide as waivers
from releases.operations.waiver.request import request_waiver
from releases.queries.waivable import waivable
from tests.bypasses.test_access_bypasses import newcomer
from tests.bypasses.test_approval_bypasses import approved, say_yes, scheduled, submitted
from tests.releases.gates.asking import COMMAND, alter, shown, walk
from tests.scenarios.stock import Stock

LEFT = "who requested this, no longer has the permission"
KEYS = ["employee:e1", "employee:e2"]


def lose(account: Account, role: str) -> None:
    """Let a person have lost a role, as the end of a grant's time does."""
    alter(AccessGrant.objects.get(account=account, role=role), revoked_at=now())


def review(stock: Stock, by: str, reviewer: str) -> None:
    """Upload a review of what the developer wrote."""
    world = stock.world
    with world.acting_as(by):
        upload(
            world.application.pk,
            environment_id=world.environments["staging"].pk,
            kind="review",
            commit=world.built.commits["v1.3.0"],
            files=[("", json.dumps({"reviewer": reviewer, "decision": "approved"}).encode())],
        )


def waiver_of(stock: Stock, release: Release) -> Any:
    """Request a waiver of a gate, as the release manager."""
    key, _ja, _en = waivable(release)[0]
    with stock.world.acting_as("manager"):
        return request_waiver(
            release.pk,
            environment_id=stock.world.environments["production"].pk,
            gate=key,
            until=now() + timedelta(days=1),
            reason="x",
        )


def test_an_editor_of_the_draft_of_a_procedure_does_not_approve_it(stock: Stock) -> None:
    active = Procedure.objects.get(state="in_effect")
    first, second, *_more = revise.cells(active.content, ["checklist"])
    with stock.world.acting_as("manager"):
        draft = revise.revise(active.pk, reason="mine", values={first.name: "one"})
    with stock.world.acting_as("author_on_committee"):
        revise.revise(draft.pk, reason="my words", values={second.name: "two"})
    with stock.world.acting_as("manager"):
        approval_request = apply_for(draft.pk, reason="x")
    with stock.world.acting_as("author_on_committee"), pytest.raises(NotPermitted, match="author"):
        decide.approve(approval_request.pk, digest=approval_request.digest)


@pytest.fixture(params=["directly", "by way of a third account"])
def were_one(request: pytest.FixtureRequest) -> Callable[[Account, Account], None]:
    """Return a function that lets two accounts have been one person's before employee ids were edited."""

    def connect(first: Account, second: Account) -> None:
        alter(first, employee_id="E1")
        if request.param == "directly":
            alter(second, employee_id="E2", former_identities=["employee:e1"])
        else:
            alter(second, employee_id="E2")
            alter(Account.objects.get(username="outsider"), employee_id="E3", former_identities=KEYS)

    return connect


def test_a_former_identity_of_an_approver_counts_as_the_approver(
    stock: Stock, were_one: Callable[[Account, Account], None]
) -> None:
    people = stock.world.people
    were_one(people["committee_a"], people["committee_b"])
    _release, approval_request = submitted(stock)
    say_yes(stock, approval_request, "committee_a")
    with (
        stock.world.acting_as("committee_b"),
        pytest.raises(NotPermitted, match="You have already made your approval decision on this request"),
    ):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    assert people["committee_b"] not in quorum.candidates(approval_request)


def test_two_approvals_of_one_person_are_one_after_an_identity_was_edited(
    stock: Stock, were_one: Callable[[Account, Account], None]
) -> None:
    people = stock.world.people
    _release, approval_request = approved(stock)
    were_one(people["committee_a"], people["committee_b"])
    assert not quorum.count(ApprovalRequest.objects.get(pk=approval_request.pk)).standing.met


def test_who_was_one_person_with_a_starter_counts_as_the_starter(
    stock: Stock, were_one: Callable[[Account, Account], None]
) -> None:
    people = stock.world.people
    were_one(people["operator"], people["second_operator"])
    other = Account.objects.get(username="second_operator")
    deployment = Deployment(scheduled_by=Account.objects.get(username="operator"), requested_by=people["manager"])
    assert deployment.was_started_by(other) and not deployment.was_started_by(people["manager"])


def test_who_was_one_person_with_an_administrator_closes_and_opens_no_account_of_their_own(
    stock: Stock, were_one: Callable[[Account, Account], None]
) -> None:
    people = stock.world.people
    were_one(people["administrator"], people["second_administrator"])
    with stock.world.acting_as("administrator"), pytest.raises(NotPermitted, match="your own account"):
        deactivation.deactivate(people["second_administrator"].pk, reason="left")
    alter(people["second_administrator"], is_active=False)
    with stock.world.acting_as("administrator"), pytest.raises(NotPermitted, match="your own account"):
        deactivation.reactivate(people["second_administrator"].pk, reason="back")


def test_who_was_one_person_with_the_first_is_no_second_for_a_waiver(
    stock: Stock, were_one: Callable[[Account, Account], None]
) -> None:
    people = stock.world.people
    waiver = waiver_of(stock, stock.take())
    were_one(people["manager"], people["project_manager"])
    with (
        stock.world.acting_as("project_manager"),
        pytest.raises(NotPermitted, match="A different person from the one before must do this"),
    ):
        waivers.approve(waiver.pk)


def test_who_was_one_person_with_the_first_signs_no_final_check_as_the_second(
    stock: Stock, were_one: Callable[[Account, Account], None]
) -> None:
    release, _request = approved(stock)
    were_one(stock.world.people["operator"], stock.world.people["manager"])
    with stock.world.acting_as("operator"):
        sign(release.pk)
    with stock.world.acting_as("manager"), pytest.raises(NotPermitted, match="already signed"):
        sign(release.pk)


def test_who_was_one_person_with_the_writer_checks_no_text(
    stock: Stock, were_one: Callable[[Account, Account], None]
) -> None:
    document = stock.take().documents.first()
    assert document is not None
    were_one(stock.world.people["developer"], stock.world.people["operator"])
    with stock.world.acting_as("developer"):
        write(document.pk, body="mine")
    with (
        stock.world.acting_as("operator"),
        pytest.raises(NotPermitted, match="A different person from the one before must do this"),
    ):
        check_content(document.pk, digest=shown(document))


def test_who_was_one_person_with_the_first_accepts_no_change(
    stock: Stock, were_one: Callable[[Account, Account], None]
) -> None:
    target = stock.world.targets["production"]
    were_one(stock.world.people["operator"], stock.world.people["second_operator"])
    with stock.world.acting_as("operator"):
        made = set_hosts(target.pk, hosts=["evil.example"], reason="x")
    with stock.world.acting_as("second_operator"), pytest.raises(NotPermitted, match="Another person"):
        confirm_change(made.pk)


def test_who_was_one_person_with_the_giver_or_the_receiver_gives_no_role(
    people: dict[str, Any], acting_as: Any, were_one: Callable[[Account, Account], None]
) -> None:
    were_one(people["administrator"], people["second_administrator"])
    with acting_as("administrator"):
        pending = grant.request_role(people["tester"].pk, role="committee", reason="x")
    with acting_as("second_administrator"), pytest.raises(NotPermitted, match="second person"):
        grant.confirm(pending.pk)
    were_one(people["administrator"], people["developer"])
    with acting_as("administrator"), pytest.raises(NotPermitted, match="You cannot grant access to yourself"):
        grant.request_role(people["developer"].pk, role="committee", reason="x")


def test_the_separation_reaches_everybody_who_was_one_person_by_way_of_a_third(stock: Stock) -> None:
    people = stock.world.people
    release = stock.take()
    alter(release.author, employee_id="E1")
    # The one who is found by way of the other is read first.
    alter(people["committee_b"], employee_id="E3", former_identities=["employee:e2"])
    alter(people["committee_a"], employee_id="E2", former_identities=["employee:e1"])
    assert {"employee:e1", "employee:e2", "employee:e3"} <= set(authorship.excluded(release))


def test_an_invisible_character_makes_no_second_person(stock: Stock) -> None:
    people = stock.world.people
    one, two = (
        alter(people[name], employee_id=number) for name, number in (("developer", "AB12"), ("tester", "ab\u200b12 "))
    )
    assert one.person_key == two.person_key and one.accounts == {one.pk, two.pk}


def test_a_review_is_not_by_the_second_account_of_its_author(stock: Stock) -> None:
    people = stock.world.people
    alter(people["developer"], employee_id="E1")
    alter(people["outsider"], employee_id="E1")
    with pytest.raises(NotPermitted, match="wrote a part of this change and cannot review it"):
        review(stock, "ci", "Outsider")


@pytest.mark.parametrize(("by", "reviewer"), [("developer", "Tester"), ("ci", "Developer")])
def test_a_review_is_not_by_an_author_whose_address_was_taken_away(stock: Stock, by: str, reviewer: str) -> None:
    people = stock.world.people
    (address,) = people["developer"].git_addresses
    alter(people["developer"], git_addresses=[], former_identities=[address])
    alter(people["outsider"], git_addresses=[address])
    with pytest.raises(NotPermitted):
        review(stock, by, reviewer)
    review(stock, "ci", "Tester")


def test_an_auditor_does_not_approve_for_an_absent_person(stock: Stock) -> None:
    people, given = stock.world.people, {"starts_at": now() - timedelta(hours=1), "until": now() + timedelta(days=1)}
    with stock.world.acting_as("committee_a"):
        row = request.request_delegation(
            delegator_id=people["committee_a"].pk, delegate_id=people["auditor"].pk, reason="away", **given
        )
    with stock.world.acting_as("administrator"):
        request.confirm(row.pk)
    _release, approval_request = submitted(stock)
    with (
        stock.world.acting_as("auditor"),
        pytest.raises(NotPermitted, match="A person who holds only the auditor role cannot"),
    ):
        decide.approve(approval_request.pk, digest=approval_request.digest, on_behalf_id=people["committee_a"].pk)


@pytest.mark.parametrize("closed", [True, False])
def test_a_change_requested_by_someone_without_the_right_any_more_is_not_confirmed_alone(
    stock: Stock, closed: bool
) -> None:
    target, people = stock.world.targets["production"], stock.world.people
    with stock.world.acting_as("operator"):
        made = set_hosts(target.pk, hosts=["evil.example"], reason="x")
    assert isinstance(made, RequestedChange)
    if closed:
        with stock.world.acting_as("administrator"):
            deactivate(people["operator"].pk, reason="left")
    else:
        lose(people["operator"], "operator")
    with stock.world.acting_as("second_operator"), pytest.raises(GateNotPassed, match=LEFT):
        confirm_change(made.pk)


def test_the_starter_does_not_dismiss_the_alarm_about_the_own_deployment(stock: Stock) -> None:
    _release, _request, deployment = scheduled(stock)
    walk(deployment, "enqueue", "start", "start_verification", "start_monitoring")
    with acting(COMMAND):
        grant.request_role(stock.world.people["operator"].pk, role="release_manager", reason="x")
    with stock.world.acting_as("second_operator"):
        alarm = rollbacks.raise_(deployment.pk, cause="data_inconsistent", note="two totals differ")
    with (
        stock.world.acting_as("operator"),
        pytest.raises(NotPermitted, match="You have scheduled this deployment; another person must judge"),
    ):
        rollbacks.dismiss(alarm.pk, reason="trust me")
    with stock.world.acting_as("manager"):
        rollbacks.dismiss(alarm.pk, reason="the totals are of two days")


def test_one_person_does_not_exchange_what_is_active_in_production_by_placing_a_version(world: Any) -> None:
    with world.acting_as("operator"):
        for name in ("production", "development"):
            install(world.targets[name].pk, version="1.2.0", beside=True, reason="as it ran there")
        with pytest.raises(GateNotPassed, match="leads to a version already"):
            install(world.targets["production"].pk, version="1.3.0", beside=True, reason="mine")
        install(world.targets["development"].pk, version="1.3.0", beside=True, reason="nobody approves it here")


def test_a_role_granted_by_someone_without_the_right_any_more_is_not_confirmed_alone(
    people: dict[str, Any], acting_as: Any
) -> None:
    newcomer("third", ("administrator", None))
    with acting_as("administrator"):
        pending = grant.request_role(people["tester"].pk, role="committee", reason="x")
        row = request.request_delegation(
            delegator_id=people["committee_a"].pk,
            delegate_id=people["tester"].pk,
            starts_at=now() - timedelta(hours=1),
            until=now() + timedelta(days=1),
            reason="away",
        )
    with acting_as("second_administrator"):
        deactivate(people["administrator"].pk, reason="left")
        with pytest.raises(GateNotPassed, match=LEFT):
            grant.confirm(pending.pk)
        with pytest.raises(GateNotPassed, match=LEFT):
            request.confirm(row.pk)


def test_a_waiver_requested_by_someone_without_the_right_any_more_is_not_granted_alone(stock: Stock) -> None:
    waiver = waiver_of(stock, stock.take())
    lose(stock.world.people["manager"], "release_manager")
    with stock.world.acting_as("project_manager"), pytest.raises(GateNotPassed, match=LEFT):
        waivers.approve(waiver.pk)


def test_a_full_freeze_that_a_leaver_asked_to_lift_is_not_lifted_alone(stock: Stock) -> None:
    people, production = stock.world.people, stock.world.environments["production"]
    with stock.world.acting_as("project_manager"):
        row = freeze(
            production.pk,
            name="year end",
            starts_at=now(),
            ends_at=now() + timedelta(days=9),
            reason="x",
            absolute=True,
        )
    with stock.world.acting_as("manager"):
        lift(row.pk, reason="x")
    lose(people["manager"], "release_manager")
    with stock.world.acting_as("author_on_committee"):
        lift(row.pk, reason="y")
    assert ChangeFreeze.objects.get(pk=row.pk).lifted_at is None


def test_the_final_check_does_not_count_people_who_have_left(stock: Stock) -> None:
    release, _request = approved(stock)
    with stock.world.acting_as("operator"):
        sign(release.pk)
    with stock.world.acting_as("administrator"):
        deactivate(stock.world.people["operator"].pk, reason="left")
    with stock.world.acting_as("manager"):
        sign(release.pk)
    assert Release.objects.get(pk=release.pk).state == "approved"
    with stock.world.acting_as("second_operator"):
        sign(release.pk)
    assert Release.objects.get(pk=release.pk).state == "final_check_completed"
