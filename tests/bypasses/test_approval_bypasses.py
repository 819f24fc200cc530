"""Known ways round approval elsewhere, one test a case: edits after approval, odd paths, policies that change
themselves.

The numbers are those of the published cases that the design was written against (CVE-2023-4812 and others).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from audit.actor import acting
from audit.clock import now
from audit.models import Event
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted, NotPossible, OperationRefused, SignatureRequired
from environments.models import AccessGrant
from environments.operations.access import grant
from environments.operations.configuration.create import create as configure
from environments.operations.token.issue import issue_token
from releases.gates import quorum
from releases.models import ApprovalDecision, ApprovalRequest, Deployment, Procedure, Release, TeamMember
from releases.operations.application.create import create_application
from releases.operations.approval import decide
from releases.operations.approval.submit import submit
from releases.operations.deployment.enqueue import enqueue
from releases.operations.deployment.request import request
from releases.operations.deployment.schedule import schedule
from releases.operations.procedure.put_into_effect import load, submit as apply_for
from releases.operations.release.copy import copy
from releases.operations.release.end_approval import invalidate_stale
from releases.operations.release.plan import edit, set_configuration
from releases.operations.release.prepare import complete_testing, lock_scope, reopen_scope
from releases.operations.release.reschedule import reschedule
from releases.operations.release.sign_final_check import sign
from releases.operations.rollback import decide as rollbacks
from releases.operations.rollback.start import start_rollback as go_back
from releases.operations.step.claim import claim
from releases.operations.target.set_settings import create_target
from releases.operations.waiver import decide as waivers
from releases.operations.waiver.request import request_waiver
from tests.releases.gates.asking import COMMAND, alter, ask, communicated, make, shown, walk
from tests.scenarios.stock import Stock


def submitted(stock: Stock) -> tuple[Any, ApprovalRequest]:
    """Return a release in review and its approval request."""
    release = stock.take()
    with stock.world.acting_as("manager"):
        return release, submit(release.pk)


def approved(stock: Stock) -> tuple[Any, ApprovalRequest]:
    """Return a release with the approval of two."""
    release, approval_request = submitted(stock)
    say_yes(stock, approval_request)
    return release, ApprovalRequest.objects.get(pk=approval_request.pk)


def say_yes(stock: Stock, approval_request: ApprovalRequest, *names: str) -> None:
    """Let committee members approve."""
    for name in names or ("committee_a", "committee_b"):
        with stock.world.acting_as(name):
            decide.approve(approval_request.pk, digest=approval_request.digest)


def scheduled(stock: Stock) -> tuple[Any, ApprovalRequest, Deployment]:
    """Return a finally checked release whose production deployment is due."""
    release, approval_request = approved(stock)
    for name in ("manager", "operator"):
        with stock.world.acting_as(name):
            sign(release.pk)
    with stock.world.acting_as("operator"):
        deployment = request(release.pk, environment_id=stock.world.environments["production"].pk)
        return release, approval_request, schedule(deployment.pk)


def another(version: str, **changed: Any) -> Any:
    """Return the active procedure with other content."""
    active = Procedure.objects.get(state="in_effect")
    return type(active.document).model_validate(active.content | {"version": version} | changed)


def fewer(number: int) -> list[dict[str, Any]]:
    """Return the approval rules with another number for regular releases in production."""
    rows: list[dict[str, Any]] = Procedure.objects.get(state="in_effect").content["approval_rules"]
    mine = ("regular", "production")
    return [row | ({"number": number} if (row["subject"], row["tier"]) == mine else {}) for row in rows]


def test_01_an_edit_after_the_approval_makes_the_count_nothing(stock: Stock) -> None:
    release, approval_request = submitted(stock)
    say_yes(stock, approval_request, "committee_a")
    with stock.world.acting_as("manager"):
        reopen_scope(release.pk, reason="one more word")
        edit(release.pk, fields={"ticket": "T-99"})
        lock_scope(release.pk)
        complete_testing(release.pk)
        second = submit(release.pk)
    assert second.digest != approval_request.digest and not quorum.count(second).persons
    assert ApprovalRequest.objects.get(pk=approval_request.pk).state == "invalidated"
    with stock.world.acting_as("committee_b"), pytest.raises(GateNotPassed):
        decide.approve(second.pk, digest=approval_request.digest)
    say_yes(stock, second, "committee_b")
    assert ApprovalRequest.objects.get(pk=second.pk).state == "in_review", "one of two"


def test_02_an_odd_path_ends_at_the_same_gate(stock: Stock) -> None:
    """A deployment scheduled under one approval starts neither without one nor under the next one by itself."""
    release, _request, deployment = scheduled(stock)
    with stock.world.acting_as("manager"):
        reschedule(release.pk, start=datetime.now(UTC), reason="later")
    assert Deployment.objects.get(pk=deployment.pk).state == "cancelled"
    for state in ("requested", "scheduled"):
        stray = make(
            Deployment,
            release=release,
            application=release.application,
            environment=deployment.environment,
            approval_request=deployment.approval_request,
            requested_by=deployment.requested_by,
            scheduled_by=deployment.scheduled_by,
            scheduled_start_at=datetime.now(UTC),
        )
        if state == "scheduled":
            walk(stray, "schedule")
        with acting(COMMAND), pytest.raises(OperationRefused):
            enqueue(stray.pk)
        walk(stray, "cancel")
    with stock.world.acting_as("manager"):
        approval_request = submit(release.pk)
    say_yes(stock, approval_request)
    assert not Release.objects.get(pk=release.pk).final_checks.filter(invalidated_at=None).exists(), (
        "signed anew at T-1"
    )
    for name in ("manager", "operator"):
        with stock.world.acting_as(name):
            sign(release.pk)


def test_03_a_change_does_not_carry_its_own_policy(stock: Stock) -> None:
    """An approval request keeps the rules that it was opened under, and a new procedure needs approval under the old
    one.
    """
    release, approval_request = submitted(stock)
    with stock.world.acting_as("author_on_committee"):
        draft = load(another("1.8.0", approval_rules=fewer(1)), reason="one is enough")
        applied = apply_for(draft.pk, reason="one is enough")
        with pytest.raises(NotPermitted):
            decide.approve(applied.pk, digest=applied.digest)
    say_yes(stock, approval_request, "committee_a")
    say_yes(stock, applied, "committee_a")
    assert Procedure.objects.get(state="in_effect").version != "1.8.0", "one of two"
    say_yes(stock, applied, "committee_b")
    assert Procedure.objects.get(state="in_effect").version == "1.8.0"
    assert ApprovalRequest.objects.get(pk=approval_request.pk).state == "in_review", "its own rules still ask for two"
    assert Release.objects.get(pk=release.pk).procedure.version != "1.8.0"


def test_04_a_policy_that_is_missing_denies(stock: Stock) -> None:
    release = stock.take()
    approvals = [row for row in release.procedure.content["approval_rules"] if row["tier"] != "production"]
    alter(release.procedure, content=release.procedure.content | {"approval_rules": approvals})
    with stock.world.acting_as("manager"), pytest.raises(GateNotPassed, match="no approval rule"):
        submit(release.pk)
    assert Release.objects.get(pk=release.pk).state == "testing_completed"
    assert not ApprovalRequest.objects.filter(release=release).exists()


def test_05_every_channel_refuses_alike(stock: Stock, browsers: Callable[[str], Any]) -> None:
    """The author approves neither by the operation, nor by the page, nor by JSON; a token or a command signs
    nothing.
    """
    _release, approval_request = submitted(stock)
    with stock.world.acting_as("author_on_committee"), pytest.raises(NotPermitted, match="author"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    page = f"/admin/operation/approval/approve/{approval_request.pk}/"
    client = browsers("author_on_committee")
    assert client.post(page, {"digest": approval_request.digest}).status_code == 403
    response = client.post(page, {"digest": approval_request.digest}, headers={"accept": "application/json"})
    assert (response.status_code, response.json()["kind"]) == (403, "not_permitted")
    with acting(COMMAND), pytest.raises(NotPermitted):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    with stock.world.acting_as("ci"), pytest.raises(NotPermitted):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    with stock.world.acting_as("committee_a", proved=False), pytest.raises(SignatureRequired):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    assert not ApprovalDecision.objects.filter(approval_request=approval_request).exists()
    refused = Event.objects.filter(operation="approval:approve", outcome="refused").count()
    assert refused == 5, "each of them left its event, but for a question who it is"


def test_06_without_eligible_approvers_nothing_is_approved(stock: Stock) -> None:
    _release, approval_request = submitted(stock)
    for name in ("committee_a", "committee_b"):
        row = AccessGrant.objects.get(account=stock.world.people[name], role="committee")
        # Past the operation, which refuses to take the last people away that a rule needs.
        alter(row, revoked_at=now())
    assert quorum.candidates(approval_request) == []
    with stock.world.acting_as("committee_a"), pytest.raises(NotPermitted):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    for rules in (
        [],
        [{"stage": 1, "role": "none", "number": 0}],
        [{"stage": 1, "role": "committee", "number": 0}][:0],
    ):
        alter(approval_request, rules=rules)
        assert not quorum.standing(quorum.rules_of(ApprovalRequest.objects.get(pk=approval_request.pk)), []).met
    assert ApprovalRequest.objects.get(pk=approval_request.pk).state == "in_review"


def test_07_a_change_between_reading_and_approving_is_seen(stock: Stock) -> None:
    """The content is compared inside the transaction that counts; with many at once in scenarios/test_races.py."""
    release, approval_request = submitted(stock)
    say_yes(stock, approval_request, "committee_a")
    ready, refusals = threading.Barrier(2), []

    def approve() -> None:
        try:
            with stock.world.acting_as("committee_b"):
                ready.wait(20)
                decide.approve(approval_request.pk, digest=approval_request.digest)
        except OperationRefused as refused:
            refusals.append(refused.kind)
        finally:
            connection.close()

    other = threading.Thread(target=approve)
    other.start()
    ready.wait(20)
    with stock.world.acting_as("manager"):
        reopen_scope(release.pk, reason="a word")
    other.join(60)
    assert ApprovalRequest.objects.get(pk=approval_request.pk).state == "invalidated" and refusals in (
        [],
        ["not_possible"],
    )
    release, approval_request = submitted_again(stock, release)
    alter(release, on_timeout="keep")
    with stock.world.acting_as("committee_b"), pytest.raises(GateNotPassed, match="if no one responds"):
        decide.approve(approval_request.pk, digest=approval_request.digest)


def submitted_again(stock: Stock, release: Any) -> tuple[Any, ApprovalRequest]:
    """Bring a draft back into review."""
    with stock.world.acting_as("manager"):
        lock_scope(release.pk)
        complete_testing(release.pk)
        return release, submit(release.pk)


@pytest.mark.parametrize("name", ["auditor", "operator", "developer", "tester", "project_manager", "outsider"])
def test_08_who_may_look_may_not_decide(stock: Stock, browsers: Callable[[str], Any], name: str) -> None:
    _release, approval_request = submitted(stock)
    for verb in ("approve", "send_back", "reject"):
        answer = browsers(name).post(
            f"/admin/operation/approval/{verb}/{approval_request.pk}/",
            {"digest": approval_request.digest, "comment": "x"},
        )
        assert answer.status_code == 403
    assert (
        not ApprovalDecision.objects.exists()
        or ApprovalDecision.objects.filter(approval_request=approval_request).count() == 0
    )


def test_09_the_permission_is_checked_at_the_start_and_not_only_at_the_request(stock: Stock) -> None:
    _release, approval_request, deployment = scheduled(stock)
    row = AccessGrant.objects.get(account=stock.world.people["operator"], role="operator")
    with stock.world.acting_as("administrator"):
        grant.revoke(row.pk, reason="left the shift")
    with acting(COMMAND), pytest.raises(GateNotPassed, match="The person who scheduled this deployment no longer has"):
        enqueue(deployment.pk)
    assert ApprovalRequest.objects.get(pk=approval_request.pk).state == "approved", "nothing was used"


def test_16_a_copy_needs_the_right_to_plan(stock: Stock, browsers: Callable[[str], Any]) -> None:
    """Copying and importing take the same right as what they make."""
    release = stock.take()
    for name in ("developer", "operator", "committee_a", "auditor", "outsider"):
        with stock.world.acting_as(name), pytest.raises(NotPermitted):
            copy(release.pk, version="1.9.0")
        tags = browsers(name).post(
            f"/admin/operation/release/read_tags/{stock.world.application.pk}/",
            {"patterns": "v{version}", "reason": "x"},
        )
        assert tags.status_code == 403
        with stock.world.acting_as(name), pytest.raises(NotPermitted):
            load(another("1.9.1"), reason="x")
    assert not Release.objects.filter(version="1.9.0").exists()
    assert not Procedure.objects.filter(version="1.9.1").exists()


def test_20_a_copy_takes_no_reference_with_it(stock: Stock) -> None:
    """Neither a configuration nor a source; and none of another application is taken afterwards."""
    world, release = stock.world, stock.take()
    with world.acting_as("manager"):
        made = copy(release.pk, version="1.3.1")
        other = create_application(slug="other", name="Other", repository=str(world.built.path))
        place = world.environments["production"].pk
        create_target(application_id=other.pk, environment_id=place, root="/srv/other", settings={})
        foreign = configure(
            application_id=other.pk, environment_id=place, values={"PORT": "1"}, secrets={}, reason="its own"
        )
        assert made.configurations == {} and made.commit == ""
        with pytest.raises(InvalidInput, match="does not have the selected configuration"):
            set_configuration(made.pk, configuration_id=foreign.pk)
    assert Release.objects.get(pk=made.pk).configurations == {}


def test_25_the_rollback_passes_people_as_well(stock: Stock) -> None:
    """A raised rollback is not authorised, the team names the decision maker, and it begins only when authorised."""
    release, _request, deployment = scheduled(stock)
    with acting(COMMAND):
        enqueue(deployment.pk)
        claim(deployment.steps.get(ordinal=1).pk, worker="w")
    walk(deployment, "fail")
    with stock.world.acting_as("operator"):
        alarm = rollbacks.raise_(deployment.pk, cause="major_failure", note="seen")
    with acting(COMMAND), pytest.raises(NotPossible):
        go_back(alarm.pk)
    with acting(COMMAND):
        assert not rollbacks.pre_authorise(alarm.pk, rows={}), "the approval did not allow it beforehand"
    with stock.world.acting_as("manager"):
        rollbacks.assess(alarm.pk, impact="a", method="b", timing="c")
    communicated(alarm)
    decider = TeamMember.objects.get(release=release, team_role="rollback_decision_maker").account.username
    for name in ("operator", "manager", "committee_a", "auditor"):
        assert name != decider
        with stock.world.acting_as(name), pytest.raises(NotPermitted):
            rollbacks.authorise(alarm.pk, digest=shown(alarm))
    with stock.world.acting_as(decider, proved=False), pytest.raises(SignatureRequired):
        rollbacks.authorise(alarm.pk, digest=shown(alarm))
    assert Deployment.objects.get(pk=deployment.pk).state == "failed"
    with stock.world.acting_as(decider):
        rollbacks.authorise(alarm.pk, digest=shown(alarm))


def test_an_approval_comes_too_late_once_the_window_is_over(stock: Stock) -> None:
    """Expiry: an approval request whose window has passed is not approved any more, even before the poll has ended
    it.
    """
    _release, approval_request = submitted(stock)
    alter(approval_request, valid_until=datetime.now(UTC) - timedelta(seconds=1))
    with stock.world.acting_as("committee_a"), pytest.raises(GateNotPassed, match="expired"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    with acting(COMMAND):
        invalidate_stale()
    assert ApprovalRequest.objects.get(pk=approval_request.pk).state == "expired"


def test_a_token_starts_nothing_that_was_not_approved(stock: Stock) -> None:
    """CI after approval: the gate holds for it as for everybody."""
    world, (release, _request) = stock.world, approved(stock)
    with world.acting_as("administrator"):
        issue_token(world.people["ci"].pk, environments=(world.environments["production"].pk,))
    stray = make(
        Deployment,
        release=release,
        application=release.application,
        environment=world.environments["production"],
        requested_by=world.people["ci"],
    )
    alter(release, on_timeout="keep")
    with world.acting_as("ci"), pytest.raises(OperationRefused):
        schedule(stray.pk)
    assert ask(world, release, "approval").result == "not_passed"


def test_a_waiver_takes_two_people_also_where_one_holds_both_roles(stock: Stock) -> None:
    world, release = stock.world, stock.take()
    with acting(COMMAND):
        for name, role in (("manager", "project_manager"), ("author_on_committee", "project_manager")):
            grant.request_role(world.people[name].pk, role=role, reason="both roles")
    with world.acting_as("manager"):
        row = request_waiver(
            release.pk,
            environment_id=world.environments["production"].pk,
            gate="coverage",
            reason="the tool is down",
            until=datetime.now(UTC) + timedelta(hours=1),
        )
    for name in ("manager", "author_on_committee"):
        with (
            world.acting_as(name),
            pytest.raises(NotPermitted, match="A different person from the one before must do this"),
        ):
            waivers.approve(row.pk)
    with world.acting_as("project_manager"):
        waivers.approve(row.pk)
